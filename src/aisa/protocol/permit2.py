"""Permit2: a signature that moves any ERC-20 token, tied to a witness of what it is for.

The holder has approved the Permit2 contract once. `spender` is who may call it, so a signature for
one contract is worth nothing to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aisa.protocol.eip712 import (
    Domain,
    address_word,
    bytes_word,
    struct_hash,
    type_hash,
    uint_word,
)
from aisa.protocol.evm_address import format_address
from aisa.protocol.evm_fields import read_address, read_digits
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import JsonValue

PERMIT2: Final = bytes.fromhex("000000000022d473030f116ddee9f6b43ac78ba3")
"""The one address that Permit2 has on every network."""

_PERMISSIONS: Final = "TokenPermissions(address token,uint256 amount)"
_TAIL: Final = "address spender,uint256 nonce,uint256 deadline"


def permit2_domain(chain_id: int, contract: bytes = PERMIT2) -> Domain:
    """Return the domain of the Permit2 contract, which has no version."""
    return Domain("Permit2", None, chain_id, contract)


class Witness(Protocol):
    """What a Permit2 signature is for, as a struct of its own."""

    @property
    def type_name(self) -> str:
        """The struct's name."""
        ...

    @property
    def type_text(self) -> str:
        """The struct's type, such as `Witness(address to,uint256 validAfter)`."""
        ...

    def hash(self) -> bytes:
        """The struct's hash."""
        ...


@dataclass(frozen=True, slots=True)
class TokenPermission:
    """Up to `amount` units of the token at this address."""

    token: bytes
    amount: int

    def hash(self) -> bytes:
        """The struct's hash.

        Raises:
            MalformedMessage: the address has another size, or the amount is out of range.
        """
        return struct_hash(
            type_hash(_PERMISSIONS), address_word(self.token), uint_word(self.amount)
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {"token": format_address(self.token), "amount": str(self.amount)}

    @classmethod
    def read(cls, fields: Fields) -> TokenPermission:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(read_address(fields, "token"), read_digits(fields, "amount"))


@dataclass(frozen=True, slots=True)
class Permit:
    """What `spender` may take until `deadline` (unix seconds); `nonce` is any unused number."""

    spender: bytes
    nonce: int
    deadline: int

    def transfer_hash(self, permitted: TokenPermission, witness: Witness) -> bytes:
        """The struct hash for one transfer.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        kind = _type("PermitWitnessTransferFrom", "TokenPermissions permitted", witness)
        return self._hash(kind, permitted.hash(), witness)

    def batch_hash(self, permitted: Sequence[TokenPermission], witness: Witness) -> bytes:
        """The struct hash for several transfers that happen together.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        kind = _type("PermitBatchWitnessTransferFrom", "TokenPermissions[] permitted", witness)
        return self._hash(kind, keccak_256(b"".join(one.hash() for one in permitted)), witness)

    def _hash(self, kind: str, permitted: bytes, witness: Witness) -> bytes:
        return struct_hash(
            type_hash(kind),
            permitted,
            address_word(self.spender),
            uint_word(self.nonce),
            uint_word(self.deadline),
            bytes_word(witness.hash()),
        )


def _type(name: str, first: str, witness: Witness) -> str:
    # EIP-712 appends the structs that a struct refers to in the order of their names.
    nested = sorted((witness.type_text, _PERMISSIONS))
    return f"{name}({first},{_TAIL},{witness.type_name} witness)" + "".join(nested)
