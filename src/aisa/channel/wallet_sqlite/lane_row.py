"""Sessions and lanes in the wallet file: who owns which, what is leased, and what comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from aisa.channel.payer import (
    ChannelState,
    DepositShort,
    Lease,
    LeaseAsk,
    Limits,
    PayerChannel,
    Spent,
    Standing,
    day_of,
    plan_lease,
    rest_of_lane,
)
from aisa.channel.wallet import (
    LANES_PER_SESSION,
    REPEATABLE_MS,
    SessionPlan,
    WalletLane,
    WalletSession,
)
from aisa.channel.wallet_sqlite.row import channel_of, session_of
from aisa.errors import NotFound, StateConflict
from aisa.protocol.aip import LaneClosed, Session

_STANDING: Final = (
    "SELECT state, deposit, sent, signed, currency, payee, EXISTS ("
    "  SELECT 1 FROM lanes JOIN sessions USING (session)"
    "  WHERE lanes.channel = channels.channel AND lane = ?"
    "  AND lanes.state = 'open' AND sessions.state = 'live' AND owner = ?"
    ") FROM channels WHERE channel = ?"
)


def read_channel(db: sqlite3.Connection, channel: bytes) -> PayerChannel:
    """Return a channel; raises NotFound."""
    row = db.execute("SELECT * FROM channels WHERE channel = ?", (channel,)).fetchone()
    if row is None:
        raise _no_channel(channel)
    return channel_of(row)


def _no_channel(channel: bytes) -> NotFound:
    return NotFound(f"the wallet has no channel {channel.hex()[:16]}")


def make_session(db: sqlite3.Connection, plan: SessionPlan, owner: str) -> WalletSession:
    """Give a new session the next lanes of its channel, and open the first of them."""
    row = db.execute(
        "UPDATE channels SET next_lane = next_lane + ? WHERE channel = ? RETURNING next_lane",
        (LANES_PER_SESSION, plan.channel),
    ).fetchone()
    if row is None:
        raise _no_channel(plan.channel)
    session = Session(
        plan.channel,
        plan.payer_x25519,
        plan.payee_x25519,
        row["next_lane"] - LANES_PER_SESSION,
        LANES_PER_SESSION,
        plan.expiry,
    )
    db.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'live')",
        (
            session.hash,
            session.channel,
            plan.seed,
            session.payer_x25519,
            session.payee_x25519,
            session.lane_first,
            session.lane_count,
            session.expiry,
            owner,
        ),
    )
    _open_lane(db, session, session.lane_first)
    return WalletSession(session, plan.seed, session.lane_first, next_seq=1, taken=0)


def adopt_session(
    db: sqlite3.Connection, channel: bytes, expiry_min: int, owner: str
) -> WalletSession | None:
    """Give a parked session to `owner`."""
    row = db.execute(
        "UPDATE sessions SET owner = ?, state = 'live' WHERE session = ("
        " SELECT session FROM sessions WHERE channel = ? AND state = 'parked' AND expiry >= ?"
        " ORDER BY lane_first DESC LIMIT 1) RETURNING *",
        (owner, channel, expiry_min),
    ).fetchone()
    return None if row is None else _with_lane(db, row)


def find_session(db: sqlite3.Connection, session: bytes) -> WalletSession | None:
    """Return a session with its newest lane, whoever owns it."""
    row = db.execute("SELECT * FROM sessions WHERE session = ?", (session,)).fetchone()
    return None if row is None else _with_lane(db, row)


def _with_lane(db: sqlite3.Connection, row: sqlite3.Row) -> WalletSession:
    lane = db.execute(
        "SELECT * FROM lanes WHERE session = ? ORDER BY lane DESC LIMIT 1", (row["session"],)
    ).fetchone()
    return session_of(row, lane)


def _open_lane(db: sqlite3.Connection, session: Session, lane: int) -> None:
    db.execute(
        "INSERT INTO lanes (channel, lane, session, state) VALUES (?, ?, ?, 'open')",
        (session.channel, lane, session.hash),
    )


def lease(
    db: sqlite3.Connection,
    channel: bytes,
    lane: int,
    ask: LeaseAsk,
    limits: Limits,
    *,
    now_ms: int,
    owner: str,
) -> Lease | DepositShort:
    """Count a slice as sent, if this process owns the lane and the owner's limits allow it."""
    key = bytearray(channel)  # as `row.receipt_row` has it
    row = db.execute(_STANDING, (lane, owner, key)).fetchone()
    if row is None:
        raise _no_channel(channel)
    state, deposit, sent, signed, currency, payee, is_owned = row
    if state != ChannelState.OPEN.value:
        raise StateConflict(f"the channel is {state}")
    if not is_owned:
        raise StateConflict(f"lane {lane} is not this process's to use")
    day, spent = day_of(now_ms), Spent()
    if limits.per_seller is not None or limits.per_day is not None:
        spent = read_spent(db, currency, day, payee)
    granted = plan_lease(Standing(deposit, sent, signed), spent, limits, ask)
    if isinstance(granted, DepositShort):
        return granted
    db.execute(
        "UPDATE channels SET sent = ?, signed = ? WHERE channel = ?",
        (sent + granted.units, granted.ceiling, key),
    )
    db.execute(
        "UPDATE lanes SET leased = leased + ? WHERE channel = ? AND lane = ?",
        (granted.units, key, lane),
    )
    if granted.charge:
        db.execute(
            "INSERT INTO spends VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET units = units + excluded.units",
            (day, currency, payee, granted.charge),
        )
    return granted


def read_spent(db: sqlite3.Connection, currency: str, day: int, payee: bytes) -> Spent:
    """Return the ceilings signed on a day."""
    row = db.execute(
        "SELECT coalesce(sum(units) FILTER (WHERE payee = ?), 0), coalesce(sum(units), 0)"
        " FROM spends WHERE day = ? AND currency = ?",
        (payee, day, currency),
    ).fetchone()
    return Spent(seller=row[0], day=row[1])


def give_back(db: sqlite3.Connection, session: bytes, lane: int, taken: int, owner: str) -> None:
    """Return what a lane of this process did not take; it counts as sent no longer."""
    row = db.execute(
        "SELECT lanes.channel, leased FROM lanes JOIN sessions USING (session)"
        " WHERE session = ? AND lane = ? AND lanes.state = 'open' AND owner = ?",
        (session, lane, owner),
    ).fetchone()
    if row is None or not 0 <= taken <= row["leased"]:
        raise StateConflict(f"lane {lane} is not this process's to give back")
    _return_units(db, row["channel"], lane, row["leased"] - taken)


def _return_units(db: sqlite3.Connection, channel: bytes, lane: int, units: int) -> None:
    db.execute("UPDATE channels SET sent = sent - ? WHERE channel = ?", (units, channel))
    db.execute(
        "UPDATE lanes SET leased = leased - ? WHERE channel = ? AND lane = ?",
        (units, channel, lane),
    )


def next_lane(db: sqlite3.Connection, session: bytes, lane: int) -> int | None:
    """Close a lane and open the session's next one."""
    row = db.execute("SELECT * FROM sessions WHERE session = ?", (session,)).fetchone()
    db.execute(
        "UPDATE lanes SET state = 'closed' WHERE channel = ? AND lane = ?", (row["channel"], lane)
    )
    following = lane + 1
    if following >= row["lane_first"] + row["lane_count"]:
        db.execute("UPDATE sessions SET state = 'ended' WHERE session = ?", (session,))
        return None
    db.execute(
        "INSERT INTO lanes (channel, lane, session, state) VALUES (?, ?, ?, 'open')",
        (row["channel"], following, session),
    )
    return following


def dead_lanes(
    db: sqlite3.Connection, is_dead: Callable[[str], bool], *, now_ms: int, channel: bytes | None
) -> list[WalletLane]:
    """Return the open lanes of dead owners."""
    rows = db.execute(
        "SELECT lanes.channel, lane, leased, session, owner FROM lanes JOIN sessions USING (session)"
        " WHERE lanes.state = 'open' AND sessions.state = 'live'"
        " AND (? IS NULL OR lanes.channel = ?) AND NOT EXISTS ("
        "  SELECT 1 FROM calls WHERE calls.channel = lanes.channel AND calls.lane = lanes.lane"
        "  AND calls.state = 'sent' AND at_ms > ?)",
        (channel, channel, now_ms - REPEATABLE_MS),
    ).fetchall()
    dead = {owner for owner in {row["owner"] for row in rows} if is_dead(owner)}
    return [
        WalletLane(row["channel"], row["lane"], row["leased"], row["session"])
        for row in rows
        if row["owner"] in dead
    ]


def lane_returned(
    db: sqlite3.Connection, lane: WalletLane, notice: LaneClosed
) -> tuple[int, int, str]:
    """Book the payee's last word on a lane; returns the rest, the unknown units, and its owner."""
    channel = read_channel(db, lane.channel)
    row = db.execute(
        "SELECT leased, owner, session FROM lanes JOIN sessions USING (session)"
        " WHERE lanes.channel = ? AND lane = ? AND lanes.state = 'open'",
        (lane.channel, lane.lane),
    ).fetchone()
    if row is None:
        return 0, 0, ""
    if (notice.channel, notice.lane) != (lane.channel, lane.lane):
        raise StateConflict("the payee's notice is about another lane")
    rest = rest_of_lane(row["leased"], notice, payee=channel.terms.payee)
    known = db.execute(
        "SELECT coalesce(sum(units), 0) FROM receipts WHERE channel = ? AND lane = ?",
        (lane.channel, lane.lane),
    ).fetchone()[0]
    unknown = max(0, notice.charged - known)
    _return_units(db, lane.channel, lane.lane, rest)
    db.execute(
        "UPDATE lanes SET unknown = ? WHERE channel = ? AND lane = ?",
        (unknown, lane.channel, lane.lane),
    )
    # A payee keeps few sessions of a channel: what is left of this one is for the next process.
    if next_lane(db, row["session"], lane.lane) is not None:
        db.execute(
            "UPDATE sessions SET state = 'parked', owner = '' WHERE session = ?",
            (row["session"],),
        )
    return rest, unknown, row["owner"]
