"""EVM addresses and byte strings as text: `0x` and hex digits, addresses with a checksum.

Source: ERC-55, the capitals of an address are its checksum.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import malformed

ADDRESS_SIZE: Final = 20
ADDRESS_CHARS: Final = 42
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)


@lru_cache(maxsize=4096)
def format_address(address: bytes) -> str:
    """Return the 20 bytes as `0x` and 40 hex digits with the checksum of ERC-55.

    Raises:
        MalformedMessage: it has another size.
    """
    if len(address) != ADDRESS_SIZE:
        raise malformed("address", f"has {len(address)} bytes, not {ADDRESS_SIZE}")
    digits = address.hex()
    shades = keccak_256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if shade >= "8" else digit
        for digit, shade in zip(digits, shades, strict=False)
    )


@lru_cache(maxsize=4096)
def parse_address(text: str, what: str = "address") -> bytes:
    """Return the 20 bytes of an address.

    Raises:
        MalformedMessage: it is not 40 hex digits behind `0x`, or letters of both cases are not its
            checksum, which is how a mistyped address shows; names `what`.
    """
    if len(text) != ADDRESS_CHARS or _HEX.fullmatch(text) is None:
        raise malformed(what, "is not an address: 0x and 40 hex digits")
    address = bytes.fromhex(text[2:])
    has_one_case = text[2:] in {text[2:].lower(), text[2:].upper()}
    if not has_one_case and text != format_address(address):
        raise malformed(what, "has a wrong checksum: was it copied whole?")
    return address


def format_bytes(data: bytes) -> str:
    """Return `0x` and lower-case hex digits."""
    return "0x" + data.hex()


def parse_bytes(text: str, what: str, *, bytes_max: int) -> bytes:
    """Return the bytes of `0x` and hex digits.

    Raises:
        MalformedMessage: it is something else, or longer than `bytes_max`; names `what`.
    """
    if len(text) > 2 + 2 * bytes_max:
        raise malformed(what, f"is longer than {bytes_max} bytes")
    if _HEX.fullmatch(text) is None:
        raise malformed(what, "is not 0x and hex digits, two per byte")
    return bytes.fromhex(text[2:])


def parse_bytes_exact(text: str, what: str, size: int) -> bytes:
    """Return the `size` bytes of `0x` and hex digits.

    Raises:
        MalformedMessage: as `parse_bytes`, or another size; names `what`.
    """
    data = parse_bytes(text, what, bytes_max=size)
    if len(data) != size:
        raise malformed(what, f"has {len(data)} bytes, not {size}")
    return data
