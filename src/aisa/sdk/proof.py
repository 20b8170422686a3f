"""A receipt's proof: the leaf, its path, and the payee's signature over the batch's root."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import msgspec

from aisa.errors import NotFound, RailUnavailable, ReceiptInvalid
from aisa.identity import verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf, ReceiptProof
from aisa.protocol.aip.field import parse_json, parse_units_text
from aisa.protocol.aip.receipt import PATH_MAX
from aisa.sdk.answer import Receipt
from aisa.sdk.exchange import error_in
from aisa.sdk.purse import Purse
from aisa.sdk.step import Dance, Lost, Send, run, send

_BYTES_MAX: Final = 16 * 1024
_TIMEOUT_S: Final = 15.0


class _ProofJson(msgspec.Struct, frozen=True):
    channel: str
    lane: int
    seq: int
    charged: str
    request: str
    status: int
    answer: str
    index: int
    count: int
    path: list[str]
    payee: str
    batch: int
    signature: str


def read_proof(raw: bytes) -> ReceiptProof:
    """Read a session URL's proof of a receipt.

    Raises:
        MalformedMessage: it is not one.
    """
    said = parse_json(raw, _ProofJson, "proof", _BYTES_MAX)
    leaf = ReceiptLeaf(
        base64url.decode_exact(said.channel, "channel", 32),
        said.lane,
        said.seq,
        parse_units_text(said.charged, "charged"),
        base64url.decode_exact(said.request, "request", 32),
        said.status,
        base64url.decode_exact(said.answer, "answer", 32),
    )
    path = tuple(base64url.decode_exact(node, "path", 32) for node in said.path[: PATH_MAX + 1])
    return ReceiptProof(
        leaf,
        said.index,
        said.count,
        path,
        base64url.decode_exact(said.payee, "payee", 32),
        said.batch,
        base64url.decode_exact(said.signature, "signature", 64),
    )


def verify_proof(proof: ReceiptProof, leaf: ReceiptLeaf, payee: bytes) -> None:
    """Check that a payee signed for exactly this leaf: what convinces anyone, not the payer alone.

    Raises:
        ReceiptInvalid: it did not.
        MalformedMessage: the path does not fit the index and the count.
    """
    if proof.leaf != leaf or proof.payee != payee:
        raise ReceiptInvalid("the proof is about another call or another payee")
    if not verify_signature(payee, proof.signing_bytes(), proof.signature):
        raise ReceiptInvalid("the payee did not sign the root that the path leads to")


def prove(purse: Purse, receipt: Receipt) -> Dance[ReceiptProof]:
    """Fetch the proof of a kept receipt from its seller, and check it.

    Raises:
        ReceiptInvalid: the seller's proof does not hold.
        NotFound: the seller keeps the batch no longer.
        RailUnavailable: the seller does not answer.
    """
    leaf = receipt.leaf
    channel = yield from run(lambda: purse.wallet.channel(leaf.channel))
    query = urlencode(
        {"channel": base64url.encode(leaf.channel), "lane": leaf.lane, "seq": leaf.seq}
    )
    url = f"{channel.session_url}/receipts?{query}"
    reply = yield from send(Send("GET", url, {"Accept-Encoding": "identity"}, b"", _TIMEOUT_S))
    if isinstance(reply, Lost):
        raise RailUnavailable(f"the seller at {url} does not answer ({reply.reason})")
    if reply.status == 404:
        raise NotFound("the seller has no proof of this receipt any more")
    if reply.status != 200:
        raise error_in(reply)
    proof = read_proof(reply.content)
    verify_proof(proof, leaf, channel.terms.payee)
    return proof
