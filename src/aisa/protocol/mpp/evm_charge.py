"""MPP method `evm`, intent `charge`: one transfer of an ERC-20 token pays for one request.

Four ways to pay: a signature through Permit2 or of the token itself (EIP-3009), which the seller
sends and pays the gas for; a signed transaction; or the hash of one that the payer has sent.
Source: draft-evm-charge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aisa.protocol import jcs
from aisa.protocol.evm_address import format_address
from aisa.protocol.evm_fields import (
    optional_address,
    read_address,
    read_chain_id,
    read_digits,
)
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import (
    JsonValue,
    format_json,
    malformed,
    parse_object,
    present,
)

PERMIT2_TYPE: Final = "permit2"
AUTHORIZATION_TYPE: Final = "authorization"
TRANSACTION_TYPE: Final = "transaction"
HASH_TYPE: Final = "hash"
SPLITS_MAX: Final = 10
TYPES_MAX: Final = 8
_MEMO_CHARS_MAX: Final = 256
_TEXT_CHARS_MAX: Final = 1024
_DECIMALS_MAX: Final = 36
_TYPE: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


def challenge_hash(challenge_id: str, realm: str) -> bytes:
    """Return the 32 bytes that tie a signature to one challenge: EIP-3009's nonce, or the witness.

    Raises:
        MalformedMessage: a text is not Unicode.
    """
    return keccak_256(format_json([challenge_id, realm]).encode())


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the amount that goes to somebody else."""

    recipient: bytes
    amount: int
    memo: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "recipient": format_address(self.recipient),
                "amount": str(self.amount),
                "memo": self.memo,
            },
        )


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What the seller asks: `amount` units of the token `currency` in all, on chain `chain_id`.

    `types` are the ways to pay that it takes, the best first; empty when it does not say. `spender`
    is who will call Permit2. Members that the draft does not name are passed over: a payer echoes
    the challenge's bytes, not this object.

    Raises:
        MalformedMessage: the splits leave nothing to the recipient.
    """

    amount: int
    currency: bytes
    recipient: bytes
    chain_id: int
    types: tuple[str, ...] = ()
    decimals: int | None = None
    permit2: bytes | None = None
    spender: bytes | None = None
    splits: tuple[Split, ...] = ()
    description: str | None = None
    external_id: str | None = None

    def __post_init__(self) -> None:
        if self.splits and sum(one.amount for one in self.splits) >= self.amount:
            raise malformed("request.splits", "leave nothing to the recipient")

    @property
    def transfers(self) -> tuple[tuple[bytes, int], ...]:
        """Who gets how much: the recipient the rest, then the splits in their order."""
        rest = self.amount - sum(one.amount for one in self.splits)
        return ((self.recipient, rest), *((one.recipient, one.amount) for one in self.splits))

    def format(self) -> bytes:
        """Return the canonical JSON of a challenge's `request`."""
        details: dict[str, JsonValue] = {
            "chainId": self.chain_id,
            "credentialTypes": list(self.types) or None,
            "decimals": self.decimals,
            "permit2Address": _address(self.permit2),
            "spender": _address(self.spender),
            "splits": [one.to_json() for one in self.splits] or None,
        }
        document: dict[str, JsonValue] = {
            "amount": str(self.amount),
            "currency": format_address(self.currency),
            "recipient": format_address(self.recipient),
            "description": self.description,
            "externalId": self.external_id,
            "methodDetails": present(details),
        }
        return jcs.canonical(present(document), "request")

    @classmethod
    def parse(cls, raw: bytes) -> ChargeRequest:
        """Read a challenge's `request`.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds, and is named; or the splits
                leave nothing to the recipient.
        """
        request = Fields("request", parse_object(raw, "request"))
        details = request.fields("methodDetails")
        decimals = details.members.get("decimals")
        return cls(
            amount=read_digits(request, "amount"),
            currency=read_address(request, "currency"),
            recipient=read_address(request, "recipient"),
            chain_id=read_chain_id(details),
            types=_read_types(details),
            decimals=None if decimals is None else details.integer("decimals", high=_DECIMALS_MAX),
            permit2=optional_address(details, "permit2Address"),
            spender=optional_address(details, "spender"),
            splits=_read_splits(details),
            description=request.optional_text("description", chars_max=_TEXT_CHARS_MAX),
            external_id=request.optional_text("externalId", chars_max=_TEXT_CHARS_MAX),
        )


def _read_types(details: Fields) -> tuple[str, ...]:
    items: Iterable[JsonValue] = (
        details.optional_array("credentialTypes", items_max=TYPES_MAX) or ()
    )
    what = details.path("credentialTypes")
    return tuple(
        Fields(what, {"type": one}).text("type", chars_max=32, pattern=_TYPE) for one in items
    )


def _read_splits(details: Fields) -> tuple[Split, ...]:
    if details.members.get("splits") is None:
        return ()
    return tuple(
        Split(
            read_address(one, "recipient"),
            read_digits(one, "amount"),
            one.optional_text("memo", chars_max=_MEMO_CHARS_MAX),
        )
        for one in details.each("splits", items_max=SPLITS_MAX)
    )


def _address(address: bytes | None) -> str | None:
    return None if address is None else format_address(address)
