"""EIP-1559 transactions: the digest that an account signs, and the bytes that a network takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol import rlp
from aisa.protocol.eip712 import CHAIN_ID_MAX, UINT256_MAX
from aisa.protocol.evm_address import ADDRESS_SIZE
from aisa.protocol.keccak import keccak_256

SIZE_MAX: Final = 128 * 1024
_TYPE: Final = b"\x02"
_UINT64_MAX: Final = 2**64 - 1
_V_BASE: Final = 27


@dataclass(frozen=True, slots=True)
class Transaction:
    """One call of `to` (20 bytes) with `data` by the account's `nonce`; prices in wei per gas.

    Access lists and the making of contracts are not used here, and refused.

    Raises:
        MalformedMessage: a number is out of range, or the address has another size.
    """

    chain_id: int
    nonce: int
    tip_wei_max: int
    fee_wei_max: int
    gas_max: int
    to: bytes
    value_wei: int
    data: bytes

    def __post_init__(self) -> None:
        for value, maximum in (
            (self.chain_id, CHAIN_ID_MAX),
            (self.nonce, _UINT64_MAX),
            (self.gas_max, _UINT64_MAX),
            (self.tip_wei_max, UINT256_MAX),
            (self.fee_wei_max, UINT256_MAX),
            (self.value_wei, UINT256_MAX),
        ):
            if not 0 <= value <= maximum:
                raise MalformedMessage(f"the transaction has a number beyond {maximum}")
        if len(self.to) != ADDRESS_SIZE:
            raise MalformedMessage(f"the transaction calls no address of {ADDRESS_SIZE} bytes")

    def digest(self) -> bytes:
        """The 32 bytes that the account signs."""
        return keccak_256(_TYPE + rlp.encode(self._items()))

    def signed(self, signature: bytes) -> bytes:
        """Return the bytes to send, with the account's 65-byte signature over the digest.

        Raises:
            MalformedMessage: the signature has another size, or its v is not 27 or 28.
        """
        if len(signature) != 65 or signature[64] - _V_BASE not in {0, 1}:
            raise MalformedMessage("the signature is not one of an EVM account")
        parts = (signature[64] - _V_BASE, *_halves(signature))
        return _TYPE + rlp.encode((*self._items(), *map(rlp.encode_uint, parts)))

    def _items(self) -> tuple[rlp.Item, ...]:
        return (
            rlp.encode_uint(self.chain_id),
            rlp.encode_uint(self.nonce),
            rlp.encode_uint(self.tip_wei_max),
            rlp.encode_uint(self.fee_wei_max),
            rlp.encode_uint(self.gas_max),
            self.to,
            rlp.encode_uint(self.value_wei),
            self.data,
            (),
        )


def transaction_hash(raw: bytes) -> bytes:
    """Return the 32 bytes that name a signed transaction on its network."""
    return keccak_256(raw)


def parse_transaction(raw: bytes) -> tuple[Transaction, bytes]:
    """Read a signed EIP-1559 transaction; return it and its 65-byte signature, unchecked.

    Raises:
        MalformedMessage: another type or spelling, an access list, a number out of range, or too
            long.
    """
    if raw[:1] != _TYPE or len(raw) > SIZE_MAX:
        raise MalformedMessage("it is not an EIP-1559 transaction")
    items = rlp.decode(raw[1:])
    if isinstance(items, bytes) or len(items) != 12 or items[8] != ():
        raise MalformedMessage("the transaction has not the twelve members that we use")
    texts = [item for item in items if isinstance(item, bytes)]
    if len(texts) != 11:
        raise MalformedMessage("the transaction has a list where a text belongs")
    chain_id, nonce, tip, fee, gas = map(rlp.decode_uint, texts[:5])
    value = rlp.decode_uint(texts[6])
    v, r, s = map(rlp.decode_uint, texts[8:])
    if v not in {0, 1} or max(r, s) > UINT256_MAX:
        raise MalformedMessage("the transaction's signature is out of range")
    transaction = Transaction(chain_id, nonce, tip, fee, gas, texts[5], value, texts[7])
    return transaction, r.to_bytes(32) + s.to_bytes(32) + bytes((v + _V_BASE,))


def _halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
