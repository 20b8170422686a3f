"""The seller's till: which channels are in memory, which calls are admitted, what is charged.

Idle channels live on disk only: one that is called is read in, and the ones that were not called
for the longest are forgotten. Everything here runs on one loop, so an admission is one step.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Final

from aisa.channel.payee import PayeeCall, PayeeChannel, Repeat
from aisa.channel.payee_check import HubExposure, PayeeRules, check_open, check_terms
from aisa.channel.payee_lane import LaneCall, PayeeLane
from aisa.channel.payee_session import PayeeExchange
from aisa.channel.receipts import leaf_of, receipt_header
from aisa.channel.store import ChannelRow, ChannelState, ChannelStore, StoredChannel, StoredCharge
from aisa.errors import ChannelUnknown, SessionExpired, TickRefused
from aisa.paywall.gatherer import Gatherer
from aisa.protocol.aip import OpenAction, Tick

CHANNELS_MAX: Final = 8192
ANSWER_KEPT_MS: Final = 600_000
_EVICTION_TRIES: Final = 8


@contextmanager
def pinned(*channels: PayeeChannel) -> Generator[None]:
    """Keep channels in memory while something waits for them: there is only one of each."""
    for channel in channels:
        channel.pins += 1
    try:
        yield
    finally:
        for channel in channels:
            channel.pins -= 1


class Till:
    """Channels of one payee over one store; `clock` gives unix milliseconds.

    `on_hub_due` is called with a hub's network when half of its cap is used.
    """

    def __init__(
        self,
        store: ChannelStore,
        rules: PayeeRules,
        exchange: PayeeExchange,
        clock: Callable[[], int],
        *,
        in_thread: bool,
        on_hub_due: Callable[[str], None],
        channels_max: int = CHANNELS_MAX,
    ) -> None:
        self._store = store
        self._rules = rules
        self._exchange = exchange
        self.clock = clock
        self._on_hub_due = on_hub_due
        self._channels_max = channels_max
        self._hot: OrderedDict[bytes, PayeeChannel] = OrderedDict()
        self._unlisted: dict[str, HubExposure] = {}
        summary = store.summary()
        self._channel_last = summary.channel_last
        self.owing: dict[str, set[int]] = {}
        for network, number in summary.owing:
            self.owing.setdefault(network, set()).add(number)
        for network, units in summary.unredeemed:
            self._hub(network).units = units
        self.gatherer = Gatherer(
            store,
            clock,
            self._committed,
            lambda: self.serving > 0,
            batch_last=summary.batch_last,
            in_thread=in_thread,
        )
        self.serving = 0
        """How many calls are between their admission and the end of their handler."""

    @property
    def store(self) -> ChannelStore:
        """Where everything is durable."""
        return self._store

    def admit(self, tick: Tick, digest: bytes, price: int, now_ms: int) -> PayeeCall | Repeat:
        """Reserve the price of a call, or say that its tick was used.

        Raises:
            PaymentRequired: as PayeeChannel.admit, or the channel is not known.
        """
        channel = self.find(tick.channel)
        lane = channel.lanes.get(tick.lane)
        now_s = now_ms // 1000
        if lane is None:
            try:
                lane = self._lane(channel, tick.lane, now_s)
            except SessionExpired:
                self._check_unused(channel, tick)
                raise
        return channel.admit(lane, tick, digest, price, now_s)

    def find(self, channel_id: bytes) -> PayeeChannel:
        """The channel with this id.

        Raises:
            ChannelUnknown: it was never opened here, or is closed.
        """
        channel = self._hot.get(channel_id)
        if channel is None:
            channel = self._load(self._store.channel(channel_id))
            if channel is None:
                raise ChannelUnknown("the channel is not open here")
        else:
            self._hot.move_to_end(channel_id)
        return channel

    def find_number(self, number: int) -> PayeeChannel | None:
        """The channel with this number in the store."""
        stored = self._store.channel_by_number(number)
        if stored is None:
            return None
        return self._hot.get(stored.row.id) or self._load(stored)

    def open(self, action: OpenAction, now_ms: int) -> PayeeChannel:
        """Open a channel, or add to one that is open; everything is checked before it changes.

        Raises:
            PaymentRequired: the channel, its hub, statement, session or voucher is refused.
            SignatureInvalid: the session is forged.
            StateConflict: the session's lanes overlap another's.
        """
        now_s = now_ms // 1000
        channel_id = action.terms.channel_id
        known = self._hot.get(channel_id) or self._load(self._store.channel(channel_id))
        if known is not None:
            if known.state is not ChannelState.OPEN:
                raise ChannelUnknown("the channel is closing; open another one")
            known.accept_statement(action.statement, now_s)
            known.add_session(action.session, self._exchange, now_s)
            known.accept_voucher(action.voucher)
            channel = known
        else:
            channel = self._new(action, now_ms)
        if channel.changed:
            self.gatherer.save_later(channel)
        return channel

    def stored(self, tick: Tick) -> StoredCharge | None:
        """The charge that a used seq left behind."""
        channel = self.find(tick.channel)
        return self._store.charge(channel.number, tick.lane, tick.seq)

    def receipt(self, tick: Tick, stored: StoredCharge) -> bytes:
        """The receipt of a charge as its answer carried it; the tick's MAC was good."""
        channel = self.find(tick.channel)
        lane = channel.lanes.get(tick.lane) or self._lane(channel, tick.lane, stored.at_ms // 1000)
        return receipt_header(leaf_of(stored.charge, channel.id), lane.receipt_key, stored.at_ms)

    def release(self, call: PayeeCall) -> None:
        """An admitted call is not charged; whoever waits for it tries again."""
        channel = call.channel
        channel.release(call)
        if channel.changed and not channel.in_flight:
            # No charge will save it, and memory keeps what the store does not know.
            self.gatherer.save_later(channel)
        if call.waiter is not None:
            call.waiter.set_result(None)

    async def wait(self, call: LaneCall) -> None:
        """Wait until the call in flight is charged or released."""
        if call.waiter is None:
            call.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(call.waiter)

    async def void(self, call: PayeeCall, units: int) -> bool:
        """Take back a charge whose answer could not be sent, within the bounds of that."""
        # After its commit the call's channel may have been forgotten and read in anew.
        is_current = self._hot.get(call.channel.id) is call.channel
        if not is_current or not call.channel.start_void(units, self.clock()):
            return False
        await self.gatherer.void(call, units)
        return True

    async def close_lane(self, channel: PayeeChannel, number: int, now_ms: int) -> PayeeLane:
        """Close a lane for good, after what is in flight on it; a repeat gives the same total.

        Raises:
            SessionExpired: no session of the channel has this lane.
            StoreUnavailable: that could not be made durable.
        """
        lane = channel.lanes.get(number) or self._lane(channel, number, now_ms // 1000)
        channel.close_lane(lane)
        with pinned(channel):
            while lane.calls:
                await self.wait(next(iter(lane.calls.values())))
            # Below the floor a lane without charges needs no row: that it is closed is known.
            is_said = lane.is_untouched and number < channel.lane_floor
            await self.gatherer.save(channel, None if is_said else lane)
        return lane

    async def drain(self, channel: PayeeChannel) -> None:
        """Wait until no call of the channel is in flight."""
        with pinned(channel):
            while calls := [c for lane in channel.lanes.values() for c in lane.calls.values()]:
                await self.wait(calls[0])

    def _lane(self, channel: PayeeChannel, number: int, now_s: int) -> PayeeLane:
        stored = self._store.lane(channel.number, number) if channel.is_stored else None
        return channel.find_lane(number, stored, now_s)

    def _check_unused(self, channel: PayeeChannel, tick: Tick) -> None:
        """Check that a tick whose session is forgotten was never used, as a payer will conclude.

        Raises:
            TickRefused: it may have been charged.
        """
        stored = self._store.lane(channel.number, tick.lane) if channel.is_stored else None
        if stored is not None and stored.may_have_used(tick.seq):
            raise TickRefused("the tick was used, or its session ended too long ago to know")

    def _new(self, action: OpenAction, now_ms: int) -> PayeeChannel:
        terms, now_s = action.terms, now_ms // 1000
        hub = check_terms(terms, self._rules)
        check_open(action, hub, self._rules, now_s)
        row = ChannelRow(
            number=self._channel_last + 1,
            id=terms.channel_id,
            network=terms.network,
            holder=terms.holder,
            payer=terms.payer,
            currency=terms.currency,
            salt=terms.salt,
            fee_ppm=action.statement.fee_ppm,
            opened_ms=now_ms,
            deposit=action.statement.deposit,
            ceiling=action.voucher.ceiling,
            voucher_signature=action.voucher.signature,
            charged=0,
            redeemed=0,
            redeeming=0,
            lane_floor=0,
            state=ChannelState.OPEN,
            changed_ms=now_ms,
            escrow=b"" if terms.config is None else terms.config.pack(),
        )
        channel = PayeeChannel(row, hub, is_stored=False)
        channel.add_session(action.session, self._exchange, now_s)
        self._channel_last += 1
        self._keep(channel)
        return channel

    def _load(self, stored: StoredChannel | None) -> PayeeChannel | None:
        if stored is None:
            return None
        hub = self._hub(stored.row.network)
        channel = PayeeChannel.restore(stored, hub, self._exchange)
        self._keep(channel)
        return channel

    def _hub(self, network: str) -> HubExposure:
        """The exposure at a hub; one that is no longer listed gets no more of it."""
        listed = self._rules.hubs.get(network)
        if listed is not None:
            return listed
        return self._unlisted.setdefault(network, HubExposure(network, bytes(32), 0, 0))

    def _keep(self, channel: PayeeChannel) -> None:
        self._hot[channel.id] = channel
        tries = _EVICTION_TRIES
        while len(self._hot) > self._channels_max and tries:
            oldest_id, oldest = next(iter(self._hot.items()))
            if oldest.is_idle and oldest is not channel:
                del self._hot[oldest_id]
            else:
                self._hot.move_to_end(oldest_id)
                tries -= 1

    def _committed(self, channels: Iterable[PayeeChannel]) -> None:
        for channel in channels:
            hub = channel.hub
            owing = self.owing.setdefault(hub.network, set())
            is_owing = channel.state is ChannelState.CLOSING or (
                channel.state is ChannelState.OPEN and channel.charged > channel.redeemed
            )
            (owing.add if is_owing else owing.discard)(channel.number)
            if hub.units * 2 >= hub.cap:
                self._on_hub_due(hub.network)
