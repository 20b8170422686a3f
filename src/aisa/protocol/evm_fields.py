"""Members of JSON objects as EVM protocols write them: addresses, hex, and numbers as digits."""

from __future__ import annotations

import re
from typing import Final

from aisa.protocol.eip712 import CHAIN_ID_MAX, UINT256_MAX
from aisa.protocol.evm_address import ADDRESS_CHARS, parse_address, parse_bytes, parse_bytes_exact
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import malformed

SIGNATURE_BYTES_MAX: Final = 8 * 1024
"""A contract's wallet may prove a signature by far more than 65 bytes (ERC-1271, ERC-6492)."""

_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)


def read_address(fields: Fields, name: str) -> bytes:
    """Return a required address as 20 bytes."""
    return parse_address(fields.text(name, chars_max=ADDRESS_CHARS), fields.path(name))


def optional_address(fields: Fields, name: str) -> bytes | None:
    """Return an address, or None when the member is absent."""
    return None if fields.members.get(name) is None else read_address(fields, name)


def read_word(fields: Fields, name: str) -> bytes:
    """Return a required `bytes32`."""
    return parse_bytes_exact(fields.text(name, chars_max=66), fields.path(name), 32)


def read_signature(fields: Fields, name: str = "signature") -> bytes:
    """Return a required signature: 65 bytes of an account, or more of a contract's wallet."""
    text = fields.text(name, chars_max=2 + 2 * SIGNATURE_BYTES_MAX)
    return parse_bytes(text, fields.path(name), bytes_max=SIGNATURE_BYTES_MAX)


def read_digits(fields: Fields, name: str, high: int = UINT256_MAX) -> int:
    """Return a required number that is written as a string of digits, at most `high`."""
    text = fields.text(name, chars_max=78)
    if _DIGITS.fullmatch(text) is None or (value := int(text)) > high:
        raise malformed(fields.path(name), f"is not a string of digits up to {high}")
    return value


def optional_digits(fields: Fields, name: str, high: int = UINT256_MAX) -> int | None:
    """Return a number that is written as a string of digits, or None when it is absent."""
    return None if fields.members.get(name) is None else read_digits(fields, name, high)


def read_count(fields: Fields, name: str, high: int = UINT256_MAX) -> int:
    """Return a required number, as digits or as a JSON integer: peers write either."""
    if isinstance(fields.members.get(name), str):
        return read_digits(fields, name, high)
    return fields.integer(name, high=min(high, 2**53 - 1))


def read_chain_id(fields: Fields, name: str = "chainId") -> int:
    """Return a required chain id, which is a JSON integer."""
    return fields.integer(name, low=1, high=CHAIN_ID_MAX)
