"""The wallet file: each method one transaction over the rows and rules beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aisa import faults
from aisa.channel.payer import (
    ChannelState,
    DepositShort,
    Lease,
    LeaseAsk,
    Limits,
    PayerChannel,
    Spent,
    day_of,
)
from aisa.channel.wallet import (
    CallState,
    ChannelPlan,
    SessionPlan,
    TopUp,
    UnknownSpend,
    WalletCall,
    WalletEvent,
    WalletLane,
    WalletReceipt,
    WalletSession,
)
from aisa.channel.wallet_sqlite import call_row, channel_row, lane_row, transfer_row
from aisa.channel.wallet_sqlite.database import Database, alone
from aisa.channel.wallet_sqlite.instance import Instance
from aisa.channel.wallet_sqlite.row import channel_of, event_of, receipt_of
from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.protocol.aip import DepositStatement, LaneClosed


class SqliteWallet:
    """One payer's wallet in the file `path`, opened by as many processes as like (mode 0600).

    Methods may be called from several threads; they wait for one another. It implements the port
    `aisa.channel.wallet.Wallet`, where each method is described.

    Raises:
        ConfigInvalid: the file is no wallet, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self._db = Database(path)
        try:
            with alone(path):
                self._instance = Instance(path.with_name(path.name + ".owners"))
                self._instance.sweep()
        except BaseException:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteWallet(instance={self._instance.name})"

    @contextmanager
    def _commit(self, noun: str) -> Generator[sqlite3.Connection]:
        """One durable transaction between two failpoints."""
        faults.hit(f"agent.{noun}.before")
        with self._db.write() as db:
            yield db
        faults.hit(f"agent.{noun}.after")

    def pin_payee(self, origin: str, payee: bytes) -> bytes:
        """Return the payee's key that this origin is pinned to."""
        with self._commit("pin") as db:
            return channel_row.pin_payee(db, origin, payee)

    def repin_payee(self, origin: str, payee: bytes) -> None:
        """Accept another payee's key for an origin."""
        with self._db.write() as db:
            db.execute("INSERT OR REPLACE INTO payees VALUES (?, ?)", (origin, payee))

    def plan_channel(self, plan: ChannelPlan, *, now_ms: int) -> PayerChannel:
        """Write a channel down as OPENING, or return the one to this payee."""
        with self._commit("plan") as db:
            return channel_row.plan_channel(db, plan, now_ms)

    def open_channel(self, channel: bytes, statement: DepositStatement) -> PayerChannel:
        """Note that the node opened the channel."""
        with self._commit("opened") as db:
            return channel_row.put_statement(db, channel, statement)

    def drop_channel(self, channel: bytes) -> None:
        """Forget an OPENING channel."""
        with self._commit("drop") as db:
            db.execute("DELETE FROM channels WHERE channel = ? AND state = 'opening'", (channel,))

    def find_channel(self, payee: bytes, currency: str, network: str) -> PayerChannel | None:
        """Return the OPENING or OPEN channel to a payee."""
        with self._db.read() as db:
            return channel_row.find_channel(db, payee, currency, network)

    def channel(self, channel: bytes) -> PayerChannel:
        """Return a channel."""
        with self._db.read() as db:
            return lane_row.read_channel(db, channel)

    def channels(self, *states: ChannelState) -> list[PayerChannel]:
        """Return the channels in these states, or all."""
        names = {state.value for state in states or ChannelState}
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM channels ORDER BY opened_at_ms DESC, channel")
            return [channel_of(row) for row in rows if row["state"] in names]

    def set_state(self, channel: bytes, state: ChannelState) -> None:
        """Note that a channel moved on."""
        with self._commit("state") as db:
            db.execute(
                "UPDATE channels SET state = ? WHERE channel = ? AND state != 'closed'",
                (state.value, channel),
            )
            if state is ChannelState.CLOSED:
                # Whether the node took it or not: what it brought went back with the rest.
                db.execute("DELETE FROM top_ups WHERE channel = ?", (channel,))

    def begin_top_up(self, plan: TopUp) -> TopUp:
        """Write a top-up down, or return the one under way."""
        with self._commit("topup-plan") as db:
            return channel_row.begin_top_up(db, plan)

    def finish_top_up(self, top_up: TopUp, statement: DepositStatement | None) -> PayerChannel:
        """Note the node's answer to a top-up."""
        with self._commit("topup-done") as db:
            db.execute(
                "DELETE FROM top_ups WHERE channel = ? AND id = ?", (top_up.channel, top_up.id)
            )
            if statement is None:
                return lane_row.read_channel(db, top_up.channel)
            return channel_row.put_statement(db, top_up.channel, statement)

    def pending_top_up(self, channel: bytes) -> TopUp | None:
        """Return the top-up under way for a channel."""
        with self._db.read() as db:
            return channel_row.pending_top_up(db, channel)

    def make_session(self, plan: SessionPlan) -> WalletSession:
        """Make a session of this process on lanes of its own."""
        with self._commit("session") as db:
            return lane_row.make_session(db, plan, self._instance.name)

    def adopt_session(self, channel: bytes, *, expiry_min: int) -> WalletSession | None:
        """Take over a session that a process left in order."""
        with self._commit("adopt") as db:
            return lane_row.adopt_session(db, channel, expiry_min, self._instance.name)

    def session(self, session: bytes) -> WalletSession | None:
        """Return a session by its hash."""
        with self._db.read() as db:
            return lane_row.find_session(db, session)

    def next_lane(self, session: bytes, *, lane: int, taken: int) -> int | None:
        """Give a lane's rest back and return the session's next lane."""
        with self._commit("lane") as db:
            lane_row.give_back(db, session, lane, taken, self._instance.name)
            return lane_row.next_lane(db, session, lane)

    def lease(
        self,
        channel: bytes,
        lane: int,
        ask: LeaseAsk,
        limits: Limits,
        *,
        now_ms: int,
        receipts: Sequence[WalletReceipt] = (),
    ) -> Lease | DepositShort:
        """Count a slice as sent, and keep the receipts in the same commit."""
        with self._commit("lease") as db:
            owner = self._instance.name
            granted = lane_row.lease(db, channel, lane, ask, limits, now_ms=now_ms, owner=owner)
            call_row.add_receipts(db, receipts)
            return granted

    def park(self, session: bytes, *, lane: int, taken: int, next_seq: int) -> None:
        """Leave a session in order for another process."""
        with self._commit("park") as db:
            lane_row.give_back(db, session, lane, taken, self._instance.name)
            db.execute(
                "UPDATE lanes SET next_seq = ? WHERE session = ? AND lane = ?",
                (next_seq, session, lane),
            )
            db.execute(
                "UPDATE sessions SET state = 'parked', owner = '' WHERE session = ?", (session,)
            )

    def retire(self, session: bytes, *, lane: int, taken: int) -> None:
        """Give the lane's rest back and end a session of this process."""
        with self._commit("retire") as db:
            lane_row.give_back(db, session, lane, taken, self._instance.name)
            db.execute(
                "UPDATE lanes SET state = 'closed' WHERE session = ? AND lane = ?", (session, lane)
            )
            db.execute("UPDATE sessions SET state = 'ended' WHERE session = ?", (session,))

    def dead_lanes(self, *, now_ms: int, channel: bytes | None = None) -> list[WalletLane]:
        """Return the lanes whose owner died."""
        with self._db.read() as db:
            return lane_row.dead_lanes(db, self._instance.is_dead, now_ms=now_ms, channel=channel)

    def lane_returned(self, lane: WalletLane, notice: LaneClosed, *, now_ms: int) -> int:
        """Note the payee's last word on a dead lane."""
        with self._commit("returned") as db:
            rest, unknown, owner = lane_row.lane_returned(db, lane, notice)
            if unknown:
                detail = f"lane {lane.lane}: {unknown} units were charged without a kept receipt"
                call_row.add_event(db, WalletEvent(now_ms, "unknown-spend", lane.channel, detail))
        if owner:
            self._instance.bury(owner)
        return rest

    def begin_call(self, call: WalletCall) -> WalletCall:
        """Write a call down before it is sent."""
        with self._commit("call") as db:
            return call_row.begin_call(db, call)

    def find_call(self, call_id: str) -> WalletCall | None:
        """Return a call by its id."""
        with self._db.read() as db:
            return call_row.find_call(db, call_id)

    def renew_call(self, call: WalletCall) -> None:
        """Pay for a known call by another tick."""
        with self._commit("renew") as db:
            call_row.put_call(db, call)

    def finish_call(self, call_id: str, state: CallState, *, charged: int = 0) -> None:
        """Note what became of a call."""
        with self._commit("finish") as db:
            call_row.finish_call(db, call_id, state, charged)

    def note_unknown(self, calls: Sequence[WalletCall]) -> None:
        """Keep calls whose outcome is not known."""
        with self._commit("unknown") as db:
            for call in calls:
                call_row.put_call(db, call)

    def begin_transfer(
        self, plan: WalletTransfer, limits: Limits, *, flying: Collection[bytes] = ()
    ) -> WalletTransfer:
        """Write a transfer down before it is signed, and count its units as spent."""
        with self._commit("transfer") as db:
            owner = self._instance.name
            return transfer_row.begin_transfer(db, plan, limits, owner, self._is_free(flying))

    def _is_free(self, flying: Collection[bytes]) -> transfer_row.Free:
        return transfer_row.free_of(self._instance.name, flying, self._instance.is_dead)

    def find_transfer(self, call_id: str) -> WalletTransfer | None:
        """Return the transfer of a call."""
        with self._db.read() as db:
            return transfer_row.find_transfer(db, call_id)

    def finish_transfer(self, nonce: bytes, state: TransferState, *, chain_tx: str = "") -> None:
        """Note what became of a transfer."""
        with self._commit("transferred") as db:
            transfer_row.finish_transfer(db, nonce, state, chain_tx)

    def open_transfers(self) -> list[WalletTransfer]:
        """Return the transfers that may have been carried out or may still be."""
        with self._db.read() as db:
            return transfer_row.open_transfers(db)

    def unknown_spends(self, *, flying: Collection[bytes] = ()) -> list[UnknownSpend]:
        """Return everything that may be charged without an answer that was kept."""
        with self._db.read() as db:
            return [
                *call_row.unknown_spends(db, self._instance.is_dead),
                *transfer_row.unknown_transfers(db, self._is_free(flying)),
            ]

    def add_receipts(self, receipts: Sequence[WalletReceipt]) -> None:
        """Keep receipts, in one commit."""
        with self._commit("receipts") as db:
            call_row.add_receipts(db, receipts)

    def receipts(self, *, after: int = 0, limit: int = 100) -> list[WalletReceipt]:
        """Return receipts with a number above `after`."""
        query = "SELECT * FROM receipts WHERE number > ? ORDER BY number LIMIT ?"
        with self._db.read() as db:
            return [receipt_of(row) for row in db.execute(query, (after, limit))]

    def add_event(self, event: WalletEvent) -> None:
        """Keep an event."""
        with self._db.write() as db:
            call_row.add_event(db, event)

    def events(self, *, after: int = 0, limit: int = 100) -> list[WalletEvent]:
        """Return events with a number above `after`."""
        query = "SELECT * FROM events WHERE number > ? ORDER BY number LIMIT ?"
        with self._db.read() as db:
            return [event_of(row) for row in db.execute(query, (after, limit))]

    def spent(self, currency: str, *, now_ms: int, payee: bytes = b"") -> Spent:
        """Return the ceilings signed on this UTC day."""
        with self._db.read() as db:
            return lane_row.read_spent(db, currency, day_of(now_ms), payee)

    def close(self) -> None:
        """Let go of the file."""
        if self._instance.is_copy:
            return  # A fork's copy: file and lock are its parent's, which may still be using them.
        self._db.close()
        self._instance.close()
