"""Checking kept receipts: each must lie in a batch whose root its seller signed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx2

from aisa.channel.payer import PayerChannel
from aisa.channel.wallet import Wallet, WalletReceipt
from aisa.cli.progress import Progress
from aisa.errors import MalformedMessage, NodeUnavailable, NotFound, ReceiptInvalid
from aisa.identity import verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf, ReceiptProof
from aisa.protocol.problem import error_of, parse_problem
from aisa.protocol.strictjson import JsonObject, parse_object

_PAGE: Final = 1000
_PROOF_BYTES_MAX: Final = 64 * 1024
_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one channel's receipts; `gone` were pruned by the seller after redemption."""

    channel: PayerChannel
    checked: int
    units: int
    gone: int


def check_receipts(
    wallet: Wallet, channels: Sequence[PayerChannel], limit: int | None, progress: Progress
) -> list[Checked]:
    """Ask each seller for the proofs of its receipts and check them.

    Raises:
        ReceiptInvalid: a proof does not lead to what the payee signed; the facts name the call.
        NodeUnavailable: a seller does not answer.
    """
    by_channel = {one.channel: one for one in channels}
    kept = [one for one in newest_receipts(wallet, limit) if one.leaf.channel in by_channel]
    totals = {one.channel: [0, 0, 0] for one in channels}
    with httpx2.Client(timeout=_TIMEOUT_S, trust_env=False) as http:
        for number, receipt in enumerate(kept):
            progress.count("receipts checked", number, len(kept))
            total = totals[receipt.leaf.channel]
            if _check(http, by_channel[receipt.leaf.channel], receipt.leaf):
                total[0] += 1
                total[1] += receipt.leaf.units
            else:
                total[2] += 1
    return [Checked(by_channel[name], *counts) for name, counts in totals.items() if any(counts)]


def newest_receipts(wallet: Wallet, limit: int | None) -> Sequence[WalletReceipt]:
    """The newest receipts, or all, in the order in which they came."""
    found: deque[WalletReceipt] = deque(maxlen=limit)
    after = 0
    while page := wallet.receipts(after=after, limit=_PAGE):
        found.extend(page)
        after = page[-1].number
    return found


def _check(http: httpx2.Client, channel: PayerChannel, leaf: ReceiptLeaf) -> bool:
    """Whether the receipt is proved; false if the seller keeps it no more."""
    query = {
        "channel": base64url.encode(leaf.channel),
        "lane": str(leaf.lane),
        "seq": str(leaf.seq),
    }
    try:
        answer = http.get(f"{channel.session_url}/receipts", params=query)
    except httpx2.HTTPError as error:
        raise NodeUnavailable(
            f"the seller at {channel.session_url} does not answer", hint="try again when it runs"
        ) from error
    if answer.status_code != 200:
        refusal = error_of(parse_problem(answer.content, status=answer.status_code))
        if isinstance(refusal, NotFound):
            return False
        raise refusal
    try:
        proof = parse_proof(answer.content)
        signed = proof.signing_bytes()
    except MalformedMessage as error:
        raise _invalid(leaf, error.detail) from error
    if proof.leaf != leaf:
        raise _invalid(leaf, "the seller proves another call")
    if proof.payee != channel.terms.payee:
        raise _invalid(leaf, "another key signed")
    if not verify_signature(proof.payee, signed, proof.signature):
        raise _invalid(leaf, "the signature is not over this root")
    return True


def parse_proof(body: bytes) -> ReceiptProof:
    """Read a seller's proof of one receipt.

    Raises:
        MalformedMessage: it is not one.
    """
    document = parse_object(body, "receipt proof", bytes_max=_PROOF_BYTES_MAX)
    path = document.get("path")
    if not isinstance(path, list | tuple) or not all(isinstance(one, str) for one in path):
        raise MalformedMessage("the receipt proof has no path")
    leaf = ReceiptLeaf(
        channel=_bytes(document, "channel", 32),
        lane=_whole(document, "lane"),
        seq=_whole(document, "seq"),
        units=_whole(document, "charged"),
        request=_bytes(document, "request", 32),
        status=_whole(document, "status"),
        answer=_bytes(document, "answer", 32),
    )
    return ReceiptProof(
        leaf=leaf,
        index=_whole(document, "index"),
        count=_whole(document, "count"),
        path=tuple(base64url.decode_exact(str(one), "path", 32) for one in path),
        payee=_bytes(document, "payee", 32),
        batch=_whole(document, "batch"),
        signature=_bytes(document, "signature", 64),
    )


def _bytes(document: JsonObject, name: str, size: int) -> bytes:
    return base64url.decode_exact(str(document.get(name, "")), name, size)


def _whole(document: JsonObject, name: str) -> int:
    value = document.get(name)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text.isdecimal() or not text.isascii() or len(text) > 19:
        raise MalformedMessage(f"the receipt proof's {name} is not a whole number")
    return int(text)


def _invalid(leaf: ReceiptLeaf, what: str) -> ReceiptInvalid:
    return ReceiptInvalid(
        f"receipt {leaf.lane}:{leaf.seq} does not verify: {what}",
        channel=leaf.channel.hex(),
        lane=leaf.lane,
        seq=leaf.seq,
    )
