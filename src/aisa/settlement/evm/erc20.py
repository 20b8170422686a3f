"""ERC-20 and EIP-3009 calls, byte by byte: selectors, arguments and answers."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from aisa.errors import RailError
from aisa.protocol.eip712 import WORD_SIZE, address_word, bytes_word, uint_word
from aisa.protocol.evm_address import ADDRESS_SIZE
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.keccak import keccak_256

TRANSFER_TOPIC: Final = "0x" + keccak_256(b"Transfer(address,address,uint256)").hex()
AUTHORIZATION_USED_TOPIC: Final = "0x" + keccak_256(b"AuthorizationUsed(address,bytes32)").hex()

_TRANSFER_WITH_AUTHORIZATION: Final = (
    "transferWithAuthorization("
    "address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)


@lru_cache(maxsize=256)
def selector(signature: str) -> bytes:
    """Return the four bytes that name a function, such as `transfer(address,uint256)`."""
    return keccak_256(signature.encode())[:4]


def call_data(signature: str, *words: bytes) -> bytes:
    """Return the bytes of a call whose arguments are 32 bytes each."""
    return selector(signature) + b"".join(words)


def transfer_data(to: bytes, units: int) -> bytes:
    """Return the call that moves units of the caller's own."""
    return call_data("transfer(address,uint256)", address_word(to), uint_word(units))


def balance_data(owner: bytes) -> bytes:
    """Return the call that asks for a balance."""
    return call_data("balanceOf(address)", address_word(owner))


def authorization_state_data(payer: bytes, nonce: bytes) -> bytes:
    """Return the call that asks whether an authorisation's nonce is used."""
    return call_data("authorizationState(address,bytes32)", address_word(payer), bytes_word(nonce))


def authorized_transfer_data(authorization: Authorization, signature: bytes) -> bytes:
    """Return the call that carries out what a payer signed."""
    return call_data(
        _TRANSFER_WITH_AUTHORIZATION,
        address_word(authorization.payer),
        address_word(authorization.to),
        uint_word(authorization.value),
        uint_word(authorization.valid_after),
        uint_word(authorization.valid_before),
        bytes_word(authorization.nonce),
        uint_word(signature[64]),
        bytes_word(signature[:32]),
        bytes_word(signature[32:64]),
    )


def topic_address(address: bytes) -> str:
    """Return an address as a log's topic."""
    return "0x" + address_word(address).hex()


def address_in_topic(topic: str) -> bytes:
    """Return the address in a log's topic."""
    return bytes.fromhex(topic[2:])[-ADDRESS_SIZE:]


def text_in(data: bytes, place: int) -> str:
    """Return the text that the word at `place` points to in a contract's answer.

    Raises:
        RailError: there is none.
    """
    start = _word_at(data, place * WORD_SIZE)
    size = _word_at(data, start)
    piece = data[start + WORD_SIZE : start + WORD_SIZE + size]
    if len(piece) != size or size > 256:
        raise RailError("a contract's text is malformed")
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise RailError("a contract's text is malformed") from error


def _word_at(data: bytes, start: int) -> int:
    piece = data[start : start + WORD_SIZE]
    if len(piece) != WORD_SIZE:
        raise RailError("a contract's answer is too short")
    return int.from_bytes(piece)
