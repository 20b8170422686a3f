"""Every call of the node's HTTP API; both clients drive this one list."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from aisa.client.call import Call, get, post
from aisa.client.message import (
    AccountInfo,
    ChannelPage,
    ChannelRole,
    ChannelState,
    ChannelView,
    CloseChannelRequest,
    DepositAddress,
    DepositAddressRequest,
    DepositPage,
    NodeInfo,
    OpenChannelRequest,
    OpenedChannel,
    RedemptionClaim,
    RedemptionResult,
    SolvencyInfo,
    TopUpRequest,
    TransferPage,
    TransferReceipt,
    WithdrawalInfo,
    WithdrawalPage,
    WithdrawalQuote,
    WithdrawalQuoteRequest,
    WithdrawalRequest,
)
from aisa.protocol.aip import ChannelTerms, DepositStatement

LIMIT_DEFAULT = 100


def info() -> Call[NodeInfo]:
    """Who the node is."""
    return get(NodeInfo, "/v1/node", signed=False)


def account() -> Call[AccountInfo]:
    """The caller's account and balances."""
    return get(AccountInfo, "/v1/account")


def transfers(
    currency: str, before: int | None = None, limit: int = LIMIT_DEFAULT
) -> Call[TransferPage]:
    """The caller's history in a currency, newest first."""
    return get(TransferPage, "/v1/account/transfers", currency=currency, before=before, limit=limit)


def transfer_receipt(id: str, currency: str) -> Call[TransferReceipt]:  # noqa: A002 - as below
    """The node's signed word on one line of the caller's history."""
    path = f"/v1/account/transfers/{quote(id, safe='')}/receipt"
    return get(TransferReceipt, path, currency=currency)


def deposit_address(asset: str) -> Call[DepositAddress]:
    """Where to pay an asset to."""
    return post(DepositAddress, "/v1/deposit-addresses", DepositAddressRequest(asset))


def deposits(after: str | None = None, limit: int = LIMIT_DEFAULT) -> Call[DepositPage]:
    """What came in for the caller."""
    return get(DepositPage, "/v1/deposits", after=after, limit=limit)


def withdrawal_quote(asset: str, units: int, destination: str) -> Call[WithdrawalQuote]:
    """What a withdrawal would cost now."""
    message = WithdrawalQuoteRequest(asset, units, destination)
    return post(WithdrawalQuote, "/v1/withdrawal-quotes", message)


def withdraw(
    id: str,  # noqa: A002 - the wire's word
    asset: str,
    units: int,
    destination: str,
    fee_units_max: int,
) -> Call[WithdrawalInfo]:
    """Send money out; repeat with the same id until the state is final."""
    message = WithdrawalRequest(id, asset, units, destination, fee_units_max)
    return post(WithdrawalInfo, "/v1/withdrawals", message)


def withdrawal(id: str) -> Call[WithdrawalInfo]:  # noqa: A002 - the wire's word
    """One withdrawal."""
    return get(WithdrawalInfo, f"/v1/withdrawals/{id}")


def withdrawals(after: str | None = None, limit: int = LIMIT_DEFAULT) -> Call[WithdrawalPage]:
    """The caller's withdrawals."""
    return get(WithdrawalPage, "/v1/withdrawals", after=after, limit=limit)


def open_channel(
    id: str,  # noqa: A002 - the wire's word
    terms: ChannelTerms,
    deposit: int,
    payer_signature: bytes,
) -> Call[OpenedChannel]:
    """Open a channel and get its deposit statement."""
    message = OpenChannelRequest(
        id,
        terms.network,
        terms.payer,
        terms.payee,
        terms.currency,
        terms.salt,
        deposit,
        payer_signature,
    )
    return post(OpenedChannel, "/v1/channels", message)


def top_up(channel: bytes, id: str, units: int) -> Call[OpenedChannel]:  # noqa: A002 - as above
    """Add to a channel's deposit and get a new statement."""
    return post(OpenedChannel, f"/v1/channels/{channel.hex()}/deposits", TopUpRequest(id, units))


def channel(channel_id: bytes) -> Call[ChannelView]:
    """One channel that the caller opened or is paid by."""
    return get(ChannelView, f"/v1/channels/{channel_id.hex()}")


def statement(channel_id: bytes) -> Call[DepositStatement]:
    """A fresh deposit statement of an open channel."""
    return get(DepositStatement, f"/v1/channels/{channel_id.hex()}/statement")


def channels(
    role: ChannelRole,
    state: ChannelState | None = None,
    after: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Call[ChannelPage]:
    """The caller's channels."""
    state_name = None if state is None else state.value
    return get(
        ChannelPage, "/v1/channels", role=role.value, state=state_name, after=after, limit=limit
    )


def close_channel(channel_id: bytes, payer_signature: bytes) -> Call[ChannelView]:
    """Start the closing clock of a channel whose payee does not answer."""
    message = CloseChannelRequest(payer_signature)
    return post(ChannelView, f"/v1/channels/{channel_id.hex()}/close", message)


def redeem(claims: Sequence[RedemptionClaim]) -> Call[tuple[RedemptionResult, ...]]:
    """Take what vouchers allow; the answers are in the order of the claims."""
    return post(tuple[RedemptionResult, ...], "/v1/redemptions", tuple(claims))


def solvency() -> Call[SolvencyInfo]:
    """What the node owes and holds."""
    return get(SolvencyInfo, "/v1/solvency", signed=False)
