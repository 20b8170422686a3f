"""Payees and channels in the wallet file."""

from __future__ import annotations

import sqlite3

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.wallet import ChannelPlan, TopUp
from aisa.channel.wallet_sqlite.lane_row import read_channel
from aisa.channel.wallet_sqlite.row import channel_of
from aisa.protocol.aip import DepositStatement


def pin_payee(db: sqlite3.Connection, origin: str, payee: bytes) -> bytes:
    """Return the payee that an origin is pinned to, after pinning it if it was not."""
    db.execute("INSERT INTO payees VALUES (?, ?) ON CONFLICT DO NOTHING", (origin, payee))
    row = db.execute("SELECT payee FROM payees WHERE origin = ?", (origin,)).fetchone()
    return row["payee"]


def find_channel(
    db: sqlite3.Connection, payee: bytes, currency: str, network: str
) -> PayerChannel | None:
    """Return the channel to a payee that is neither closing nor closed."""
    row = db.execute(
        "SELECT * FROM channels WHERE payee = ? AND currency = ? AND network = ?"
        " AND state IN ('opening', 'open')",
        (payee, currency, network),
    ).fetchone()
    return None if row is None else channel_of(row)


def plan_channel(db: sqlite3.Connection, plan: ChannelPlan, now_ms: int) -> PayerChannel:
    """Insert an OPENING channel unless the payee has one."""
    terms = plan.terms
    known = find_channel(db, terms.payee, terms.currency, terms.network)
    if known is not None:
        return known
    channel = terms.channel_id
    db.execute(
        "INSERT INTO channels (channel, network, holder, payer, payee, currency, salt, node_url,"
        " account_key, session_url, state, deposit, fee_ppm, issued, statement, opened_at_ms,"
        " escrow)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'opening', ?, 0, 0, x'', ?, ?)",
        (
            channel,
            terms.network,
            terms.holder,
            terms.payer,
            terms.payee,
            terms.currency,
            terms.salt,
            plan.node_url,
            plan.account_key,
            plan.session_url,
            plan.deposit,
            now_ms,
            b"" if terms.config is None else terms.config.pack(),
        ),
    )
    return read_channel(db, channel)


def put_statement(
    db: sqlite3.Connection, channel: bytes, statement: DepositStatement
) -> PayerChannel:
    """Keep a statement unless a higher or newer one is kept, and open an OPENING channel."""
    known = read_channel(db, channel)
    db.execute(
        "UPDATE channels SET state = 'open' WHERE channel = ? AND state = 'opening'", (channel,)
    )
    newer = (statement.deposit, statement.issued) > (known.deposit, known.statement.issued)
    if newer or known.state is ChannelState.OPENING:
        db.execute(
            "UPDATE channels SET deposit = ?, fee_ppm = ?, issued = ?, statement = ?"
            " WHERE channel = ?",
            (
                statement.deposit,
                statement.fee_ppm,
                statement.issued,
                statement.signature,
                channel,
            ),
        )
    return read_channel(db, channel)


def pending_top_up(db: sqlite3.Connection, channel: bytes) -> TopUp | None:
    """Return the top-up under way for a channel."""
    row = db.execute("SELECT * FROM top_ups WHERE channel = ?", (channel,)).fetchone()
    return None if row is None else TopUp(row["channel"], row["id"], row["units"])


def begin_top_up(db: sqlite3.Connection, plan: TopUp) -> TopUp:
    """Insert a top-up unless one is under way."""
    known = pending_top_up(db, plan.channel)
    if known is None:
        db.execute("INSERT INTO top_ups VALUES (?, ?, ?)", (plan.channel, plan.id, plan.units))
    return known or plan
