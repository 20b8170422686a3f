"""Signed transfers in the wallet file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Final

from aisa.channel.payer import LeaseAsk, Limits, Standing, day_of, plan_lease
from aisa.channel.wallet import UnknownSpend
from aisa.channel.wallet_sqlite.lane_row import read_spent
from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.errors import IdempotencyMismatch, NotFound, StateConflict

Free = Callable[[sqlite3.Row], bool]
_OPEN: Final = (
    "SELECT * FROM transfers WHERE state IN ('sent', 'held', 'unknown') ORDER BY at_ms, nonce"
)


def begin_transfer(
    db: sqlite3.Connection, plan: WalletTransfer, limits: Limits, owner: str, is_free: Free
) -> WalletTransfer:
    """Return the transfer that pays for the call already, or insert `plan` and count its units."""
    if plan.call_id:
        _check_no_tick(db, plan.call_id)
        known = find_transfer(db, plan.call_id)
        if known is not None:
            check_same(known, plan.method, plan.digest)
            return known
    else:
        known = _adopt(db, plan, owner, is_free)
        if known is not None:
            return known
    day = day_of(plan.at_ms)
    spent = read_spent(db, plan.currency, day, plan.payee)
    # What a channel would have to hold for it: the limits are those of a lease.
    plan_lease(Standing(plan.units, 0, 0), spent, limits, LeaseAsk(plan.units, plan.units))
    _count(db, plan, plan.units)
    db.execute(
        "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            plan.nonce,
            plan.call_id,
            plan.method,
            plan.url,
            plan.digest,
            plan.asset,
            plan.payee,
            plan.currency,
            plan.units,
            plan.expiry,
            plan.body,
            plan.at_ms,
            plan.state.value,
            plan.chain_tx,
            owner,
        ),
    )
    return plan


def check_same(known: WalletTransfer, method: str, digest: bytes) -> None:
    """Check that a call's id is not used for another request; raises IdempotencyMismatch."""
    if (known.method, known.digest) != (method, digest):
        raise IdempotencyMismatch(
            f"call_id {known.call_id!r} was used for another request: {known.method} {known.url}",
            hint="use another call_id",
        )


def _check_no_tick(db: sqlite3.Connection, call_id: str) -> None:
    row = db.execute(
        "SELECT 1 FROM calls WHERE call_id = ? AND state != 'failed'", (call_id,)
    ).fetchone()
    if row is not None:
        raise StateConflict(
            f"another process is making call {call_id!r}", hint="repeat it with the same id"
        )


def _adopt(
    db: sqlite3.Connection, plan: WalletTransfer, owner: str, is_free: Free
) -> WalletTransfer | None:
    """Take over a transfer that was made for the same request and can still be carried out."""
    rows = db.execute(
        "SELECT * FROM transfers WHERE call_id = '' AND method = ? AND digest = ? AND expiry > ?"
        " AND state IN ('sent', 'held') ORDER BY at_ms",
        (plan.method, plan.digest, plan.at_ms // 1000),
    ).fetchall()
    for row in rows:
        if row["state"] == TransferState.HELD.value or is_free(row):
            db.execute(
                "UPDATE transfers SET state = 'sent', owner = ? WHERE nonce = ?",
                (owner, row["nonce"]),
            )
            return transfer_of(row)
    return None


def find_transfer(db: sqlite3.Connection, call_id: str) -> WalletTransfer | None:
    """Return the transfer of a call, unless it is proved never to move."""
    row = db.execute(
        "SELECT * FROM transfers WHERE call_id = ? AND call_id != '' AND state != 'failed'",
        (call_id,),
    ).fetchone()
    return None if row is None else transfer_of(row)


def finish_transfer(
    db: sqlite3.Connection, nonce: bytes, state: TransferState, chain_tx: str
) -> None:
    """Note what became of a transfer; one that is settled or failed stays so."""
    row = db.execute("SELECT * FROM transfers WHERE nonce = ?", (nonce,)).fetchone()
    if row is None:
        raise NotFound("the wallet has no such transfer")
    known = transfer_of(row)
    if known.state in {TransferState.SETTLED, TransferState.FAILED}:
        return
    db.execute(
        "UPDATE transfers SET state = ?, chain_tx = ? WHERE nonce = ?",
        (state.value, chain_tx, nonce),
    )
    if state is TransferState.FAILED:
        _count(db, known, -known.units)


def _count(db: sqlite3.Connection, transfer: WalletTransfer, units: int) -> None:
    db.execute(
        "INSERT INTO spends VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET units = units + excluded.units",
        (day_of(transfer.at_ms), transfer.currency, transfer.payee, units),
    )


def open_transfers(db: sqlite3.Connection) -> list[WalletTransfer]:
    """Return the transfers that may have been carried out or may still be, the oldest first."""
    return [transfer_of(row) for row in db.execute(_OPEN)]


def unknown_transfers(db: sqlite3.Connection, is_free: Free) -> list[UnknownSpend]:
    """Return what may be carried out without an answer that was kept."""
    return [
        UnknownSpend(b"", 0, row["units"], False, row["call_id"], row["url"], row["currency"])
        for row in db.execute(_OPEN)
        if row["state"] != TransferState.SENT.value or is_free(row)
    ]


def free_of(owner: str, flying: Collection[bytes], is_dead: Callable[[str], bool]) -> Free:
    """Return whether nobody waits for a transfer's answer: its process died, or gave up."""

    def is_free(row: sqlite3.Row) -> bool:
        if row["owner"] == owner:
            return row["nonce"] not in flying
        return is_dead(row["owner"])

    return is_free


def transfer_of(row: sqlite3.Row) -> WalletTransfer:
    """Return the transfer that a row holds."""
    return WalletTransfer(
        nonce=row["nonce"],
        call_id=row["call_id"],
        method=row["method"],
        url=row["url"],
        digest=row["digest"],
        asset=row["asset"],
        payee=row["payee"],
        currency=row["currency"],
        units=row["units"],
        expiry=row["expiry"],
        body=row["body"],
        at_ms=row["at_ms"],
        state=TransferState(row["state"]),
        chain_tx=row["chain_tx"],
    )
