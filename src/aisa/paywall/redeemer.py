"""Redemption: turns what payers signed into balance at the hub, in batches, again until it is known.

What is claimed is durable before it is sent, and an unknown outcome repeats exactly the same claim:
the hub names it by channel and cumulative amount, so nothing is ever paid twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aisa import faults
from aisa.channel.payee import PayeeChannel
from aisa.channel.store import ChannelState
from aisa.client import (
    AccountInfo,
    ChannelPage,
    ChannelRole,
    ChannelView,
    RedemptionClaim,
    RedemptionResult,
    RedemptionStatus,
    WithdrawalInfo,
)
from aisa.client import ChannelState as HubChannelState
from aisa.errors import AisaError, NodeUnavailable, StoreUnavailable
from aisa.paywall.till import Till, pinned
from aisa.protocol import base64url

CLAIMS_MAX: Final = 100
CLOSING_CHECK_S: Final = 6 * 3600
PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 60.0
STOP_S_MAX: Final = 10.0

logger = logging.getLogger("aisa.paywall")


class HubClient(Protocol):
    """What the seller asks of a hub; `aisa.client.NodeClient` is one."""

    async def redeem(self, claims: Sequence[RedemptionClaim]) -> tuple[RedemptionResult, ...]:
        """Claim cumulative amounts."""
        ...

    async def channels(
        self,
        role: ChannelRole,
        state: HubChannelState | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> ChannelPage:
        """The seller's channels in a state."""
        ...

    async def channel(self, channel: bytes) -> ChannelView:
        """One channel that the seller is paid by."""
        ...

    async def account(self) -> AccountInfo:
        """What the seller holds there."""
        ...

    async def withdraw(
        self,
        id: str,  # noqa: A002 - the wire's word
        asset: str,
        units: int,
        destination: str,
        fee_units_max: int,
    ) -> WithdrawalInfo:
        """Send the seller's money out."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """Withdraw all as `asset` to `destination` once the account at the hub holds `above_units`."""

    above_units: int
    asset: str
    destination: str
    fee_units_max: int


class Redeemer:
    """Redeems at one hub when half of its cap is used, when a payer closes, and at the stop."""

    def __init__(
        self,
        network: str,
        till: Till,
        client: HubClient,
        currency: str,
        clock: Callable[[], int],
        *,
        sweep: Sweep | None = None,
        interval_s: float = CLOSING_CHECK_S,
    ) -> None:
        self._network = network
        self._till = till
        self._client = client
        self._currency = currency
        self._clock = clock
        self._sweep = sweep
        self._lost = 0
        self._interval_s = min(interval_s, CLOSING_CHECK_S)
        self._wake = asyncio.Event()
        self._one_round = asyncio.Lock()
        self._refused: set[int] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with the channels that payers closed while the seller was away."""
        self._task = asyncio.create_task(self._run(), name=f"redeem {self._network[:16]}")

    def soon(self) -> asyncio.Future[None]:
        """Redeem as soon as possible; the future is done after the next whole round."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        return done

    def due(self) -> None:
        """Half of the cap is used."""
        self._wake.set()

    async def stop(self) -> None:
        """Redeem what is left, if the hub answers within 10 seconds, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await self.redeem_all()
        except (AisaError, TimeoutError) as error:
            logger.warning("not everything was redeemed at the stop: %s", error)
        for waiting in self._waiting:
            waiting.cancel()
        await self._client.close()

    async def redeem_all(self) -> None:
        """Claim everything that is owed, once.

        Raises:
            NodeUnavailable: the hub did not answer; the same claims are repeated later.
            StoreUnavailable: a claim could not be made durable, so it was not sent.
        """
        async with self._one_round:
            await self._redeem_all()

    async def _redeem_all(self) -> None:
        # Twice: a claim that was open is repeated as it was, and only the next can be final.
        for _ in range(2):
            numbers = sorted(self._till.owing.get(self._network, set()) - self._refused)
            for start in range(0, len(numbers), CLAIMS_MAX):
                found = [self._till.find_number(n) for n in numbers[start : start + CLAIMS_MAX]]
                await self._claim([channel for channel in found if channel is not None])
        if self._sweep is not None:
            await self._sweep_out(self._sweep)

    async def _run(self) -> None:
        pause_s = PAUSE_S_MIN
        loop = asyncio.get_running_loop()
        next_check = loop.time()
        while True:
            try:
                if loop.time() >= next_check:
                    await self._look_for_closing()
                    next_check = loop.time() + self._interval_s
                self._wake.clear()
                waiting, self._waiting = self._waiting, []
                try:
                    await self.redeem_all()
                except BaseException:
                    self._waiting += waiting
                    raise
                for done in waiting:
                    if not done.done():
                        done.set_result(None)
                pause_s = PAUSE_S_MIN
            except (NodeUnavailable, StoreUnavailable) as error:
                pause_s = min(max(1.0, pause_s * 2), PAUSE_S_MAX)
                logger.warning("redeeming again in %.0f s: %s", pause_s, error)
                self._wake.set()
            except Exception:
                # The worker's top: whatever happened to one round, the next one may succeed.
                pause_s = PAUSE_S_MAX
                logger.exception("a round of redemptions failed; again in %.0f s", pause_s)
                self._wake.set()
            await asyncio.sleep(pause_s)
            await self._sleep_until_woken(next_check - loop.time())

    async def _sleep_until_woken(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look_for_closing(self) -> None:
        """Learn which channels payers are closing at the hub, where the clock runs against us."""
        self._refused.clear()
        after: str | None = None
        while True:
            page = await self._client.channels(
                ChannelRole.PAYEE, HubChannelState.CLOSING, after, CLAIMS_MAX
            )
            for view in page.channels:
                try:
                    channel = self._till.find(view.channel)
                except AisaError:
                    continue
                channel.start_closing()
                await self._till.gatherer.save(channel)
            after = page.next_after
            if after is None:
                return

    async def _claim(self, channels: list[PayeeChannel]) -> None:
        with pinned(*channels):
            claims = {channel.id: claim for channel in channels if (claim := _claim_of(channel))}
            claimed = [channel for channel in channels if channel.id in claims]
            if not claimed:
                return
            await asyncio.gather(*(self._till.gatherer.save(channel) for channel in claimed))
            faults.hit("seller.redeem.before")
            results = await self._client.redeem(list(claims.values()))
            faults.hit("seller.redeem.after")
            by_channel = {result.channel: result for result in results}
            for channel in claimed:
                result = by_channel.get(channel.id)
                if result is not None:
                    await self._take_in(channel, claims[channel.id], result)
            await asyncio.gather(*(self._till.gatherer.save(channel) for channel in claimed))

    async def _take_in(
        self, channel: PayeeChannel, claim: RedemptionClaim, result: RedemptionResult
    ) -> None:
        if result.status is not RedemptionStatus.REFUSED:
            channel.redeemed_to(result.redeemed, final=claim.final)
            return
        # No further call makes this better: serve no more on the channel, and let a person look.
        reason = result.problem.detail if result.problem is not None else "no reason given"
        name = base64url.encode(channel.id)
        logger.error("the node refused to redeem channel %s: %s", name, reason)
        channel.redeemed_to(result.redeemed, final=False)
        channel.start_closing()
        self._refused.add(channel.number)
        try:
            view = await self._client.channel(channel.id)
        except AisaError as error:
            logger.warning("what the node holds of channel %s is not known: %s", name, error)
            return
        if view.state is HubChannelState.CLOSED:
            if channel.in_flight or channel.voiding:
                self._refused.discard(channel.number)  # The next round knows the whole loss.
            else:
                self._write_off(channel, view.redeemed)

    def _write_off(self, channel: PayeeChannel, redeemed: int) -> None:
        """The node closed the channel without us: what it did not pay is lost."""
        channel.redeemed_to(redeemed, final=True)
        lost = channel.charged - channel.redeemed
        if not lost:
            return
        # The node says so itself. One that closes at will would otherwise have its cap again and
        # again: beyond one cap, the loss counts until a person has restarted the seller.
        is_bearable = self._lost + lost <= channel.hub.cap
        self._lost += lost
        if not is_bearable:
            channel.hub.units += lost
        logger.warning(
            "%d units are lost: the node closed channel %s without redeeming them%s",
            lost,
            base64url.encode(channel.id),
            "" if is_bearable else "; they count against its cap until this seller starts anew",
        )

    async def _sweep_out(self, sweep: Sweep) -> None:
        available = (await self._client.account()).available(self._currency)
        units = available - sweep.fee_units_max
        if available < sweep.above_units or units <= 0:
            return
        # The same name for an hour: a repeat after a lost answer is the same withdrawal.
        hour = self._clock() // 3_600_000
        name = f"{self._network} {sweep.asset} {sweep.destination} {available} {hour}"
        id_ = "sweep_" + hashlib.sha256(name.encode()).hexdigest()[:40]
        info = await self._client.withdraw(
            id_, sweep.asset, units, sweep.destination, sweep.fee_units_max
        )
        logger.info("withdrawing %d units above the limit: %s", info.units, info.state.value)


def _claim_of(channel: PayeeChannel) -> RedemptionClaim | None:
    if channel.state is ChannelState.CLOSED:
        return None
    cumulative = channel.claim()
    final = channel.is_claim_final
    if cumulative == channel.redeemed and not final:
        return None
    return RedemptionClaim(channel.id, cumulative, channel.voucher(), final)
