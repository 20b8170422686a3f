"""MPP method `evm`, intent `session`: a channel in an escrow contract, and vouchers for its use.

The contract is the draft's own kind: it names a channel and a voucher otherwise than x402's does,
so a voucher for one is worth nothing in the other. Source: draft-evm-session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.protocol import jcs
from aisa.protocol.eip712 import (
    CHAIN_ID_MAX,
    UINT128_MAX,
    Domain,
    address_word,
    bytes_word,
    struct_hash,
    type_hash,
    uint_word,
)
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_fields import (
    optional_digits,
    read_address,
    read_chain_id,
    read_digits,
    read_word,
)
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import JsonValue, malformed, parse_object, present

SPLITS_MAX: Final = 10
_BPS: Final = 10_000
_MEMO_CHARS_MAX: Final = 256
_TEXT_CHARS_MAX: Final = 1024
_VOUCHER: Final = "Voucher(bytes32 channelId,uint128 cumulativeAmount)"


def session_domain(chain_id: int, contract: bytes) -> Domain:
    """Return the domain of a session's escrow contract."""
    return Domain("EVM Payment Channel", "1", chain_id, contract)


def session_voucher_digest(escrow: Domain, channel: bytes, cumulative: int) -> bytes:
    """Return the 32 bytes that a payer signs for `cumulative` units in total.

    Raises:
        MalformedMessage: the channel has another size, or the amount is above 128 bits.
    """
    words = bytes_word(channel), uint_word(cumulative, UINT128_MAX)
    return escrow.digest(struct_hash(type_hash(_VOUCHER), *words))


@dataclass(frozen=True, slots=True)
class SessionChannel:
    """What a session's channel is for ever; `signer` is zero where the payer signs the vouchers."""

    payer: bytes
    payee: bytes
    token: bytes
    salt: bytes
    signer: bytes = bytes(20)

    def channel_id(self, chain_id: int, contract: bytes) -> bytes:
        """The 32-byte id of the channel in that contract.

        Raises:
            MalformedMessage: a member has another size, or the chain id is out of range.
        """
        return keccak_256(
            address_word(self.payer)
            + address_word(self.payee)
            + address_word(self.token)
            + bytes_word(self.salt)
            + address_word(self.signer)
            + address_word(contract)
            + uint_word(chain_id, CHAIN_ID_MAX)
        )


@dataclass(frozen=True, slots=True)
class ShareSplit:
    """`bps` hundredths of a percent of every settlement go to somebody else."""

    recipient: bytes
    bps: int
    memo: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        members: dict[str, JsonValue] = {
            "recipient": format_address(self.recipient),
            "bps": self.bps,
            "memo": self.memo,
        }
        return present(members)


@dataclass(frozen=True, slots=True)
class EvmSessionRequest:
    """What the seller asks: `amount` units of the token `currency` per unit of its service.

    Members that the draft does not name are passed over: a payer echoes the challenge's bytes, not
    this object.

    Raises:
        MalformedMessage: the splits leave nothing to the recipient.
    """

    amount: int
    currency: bytes
    recipient: bytes
    chain_id: int
    escrow: bytes
    unit_type: str | None = None
    suggested_deposit: int | None = None
    channel: bytes | None = None
    voucher_step_min: int | None = None
    fee_payer: bool = False
    splits: tuple[ShareSplit, ...] = ()
    description: str | None = None
    external_id: str | None = None

    def __post_init__(self) -> None:
        if sum(one.bps for one in self.splits) >= _BPS:
            raise malformed("request.splits", "leave nothing to the recipient")

    def format(self) -> bytes:
        """Return the canonical JSON of a challenge's `request`."""
        details: dict[str, JsonValue] = {
            "chainId": self.chain_id,
            "escrowContract": format_address(self.escrow),
            "channelId": None if self.channel is None else format_bytes(self.channel),
            "minVoucherDelta": _digits(self.voucher_step_min),
            "feePayer": self.fee_payer or None,
            "splits": [one.to_json() for one in self.splits] or None,
        }
        document: dict[str, JsonValue] = {
            "amount": str(self.amount),
            "unitType": self.unit_type,
            "suggestedDeposit": _digits(self.suggested_deposit),
            "currency": format_address(self.currency),
            "recipient": format_address(self.recipient),
            "description": self.description,
            "externalId": self.external_id,
            "methodDetails": present(details),
        }
        return jcs.canonical(present(document), "request")

    @classmethod
    def parse(cls, raw: bytes) -> EvmSessionRequest:
        """Read a challenge's `request`.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds, and is named; or the splits
                leave nothing to the recipient.
        """
        request = Fields("request", parse_object(raw, "request"))
        details = request.fields("methodDetails")
        channel, fee_payer = (details.members.get(name) for name in ("channelId", "feePayer"))
        return cls(
            amount=read_digits(request, "amount", UINT128_MAX),
            currency=read_address(request, "currency"),
            recipient=read_address(request, "recipient"),
            chain_id=read_chain_id(details),
            escrow=read_address(details, "escrowContract"),
            unit_type=request.optional_text("unitType", chars_max=64),
            suggested_deposit=optional_digits(request, "suggestedDeposit", UINT128_MAX),
            channel=None if channel is None else read_word(details, "channelId"),
            voucher_step_min=optional_digits(details, "minVoucherDelta", UINT128_MAX),
            fee_payer=False if fee_payer is None else details.boolean("feePayer"),
            splits=_read_splits(details),
            description=request.optional_text("description", chars_max=_TEXT_CHARS_MAX),
            external_id=request.optional_text("externalId", chars_max=_TEXT_CHARS_MAX),
        )


def _read_splits(details: Fields) -> tuple[ShareSplit, ...]:
    if details.members.get("splits") is None:
        return ()
    return tuple(
        ShareSplit(
            read_address(one, "recipient"),
            one.integer("bps", low=1, high=_BPS - 1),
            one.optional_text("memo", chars_max=_MEMO_CHARS_MAX),
        )
        for one in details.each("splits", items_max=SPLITS_MAX)
    )


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)
