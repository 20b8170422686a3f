"""Receipts of the payee: a MAC for each call, a signed path for each call on request."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from aisa.channel.store import Charge
from aisa.identity import Signer
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf, ReceiptProof, merkle_path
from aisa.protocol.timestamp import format_timestamp


def leaf_of(charge: Charge, channel: bytes) -> ReceiptLeaf:
    """The leaf of a stored charge of the channel with this id."""
    return ReceiptLeaf(
        channel,
        charge.lane,
        charge.seq,
        charge.units,
        charge.request,
        charge.status,
        charge.answer_digest,
    )


def receipt_header(leaf: ReceiptLeaf, receipt_key: bytes, at_ms: int) -> bytes:
    """The `Payment-Receipt` of one call that was charged at `at_ms` (unix milliseconds).

    This runs for every paid call: it writes what `mpp.Receipt(…).format()` would, without checking
    and sorting the members again. A test compares the two.
    """
    mac = base64url.encode(leaf.mac(receipt_key))
    text = (
        f'{{"channel":"{_text(leaf.channel)}","charged":"{leaf.units}","mac":"{mac}",'
        f'"method":"aisa","reference":"{leaf.lane}:{leaf.seq}","status":"success",'
        f'"timestamp":"{_moment(at_ms // 1000)}"}}'
    )
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


_text = lru_cache(maxsize=4096)(base64url.encode)
_moment = lru_cache(maxsize=16)(format_timestamp)


def prove(leaves: Sequence[ReceiptLeaf], index: int, batch: int, signer: Signer) -> ReceiptProof:
    """The path of one leaf of a batch, and the payee's signature over the batch's root."""
    hashes = [leaf.hash() for leaf in leaves]
    unsigned = ReceiptProof(
        leaves[index],
        index,
        len(leaves),
        merkle_path(hashes, index),
        signer.public_key,
        batch,
        b"",
    )
    return replace(unsigned, signature=signer.sign(unsigned.signing_bytes()))
