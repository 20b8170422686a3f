"""What a seller says of a `batch-settlement` channel: its offer, its state, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.protocol.eip712 import UINT40_MAX, UINT128_MAX
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_fields import read_address, read_count, read_signature, read_word
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, present
from aisa.protocol.x402.token import TokenExtra

CUMULATIVE_MISMATCH: Final = "invalid_batch_settlement_evm_cumulative_amount_mismatch"
"""The error of a corrective 402: the ceiling is not what was charged plus the price."""
CUMULATIVE_BELOW_CLAIMED: Final = "invalid_batch_settlement_evm_cumulative_below_claimed"
CHANNEL_BUSY: Final = "invalid_batch_settlement_evm_channel_busy"


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """A channel as the contract has it, and what its seller has charged in all if it says.

    `balance` is what was deposited and not given back. `withdraw_requested_at` is unix seconds, 0
    while the payer has not asked for its rest.
    """

    channel: bytes
    balance: int
    claimed: int
    withdraw_requested_at: int = 0
    refund_nonce: int = 0
    charged: int | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "channelId": format_bytes(self.channel),
                "balance": str(self.balance),
                "totalClaimed": str(self.claimed),
                "withdrawRequestedAt": self.withdraw_requested_at,
                "refundNonce": str(self.refund_nonce),
                "chargedCumulativeAmount": None if self.charged is None else str(self.charged),
            },
        )

    @classmethod
    def read(cls, fields: Fields) -> ChannelSnapshot:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(
            channel=read_word(fields, "channelId"),
            balance=read_count(fields, "balance", UINT128_MAX),
            claimed=read_count(fields, "totalClaimed", UINT128_MAX),
            withdraw_requested_at=_count(fields, "withdrawRequestedAt", UINT40_MAX) or 0,
            refund_nonce=_count(fields, "refundNonce") or 0,
            charged=_count(fields, "chargedCumulativeAmount", UINT128_MAX),
        )


@dataclass(frozen=True, slots=True)
class VoucherSnapshot:
    """The highest voucher that the seller holds, so that a payer who lost its count can go on."""

    ceiling: int
    signature: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "signedMaxClaimable": str(self.ceiling),
            "signature": format_bytes(self.signature),
        }

    @classmethod
    def read(cls, fields: Fields) -> VoucherSnapshot:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        ceiling = read_count(fields, "signedMaxClaimable", UINT128_MAX)
        return cls(ceiling, read_signature(fields))


@dataclass(frozen=True, slots=True)
class BatchExtra:
    """The `extra` of an offer; `channel` and `voucher` stand in a corrective 402 only.

    `deposit_min` is the least that a first deposit may be, in units of the token.
    """

    receiver_authorizer: bytes
    withdraw_delay_s: int
    token: TokenExtra
    deposit_min: int | None = None
    channel: ChannelSnapshot | None = None
    voucher: VoucherSnapshot | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "receiverAuthorizer": format_address(self.receiver_authorizer),
                "withdrawDelay": self.withdraw_delay_s,
                **self.token.to_json(),
                "minDeposit": None if self.deposit_min is None else str(self.deposit_min),
                "channelState": None if self.channel is None else self.channel.to_json(),
                "voucherState": None if self.voucher is None else self.voucher.to_json(),
            },
        )

    @classmethod
    def read(cls, extra: JsonObject | None) -> BatchExtra:
        """Read the members of `extra`; others may stand beside them.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        fields = Fields("extra", extra or {})
        return cls(
            receiver_authorizer=read_address(fields, "receiverAuthorizer"),
            withdraw_delay_s=fields.integer("withdrawDelay", high=UINT40_MAX),
            token=TokenExtra.read(extra),
            deposit_min=_count(fields, "minDeposit", UINT128_MAX),
            channel=_channel(fields),
            voucher=_voucher(fields),
        )


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The `extra` of a settlement or verification: what this call cost, and the channel now."""

    charged: int | None = None
    channel: ChannelSnapshot | None = None
    voucher: VoucherSnapshot | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "chargedAmount": None if self.charged is None else str(self.charged),
                "channelState": None if self.channel is None else self.channel.to_json(),
                "voucherState": None if self.voucher is None else self.voucher.to_json(),
            },
        )

    @classmethod
    def read(cls, extra: JsonObject | None) -> BatchAnswer:
        """Read the members of `extra`; others may stand beside them.

        Raises:
            MalformedMessage: a member breaks its bounds; names it.
        """
        fields = Fields("extra", extra or {})
        return cls(_count(fields, "chargedAmount", UINT128_MAX), _channel(fields), _voucher(fields))


def _count(fields: Fields, name: str, high: int = UINT128_MAX) -> int | None:
    return None if fields.members.get(name) is None else read_count(fields, name, high)


def _channel(fields: Fields) -> ChannelSnapshot | None:
    if fields.optional_object("channelState") is None:
        return None
    return ChannelSnapshot.read(fields.fields("channelState"))


def _voucher(fields: Fields) -> VoucherSnapshot | None:
    state = fields.optional_object("voucherState")
    # A seller that holds no voucher yet writes an empty object.
    if not state or state.get("signature") is None:
        return None
    return VoucherSnapshot.read(fields.fields("voucherState"))
