"""The framing of every signed `AISA-*/1` message: u16 big-endian length, then the bytes."""

from __future__ import annotations

from aisa.errors import MalformedMessage

FIELD_SIZE_MAX = 0xFFFF


def frame(*fields: bytes | str) -> bytes:
    """Return the fields, each behind its length, so that no two lists of fields look alike.

    Raises:
        MalformedMessage: a field is longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for field in fields:
        raw = field.encode() if isinstance(field, str) else field
        if len(raw) > FIELD_SIZE_MAX:
            raise MalformedMessage("a signed field is longer than 65,535 bytes")
        parts += (len(raw).to_bytes(2), raw)
    return b"".join(parts)


def u16(value: int) -> bytes:
    """Return `value` as two bytes, big-endian."""
    return _unsigned(value, 2)


def u32(value: int) -> bytes:
    """Return `value` as four bytes, big-endian."""
    return _unsigned(value, 4)


def u64(value: int) -> bytes:
    """Return `value` as eight bytes, big-endian."""
    return _unsigned(value, 8)


def _unsigned(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size)
    except OverflowError:
        raise MalformedMessage(f"{value} does not fit {size} bytes without a sign") from None
