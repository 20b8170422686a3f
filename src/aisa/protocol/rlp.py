"""RLP: how EVM networks write lists of byte strings; one spelling per value, others are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from aisa.errors import MalformedMessage

Item: TypeAlias = "bytes | Sequence[Item]"

DEPTH_MAX: Final = 8
_SHORT: Final = 55


def encode(item: Item) -> bytes:
    """Return the bytes of a byte string or of a list."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _head(0x80, len(item)) + item
    body = b"".join(encode(one) for one in item)
    return _head(0xC0, len(body)) + body


def encode_uint(value: int) -> bytes:
    """Return a number as the byte string that stands for it: big-endian, without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def decode(data: bytes) -> Item:
    """Return the one item that the bytes stand for; lists are tuples.

    Raises:
        MalformedMessage: the bytes are not exactly one item in its one spelling, or lists are nested
            deeper than 8.
    """
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise MalformedMessage("RLP: there are bytes behind the item")
    return item


def decode_uint(data: bytes) -> int:
    """Return the number that a byte string stands for.

    Raises:
        MalformedMessage: it has a leading zero.
    """
    if data[:1] == b"\0":
        raise MalformedMessage("RLP: a number has a leading zero")
    return int.from_bytes(data)


def _head(offset: int, size: int) -> bytes:
    if size <= _SHORT:
        return bytes((offset + size,))
    written = encode_uint(size)
    return bytes((offset + _SHORT + len(written),)) + written


def _item(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    if at >= end:
        raise MalformedMessage("RLP: an item is missing")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    offset = 0x80 if first < 0xC0 else 0xC0
    start, stop = _bounds(data, at, end, first - offset)
    if offset == 0x80:
        text = data[start:stop]
        if len(text) == 1 and text[0] < 0x80:
            raise MalformedMessage("RLP: a byte below 128 stands for itself")
        return text, stop
    if depth >= DEPTH_MAX:
        raise MalformedMessage(f"RLP: lists are nested deeper than {DEPTH_MAX}")
    items: list[Item] = []
    while start < stop:
        item, start = _item(data, start, stop, depth + 1)
        items.append(item)
    return tuple(items), stop


def _bounds(data: bytes, at: int, end: int, head: int) -> tuple[int, int]:
    start = at + 1
    size = head
    if head > _SHORT:
        start += head - _SHORT
        written = data[at + 1 : start]
        size = decode_uint(written)
        if size <= _SHORT:
            raise MalformedMessage("RLP: a short item has a long head")
    if start + size > end:
        raise MalformedMessage("RLP: an item is longer than what holds it")
    return start, start + size
