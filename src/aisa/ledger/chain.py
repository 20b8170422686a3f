"""The hash chain over batches, and marks that point at a changed row.

    rows_hash = SHA-256(row ‖ row ‖ …)           each row as a MessagePack array, in order of seq
    hash      = SHA-256("AISA-LEDGER/1" ‖ previous hash ‖ rows_hash ‖ first ‖ last ‖ at_ms)   u64 BE
    marks     = CRC-32 of each row, 4 bytes big-endian

The hash says *that* something was changed; the marks say *which* row, at a tenth of what a hash for
each row would cost. They prove nothing, and nothing relies on them but the text of a report.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from aisa.ledger.row import RowTuple

GENESIS = bytes(32)
_DOMAIN = b"AISA-LEDGER/1"
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Link:
    """One batch in the chain: rows `first` to `last`, all of time `at_ms`."""

    number: int
    first: int
    last: int
    at_ms: int
    rows_hash: bytes
    marks: bytes
    hash: bytes


def link(number: int, previous: bytes, at_ms: int, rows: Sequence[RowTuple]) -> Link:
    """Chain a batch of at least one row, in order of `seq`, to the hash of the one before."""
    encoded = [_encode(row) for row in rows]
    rows_hash = hashlib.sha256(b"".join(encoded)).digest()
    marks = struct.pack(f">{len(encoded)}I", *map(zlib.crc32, encoded))
    first, last = rows[0][0], rows[-1][0]
    digest = link_hash(previous, rows_hash, first, last, at_ms)
    return Link(number, first, last, at_ms, rows_hash, marks, digest)


def link_hash(previous: bytes, rows_hash: bytes, first: int, last: int, at_ms: int) -> bytes:
    """Return the hash that chains a batch to `previous`."""
    tail = struct.pack(">QQQ", first, last, at_ms)
    return hashlib.sha256(_DOMAIN + previous + rows_hash + tail).digest()


def first_difference(marks: bytes, rows: Sequence[RowTuple]) -> int | None:
    """Return the index of the first row that does not bear its mark, or None."""
    for index, row in enumerate(rows):
        if marks[4 * index : 4 * index + 4] != struct.pack(">I", zlib.crc32(_encode(row))):
            return index
    return None
