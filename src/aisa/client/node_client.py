"""The asynchronous client of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx2

import aisa.client.calls as calls  # noqa: PLR0402 - from the package would be a cycle
from aisa.client.call import Call
from aisa.client.exchange import (
    TIMEOUT_S_DEFAULT,
    TRANSPORT_ERRORS,
    Exchange,
    collect,
    is_loopback,
    origin_of,
    random_nonce,
    wall_clock_ms,
)
from aisa.client.message import (
    AccountInfo,
    ChannelPage,
    ChannelRole,
    ChannelState,
    ChannelView,
    DepositAddress,
    DepositPage,
    NodeInfo,
    OpenedChannel,
    RedemptionClaim,
    RedemptionResult,
    SolvencyInfo,
    TransferPage,
    TransferReceipt,
    WithdrawalInfo,
    WithdrawalPage,
    WithdrawalQuote,
)
from aisa.identity import Signer
from aisa.protocol.aip import ChannelTerms, DepositStatement

T = TypeVar("T")


class NodeClient:
    """Speaks with the node at `url` as the account of `signer`; use it as a context manager.

    Every method raises the error class that the node's problem names, NodeUnavailable if the node
    does not answer (nothing is known to be decided: repeat with the same id), and MalformedMessage
    for an answer that is not one. `clock` gives unix milliseconds.

    Raises:
        ConfigInvalid: the URL is not `http(s)://host[:port]`.
    """

    def __init__(
        self,
        url: str,
        signer: Signer | None = None,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        nonce: Callable[[], str] = random_nonce,
        timeout_s: float = TIMEOUT_S_DEFAULT,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._exchange = Exchange(origin_of(url), signer, clock, nonce)
        self._timeout_s = timeout_s
        self._http = httpx2.AsyncClient(
            timeout=timeout_s,
            transport=transport,
            trust_env=not is_loopback(self._exchange.origin),
        )

    @property
    def origin(self) -> str:
        """The node's `scheme://host[:port]`."""
        return self._exchange.origin

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send one call and return its answer."""
        request = self._exchange.prepare(call)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(
                    request.method, request.url, headers=request.headers, content=request.body
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    collect((chunk,), body)
        except (*TRANSPORT_ERRORS, TimeoutError) as error:
            self._exchange.unavailable(error)
        return self._exchange.read(call, response.status_code, bytes(body))

    async def info(self) -> NodeInfo:
        """Who the node is."""
        return await self.send(calls.info())

    async def account(self) -> AccountInfo:
        """This key's account and balances."""
        return await self.send(calls.account())

    async def transfers(
        self, currency: str, before: int | None = None, limit: int = calls.LIMIT_DEFAULT
    ) -> TransferPage:
        """The account's history in a currency, newest first."""
        return await self.send(calls.transfers(currency, before, limit))

    async def transfer_receipt(
        self,
        id: str,  # noqa: A002 - the wire's word
        currency: str,
    ) -> TransferReceipt:
        """The node's signed word on one line of this account's history."""
        return await self.send(calls.transfer_receipt(id, currency))

    async def deposit_address(self, asset: str) -> DepositAddress:
        """Where to pay an asset (CAIP-19) so that this account is credited."""
        return await self.send(calls.deposit_address(asset))

    async def deposits(
        self, after: str | None = None, limit: int = calls.LIMIT_DEFAULT
    ) -> DepositPage:
        """What came in for this account."""
        return await self.send(calls.deposits(after, limit))

    async def withdrawal_quote(self, asset: str, units: int, destination: str) -> WithdrawalQuote:
        """What a withdrawal would cost now."""
        return await self.send(calls.withdrawal_quote(asset, units, destination))

    async def withdraw(
        self,
        id: str,  # noqa: A002 - the wire's word
        asset: str,
        units: int,
        destination: str,
        fee_units_max: int,
    ) -> WithdrawalInfo:
        """Send `units` to `destination`, for at most `fee_units_max` on top; idempotent by id."""
        return await self.send(calls.withdraw(id, asset, units, destination, fee_units_max))

    async def withdrawal(self, id: str) -> WithdrawalInfo:  # noqa: A002 - the wire's word
        """One withdrawal as it stands."""
        return await self.send(calls.withdrawal(id))

    async def withdrawals(
        self, after: str | None = None, limit: int = calls.LIMIT_DEFAULT
    ) -> WithdrawalPage:
        """The account's withdrawals."""
        return await self.send(calls.withdrawals(after, limit))

    async def open_channel(
        self,
        id: str,  # noqa: A002 - the wire's word
        terms: ChannelTerms,
        deposit: int,
        payer_signature: bytes,
    ) -> OpenedChannel:
        """Open a channel from this account; `payer_signature` is over `open_bytes`."""
        return await self.send(calls.open_channel(id, terms, deposit, payer_signature))

    async def top_up(
        self,
        channel: bytes,
        id: str,  # noqa: A002 - the wire's word
        units: int,
    ) -> OpenedChannel:
        """Add `units` to a channel's deposit; idempotent by id."""
        return await self.send(calls.top_up(channel, id, units))

    async def channel(self, channel: bytes) -> ChannelView:
        """One channel that this key opened or is paid by."""
        return await self.send(calls.channel(channel))

    async def statement(self, channel: bytes) -> DepositStatement:
        """A fresh deposit statement of an open channel of this account."""
        return await self.send(calls.statement(channel))

    async def channels(
        self,
        role: ChannelRole,
        state: ChannelState | None = None,
        after: str | None = None,
        limit: int = calls.LIMIT_DEFAULT,
    ) -> ChannelPage:
        """This key's channels, by its role in them."""
        return await self.send(calls.channels(role, state, after, limit))

    async def close_channel(self, channel: bytes, payer_signature: bytes) -> ChannelView:
        """Start the closing clock; `payer_signature` is over `close_bytes`."""
        return await self.send(calls.close_channel(channel, payer_signature))

    async def redeem(self, claims: Sequence[RedemptionClaim]) -> tuple[RedemptionResult, ...]:
        """Take what vouchers allow, as their payee; answers in the order of the claims."""
        return await self.send(calls.redeem(claims))

    async def solvency(self) -> SolvencyInfo:
        """What the node owes and holds."""
        return await self.send(calls.solvency())
