"""The part of the contract ABI that a devnet needs: arguments of constructors and of a few calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Value: TypeAlias = "int | bool | str | bytes | Sequence[Value]"

_WORD: Final = 32


def encode(types: Sequence[str], values: Sequence[Value]) -> bytes:
    """Encode arguments: integers, bool, address, bytes, bytesN, string, and lists of these.

    Raises:
        ValueError: a type is another one, or a value does not fit its type.
    """
    if len(types) != len(values):
        raise ValueError(f"{len(types)} arguments are needed, not {len(values)}")
    parts = [_encode_one(kind, value) for kind, value in zip(types, values, strict=True)]
    dynamic = [_is_dynamic(kind) for kind in types]
    head_bytes = sum(
        _WORD if late else len(part) for late, part in zip(dynamic, parts, strict=True)
    )
    head, tail = b"", b""
    for late, part in zip(dynamic, parts, strict=True):
        head += _word(head_bytes + len(tail)) if late else part
        tail += part if late else b""
    return head + tail


def argument_types(signature: str) -> list[str]:
    """The types in a signature such as `mint(address,uint256)`."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    return inside.split(",") if inside else []


def address_at(word: str) -> str:
    """The address in the last 20 bytes of a word, in small letters."""
    return "0x" + word.removeprefix("0x")[-40:].lower()


def _is_dynamic(kind: str) -> bool:
    return kind in {"bytes", "string"} or kind.endswith("[]")


def _encode_one(kind: str, value: Value) -> bytes:
    if kind.endswith("[]") and not isinstance(value, int | str | bytes):
        return _word(len(value)) + encode([kind[:-2]] * len(value), value)
    if kind == "string" and isinstance(value, str):
        return _with_length(value.encode())
    if kind == "bytes" and isinstance(value, bytes):
        return _with_length(value)
    if kind == "address" and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x").rjust(2 * _WORD, "0"))
    if kind == "bool" and isinstance(value, bool):
        return _word(int(value))
    if kind.startswith("uint") and isinstance(value, int):
        return _unsigned(kind, value)
    if kind.startswith("bytes") and isinstance(value, bytes) and kind[5:] == str(len(value)):
        return value.ljust(_WORD, b"\0")
    raise ValueError(f"{value!r} is not a {kind}")


def _unsigned(kind: str, value: int) -> bytes:
    bits = int(kind[4:] or 256)
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value} is not a {kind}")
    return _word(value)


def _with_length(data: bytes) -> bytes:
    return _word(len(data)) + data + b"\0" * (-len(data) % _WORD)


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")
