"""Receipts: a MAC per call, and a signed Merkle root per batch of calls.

The tree is that of RFC 6962: leaves behind 0x00, nodes behind 0x01, a lone node moves up unchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from aisa.errors import MalformedMessage
from aisa.protocol.frame import frame, u32, u64

_LEAF: Final = struct.Struct(">B11s32sIQQ32sH32s")
_NAME: Final = b"AISA-LEAF/1"
MAC_SIZE: Final = 16
PATH_MAX: Final = 32
NO_DIGEST: Final = bytes(32)


class ReceiptLeaf(msgspec.Struct, frozen=True, gc=False):
    """One charged call: what was asked (`request`), what was answered, how many units it cost.

    `answer` is SHA-256 of the answer's body, or 32 zero bytes where the body was streamed.
    """

    channel: bytes
    lane: int
    seq: int
    units: int
    request: bytes
    status: int
    answer: bytes = NO_DIGEST

    def pack(self) -> bytes:
        """Return the leaf's fixed bytes."""
        try:
            return _LEAF.pack(
                0, _NAME, self.channel, self.lane, self.seq, self.units, self.request,
                self.status, self.answer,
            )  # fmt: skip
        except struct.error as error:
            raise MalformedMessage(f"a receipt's field is out of range: {error}") from error

    def hash(self) -> bytes:
        """Return the leaf's hash in the batch's tree."""
        return hashlib.sha256(self.pack()).digest()

    def mac(self, receipt_key: bytes) -> bytes:
        """Return the 16-byte MAC that the call's answer carries."""
        return hmac.digest(receipt_key, self.pack(), "sha256")[:MAC_SIZE]


@dataclass(frozen=True, slots=True)
class CallReceipt:
    """What `Payment-Receipt` says of one call: a leaf and its MAC."""

    leaf: ReceiptLeaf
    mac: bytes

    def is_authentic(self, receipt_key: bytes) -> bool:
        """Whether the seller that shares this session's key made the receipt."""
        return hmac.compare_digest(self.leaf.mac(receipt_key), self.mac)


@dataclass(frozen=True, slots=True)
class ReceiptProof:
    """A leaf, its path to the batch's root, and the payee's signature over that root."""

    leaf: ReceiptLeaf
    index: int
    count: int
    path: tuple[bytes, ...]
    payee: bytes
    batch: int
    signature: bytes

    def root(self) -> bytes:
        """Return the root that the path leads to.

        Raises:
            MalformedMessage: the path does not fit the index and the count.
        """
        return _climb(self.leaf.hash(), self.index, self.count, self.path)

    def signing_bytes(self) -> bytes:
        """What the payee signs for the batch."""
        return frame("AISA-RECEIPTS/1", self.payee, u64(self.batch), u32(self.count), self.root())


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes.

    Raises:
        MalformedMessage: there is no leaf.
    """
    if not leaves:
        raise MalformedMessage("a batch without calls has no root")
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def merkle_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the siblings from leaf `index` up to the root."""
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index //= 2
    return tuple(path)


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs


def _climb(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    if not 0 <= index < count <= 2**PATH_MAX or len(path) > PATH_MAX:
        raise MalformedMessage("the receipt's index is outside its batch")
    siblings = iter(path)
    node = leaf
    try:
        while count > 1:
            if index % 2:
                node = _node(next(siblings), node)
            elif index + 1 < count:
                node = _node(node, next(siblings))
            index, count = index // 2, (count + 1) // 2
    except StopIteration:
        raise MalformedMessage("the receipt's path is too short") from None
    if next(siblings, None) is not None:
        raise MalformedMessage("the receipt's path is too long")
    return node
