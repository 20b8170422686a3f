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
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf
from aisa.protocol.problem import error_of, parse_problem
from aisa.sdk.proof import read_proof, verify_proof

_PAGE: Final = 1000
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
        verify_proof(read_proof(answer.content), leaf, channel.terms.payee)
    except (MalformedMessage, ReceiptInvalid) as error:
        raise ReceiptInvalid(
            f"receipt {leaf.lane}:{leaf.seq} does not verify: {error.detail}",
            channel=leaf.channel.hex(),
            lane=leaf.lane,
            seq=leaf.seq,
        ) from error
    return True
