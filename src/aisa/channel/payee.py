"""The payee's state machine of one channel: `charged + reserved <= ceiling <= deposit`.

Pure and synchronous: a call is admitted or refused in one step, and what must be durable is handed
out as rows. Whoever drives it commits them before anything is answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from aisa.channel.payee_check import (
    HubExposure,
    check_session,
    check_statement,
)
from aisa.channel.payee_lane import LaneCall, PayeeLane
from aisa.channel.payee_session import PayeeExchange, PayeeSession
from aisa.channel.store import (
    SESSION_KEPT_S,
    SESSIONS_MAX,
    ChannelRow,
    ChannelState,
    StoredChannel,
    StoredLane,
)
from aisa.channel.voucher import VoucherScheme, check_voucher, scheme_of
from aisa.errors import (
    CapExceeded,
    ChannelUnknown,
    LaneClosed,
    PriceAboveTick,
    SessionExpired,
    StateConflict,
    StatementRefused,
    TickRefused,
    VoucherRefused,
    VoucherRequired,
)
from aisa.protocol.aip import DepositStatement, Session, Tick, Voucher
from aisa.protocol.escrow import ChannelConfig

LANES_MAX: Final = 64
VOIDS_PER_HOUR: Final = 3
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class PayeeView:
    """What the payee tells the payer about their channel."""

    channel: bytes
    state: ChannelState
    deposit: int
    ceiling: int
    charged: int
    redeemed: int


class PayeeCall(LaneCall):
    """One admitted call of a channel."""

    __slots__ = ("channel",)

    def __init__(
        self, channel: PayeeChannel, lane: PayeeLane, seq: int, digest: bytes, units: int
    ) -> None:
        super().__init__(lane, seq, digest, units)
        self.channel = channel


class Repeat(NamedTuple):
    """The seq of a tick was used: by the call that is `running`, or before it came."""

    running: PayeeCall | None


_USED: Final = Repeat(None)


class PayeeChannel:
    """One channel in memory; `changed` says that its row differs from what is stored."""

    __slots__ = (
        "_fixed",
        "_lane_numbers",
        "_voids_ms",
        "_vouchers",
        "ceiling",
        "changed",
        "charged",
        "deposit",
        "hub",
        "id",
        "in_flight",
        "is_stored",
        "lane_floor",
        "lanes",
        "number",
        "payer",
        "pins",
        "redeemed",
        "redeeming",
        "reserved",
        "sessions",
        "state",
        "voiding",
        "voucher_signature",
    )

    def __init__(self, row: ChannelRow, hub: HubExposure, *, is_stored: bool) -> None:
        self._fixed = row
        self.number = row.number
        self.id = row.id
        self.payer = row.payer
        self.hub = hub
        self.deposit = row.deposit
        self.ceiling = row.ceiling
        self.voucher_signature = row.voucher_signature
        self.charged = row.charged
        self.redeemed = row.redeemed
        self.redeeming = row.redeeming
        self.lane_floor = row.lane_floor
        self.state = row.state
        self.reserved = 0
        self.in_flight = 0
        self.pins = 0
        self.sessions: list[PayeeSession] = []
        self.lanes: dict[int, PayeeLane] = {}
        self._lane_numbers: set[int] = set()
        self.voiding = 0
        self._voids_ms: list[int] = []
        self._vouchers = _scheme_of(row)
        self.is_stored = is_stored
        self.changed = not is_stored

    @classmethod
    def restore(
        cls, stored: StoredChannel, hub: HubExposure, exchange: PayeeExchange
    ) -> PayeeChannel:
        """The channel as it was last committed; its lanes follow one by one."""
        channel = cls(stored.row, hub, is_stored=True)
        channel.sessions = [PayeeSession(row, exchange, is_stored=True) for row in stored.sessions]
        channel._lane_numbers = set(stored.lanes)
        return channel

    def find_lane(self, number: int, stored: StoredLane | None, now_s: int) -> PayeeLane:
        """The lane that is not in memory yet; a new one may push the oldest below the floor.

        A lane below the floor comes back closed: it still knows what it has charged.

        Raises:
            SessionExpired: no session has this lane.
        """
        lane = PayeeLane(self.number, number, self._session_of(number, now_s), stored)
        if self._is_below_floor(number):
            lane.closed = True
        return lane

    def admit(
        self, lane: PayeeLane, tick: Tick, digest: bytes, price: int, now_s: int
    ) -> PayeeCall | Repeat:
        """Reserve the price of a call, or say that the tick's seq was used: what is stored decides.

        `price` is what is reserved: the price, or the most that a computed one may come to.

        Raises:
            TickRefused: the MAC is wrong, or the seq is in flight for another request.
            ChannelUnknown: the channel takes no calls any more.
            LaneClosed: the lane takes none.
            SessionExpired: the lane's session has ended.
            PriceAboveTick: the tick allows less than the price.
            VoucherRequired: the ceiling does not cover the call.
            CapExceeded: the payee accepts no more from this hub before it redeems.
        """
        if not tick.admits(lane.tick_key, digest):
            raise TickRefused("the tick's MAC is not this session's over this request")
        seq = tick.seq
        running = lane.calls.get(seq)
        if running is not None:
            if running.digest != digest:
                raise TickRefused("the tick was used for another request")
            return Repeat(cast("PayeeCall", running))
        if not lane.is_free(seq):
            return _USED
        if self.state is not ChannelState.OPEN or lane.closed:
            self._refuse_closed(lane)
        if now_s >= lane.expiry:
            raise SessionExpired("the session has expired; open another one on this channel")
        if price > tick.amount:
            raise PriceAboveTick(
                f"the call costs {price} units, the tick allows {tick.amount}", price=price
            )
        needed = self.charged + self.reserved + price
        if needed > self.ceiling:
            raise VoucherRequired(
                f"the call needs a ceiling of {needed} units, {self.ceiling} are signed",
                needed=str(needed),
                ceiling=str(self.ceiling),
                deposit=str(self.deposit),
            )
        hub = self.hub
        if hub.units + price > hub.cap:
            raise CapExceeded("the seller waits for a redemption at this node; try again soon")
        call = PayeeCall(self, lane, seq, digest, price)
        self.reserved += price
        hub.units += price
        self.in_flight += 1
        if not lane.is_held:
            self._hold(lane)
        lane.take(call)
        return call

    def settle(self, call: PayeeCall, units: int) -> None:
        """The charge of an admitted call is committed, at no more than was reserved."""
        self.reserved -= call.units
        self.charged += units
        self.hub.units -= call.units - units
        self.in_flight -= 1
        lane = call.lane
        lane.units += units
        lane.keep(call.seq)
        if lane.closed:
            self._drop_finished(lane)

    def release(self, call: PayeeCall) -> None:
        """An admitted call is not charged; its seq may be used again."""
        self.reserved -= call.units
        self.hub.units -= call.units
        self.in_flight -= 1
        call.lane.give_back(call.seq)
        if call.lane.closed:
            self._drop_finished(call.lane)

    def start_void(self, units: int, now_ms: int) -> bool:
        """Set a charge apart to take it back, if that is allowed: three an hour, none redeemed."""
        self._voids_ms = [at_ms for at_ms in self._voids_ms if now_ms - at_ms < _HOUR_MS]
        rest = self.charged - self.voiding - units
        if (
            len(self._voids_ms) >= VOIDS_PER_HOUR
            or self.state is not ChannelState.OPEN
            or rest < max(self.redeemed, self.redeeming)
        ):
            return False
        self._voids_ms.append(now_ms)
        self.voiding += units
        return True

    def finish_void(self, lane: PayeeLane, units: int, *, is_committed: bool) -> None:
        """The charge is taken back, or stands after all."""
        self.voiding -= units
        if is_committed:
            self.charged -= units
            self.hub.units -= units
            lane.units -= units

    def accept_voucher(self, voucher: Voucher) -> bool:
        """Raise the ceiling, and say whether it rose; one that is not higher is ignored unread.

        Raises:
            VoucherRefused: it is another channel's, forged, expires, or is above the deposit.
        """
        if voucher.channel != self.id:
            raise VoucherRefused("the voucher is for another channel")
        if voucher.ceiling <= self.ceiling:
            return False
        check_voucher(voucher, self._vouchers, self.deposit)
        self.ceiling = voucher.ceiling
        self.voucher_signature = voucher.signature
        self.changed = True
        return True

    def accept_statement(self, statement: DepositStatement, now_s: int) -> bool:
        """Raise the deposit, and say whether it rose; a lower statement is ignored unread.

        Raises:
            StatementRefused: it is another channel's, forged, stale, or has another fee.
            ChannelUnknown: the channel takes no calls any more.
        """
        if statement.channel != self.id:
            raise StatementRefused("the statement is for another channel")
        if self.state is not ChannelState.OPEN:
            raise ChannelUnknown("the channel is closing; open another one")
        if statement.deposit <= self.deposit:
            return False
        check_statement(statement, self.hub, now_s)
        if statement.fee_ppm != self._fixed.fee_ppm:
            raise StatementRefused("the fee of a channel is fixed when it is opened")
        self.deposit = statement.deposit
        self.changed = True
        return True

    def session(self, session_hash: bytes) -> PayeeSession | None:
        """The session with this hash."""
        return next((one for one in self.sessions if one.row.hash == session_hash), None)

    def add_session(self, session: Session, exchange: PayeeExchange, now_s: int) -> bool:
        """Add a session that the payer signed, and say whether it is new.

        Raises:
            SignatureInvalid: the payer did not sign it.
            SessionExpired: it is over, or lasts longer than the payee accepts.
            StateConflict: its lanes overlap another live session's, or too many are live or have
                just ended.
        """
        if self.session(session.hash) is not None:
            return False
        epoch = check_session(session, self.id, self.payer, exchange, now_s)
        if any(one.expiry > now_s and one.overlaps(session) for one in self.sessions):
            raise StateConflict("another live session of this channel has some of these lanes")
        # Those that ended just now count too: without its session, a repeat would pass for a call
        # that was never charged.
        if sum(one.expiry > now_s - SESSION_KEPT_S for one in self.sessions) >= SESSIONS_MAX:
            raise StateConflict(
                f"a channel has at most {SESSIONS_MAX} sessions that are live or ended in the last"
                f" {SESSION_KEPT_S // 60} minutes"
            )
        added = PayeeSession.new(self.number, session, epoch, exchange)
        # Derived now, so that a key that gives no secret is refused here and never stored.
        _ = added.keys
        kept = sorted([*self.sessions, added], key=_expiry_of)
        self.sessions = kept[-SESSIONS_MAX:]
        for lane in self.lanes.values():
            if added.has_lane(lane.number):
                lane.bind(added)
        self.changed = True
        return True

    def start_closing(self) -> None:
        """Take no new calls; what is in flight is finished."""
        if self.state is ChannelState.OPEN:
            self.state = ChannelState.CLOSING
            self.changed = True

    def claim(self) -> int:
        """The cumulative amount to redeem now; one that was sent before is repeated exactly."""
        if self.redeeming > self.redeemed:
            return self.redeeming
        if self.charged - self.voiding != self.redeeming:
            self.redeeming = self.charged - self.voiding
            self.changed = True
        return self.redeeming

    @property
    def is_idle(self) -> bool:
        """Whether memory may forget the channel: nothing runs, and the store knows everything.

        Whoever keeps the channel over a wait counts itself in `pins`.
        """
        return not (self.in_flight or self.pins or self.voiding or self.changed)

    @property
    def is_claim_final(self) -> bool:
        """Whether the claim can be the channel's last: it closes and nothing more will come."""
        return (
            self.state is ChannelState.CLOSING
            and self.in_flight == 0
            and self.voiding == 0
            and self.redeeming == self.charged
        )

    def redeemed_to(self, cumulative: int, *, final: bool) -> None:
        """The hub paid out `cumulative` in all, and closed the channel if that was final."""
        # A hub that states more than was claimed cannot lower what it owes for later calls.
        redeemed = min(max(self.redeemed, cumulative), self.charged)
        self.hub.units -= redeemed - self.redeemed
        self.redeemed = redeemed
        if final:
            self.state = ChannelState.CLOSED
            # What the hub did not pay is lost; it no longer counts against its cap.
            self.hub.units -= self.charged - self.redeemed
        self.changed = True

    def row(self, now_ms: int, more_units: int = 0) -> ChannelRow:
        """The row to commit together with charges of `more_units`."""
        fixed = self._fixed
        return ChannelRow(
            fixed.number, fixed.id, fixed.network, fixed.holder, fixed.payer, fixed.currency,
            fixed.salt, fixed.fee_ppm, fixed.opened_ms, self.deposit, self.ceiling,
            self.voucher_signature, self.charged + more_units, self.redeemed, self.redeeming,
            self.lane_floor, self.state, now_ms, fixed.escrow,
        )  # fmt: skip

    def view(self) -> PayeeView:
        """What the payer may know."""
        return PayeeView(
            self.id, self.state, self.deposit, self.ceiling, self.charged, self.redeemed
        )

    def voucher(self) -> Voucher:
        """The highest voucher."""
        return Voucher(self.id, self.ceiling, 0, self.voucher_signature)

    def close_lane(self, lane: PayeeLane) -> None:
        """Take no new calls on a lane; it counts among the newest like one that is used.

        One that is older than the newest raises the floor, which then says that it is closed.
        """
        lane.closed = True
        if lane.is_held:
            return
        if not self._is_below_floor(lane.number):
            self._hold(lane)
        elif lane.number >= self.lane_floor:
            self.lane_floor = lane.number + 1
            self.changed = True

    def _session_of(self, lane: int, now_s: int) -> PayeeSession:
        found = [one for one in self.sessions if one.has_lane(lane)]
        if not found:
            raise SessionExpired("no session of this channel has the tick's lane")
        # An expired session may share lanes with a later one, which then counts.
        return next((one for one in found if one.expiry > now_s), found[-1])

    def _is_below_floor(self, number: int) -> bool:
        if number in self._lane_numbers:
            return False
        return number < self.lane_floor or (
            len(self._lane_numbers) >= LANES_MAX and number < min(self._lane_numbers)
        )

    def _hold(self, lane: PayeeLane) -> None:
        # Only now, behind a good MAC: numbers that anyone can write must not take memory.
        lane.is_held = True
        self.lanes[lane.number] = lane
        if lane.number in self._lane_numbers:
            return
        self._lane_numbers.add(lane.number)
        if len(self._lane_numbers) > LANES_MAX:
            oldest = min(self._lane_numbers)
            self._lane_numbers.remove(oldest)
            self.lane_floor = oldest + 1
            self.changed = True
            dropped = self.lanes.get(oldest)
            if dropped is not None:
                dropped.closed = True
                self._drop_finished(dropped)

    def _drop_finished(self, lane: PayeeLane) -> None:
        # Calls in flight keep their lane; without it, its closing would state too small a total.
        if not lane.calls and lane.number < self.lane_floor:
            self.lanes.pop(lane.number, None)

    def _refuse_closed(self, lane: PayeeLane) -> None:
        if self.state is not ChannelState.OPEN:
            raise ChannelUnknown("the channel is closing; open another one")
        raise LaneClosed(f"lane {lane.number} is closed; use a newer one", floor=self.lane_floor)


def _expiry_of(session: PayeeSession) -> int:
    return session.expiry


def _scheme_of(row: ChannelRow) -> VoucherScheme:
    config = ChannelConfig.unpack(row.escrow) if row.escrow else None
    return scheme_of(row.network, row.holder, row.payer, config)
