"""Between the wallet's rows and its values."""

from __future__ import annotations

import sqlite3

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.wallet import (
    CallState,
    WalletCall,
    WalletEvent,
    WalletReceipt,
    WalletSession,
)
from aisa.protocol.aip import ChannelTerms, DepositStatement, ReceiptLeaf, Session
from aisa.protocol.escrow import ChannelConfig


def channel_of(row: sqlite3.Row) -> PayerChannel:
    """Return the channel that a row of `channels` holds."""
    escrow = row["escrow"]
    terms = ChannelTerms(
        row["network"],
        row["holder"],
        row["payer"],
        row["payee"],
        row["currency"],
        row["salt"],
        ChannelConfig.unpack(escrow) if escrow else None,
    )
    return PayerChannel(
        terms=terms,
        channel=row["channel"],
        node_url=row["node_url"],
        account_key=row["account_key"],
        session_url=row["session_url"],
        state=ChannelState(row["state"]),
        statement=DepositStatement(
            row["channel"], row["deposit"], row["fee_ppm"], row["issued"], row["statement"]
        ),
        sent=row["sent"],
        signed=row["signed"],
        opened_at_ms=row["opened_at_ms"],
    )


def session_of(row: sqlite3.Row, lane: sqlite3.Row) -> WalletSession:
    """Return the session that a row of `sessions` holds, going on with the lane."""
    session = Session(
        row["channel"],
        row["payer_x25519"],
        row["payee_x25519"],
        row["lane_first"],
        row["lane_count"],
        row["expiry"],
    )
    return WalletSession(session, row["seed"], lane["lane"], lane["next_seq"], lane["leased"])


def call_of(row: sqlite3.Row) -> WalletCall:
    """Return the call that a row of `calls` holds."""
    return WalletCall(
        call_id=row["call_id"],
        method=row["method"],
        url=row["url"],
        digest=row["digest"],
        session=row["session"],
        channel=row["channel"],
        lane=row["lane"],
        seq=row["seq"],
        amount=row["amount"],
        at_ms=row["at_ms"],
        state=CallState(row["state"]),
        charged=row["charged"],
    )


def receipt_of(row: sqlite3.Row) -> WalletReceipt:
    """Return the receipt that a row of `receipts` holds."""
    leaf = ReceiptLeaf(
        row["channel"],
        row["lane"],
        row["seq"],
        row["units"],
        row["request"],
        row["status"],
        row["answer"],
    )
    return WalletReceipt(leaf, row["mac"], row["method"], row["url"], row["at_ms"], row["number"])


def receipt_row(receipt: WalletReceipt) -> tuple[object, ...]:
    """Return a receipt's columns."""
    leaf = receipt.leaf
    # The module asks of each bytes object whether it has an adapter, and of a bytearray it does not.
    return (
        bytearray(leaf.channel),
        leaf.lane,
        leaf.seq,
        leaf.units,
        bytearray(leaf.request),
        leaf.status,
        bytearray(leaf.answer),
        bytearray(receipt.mac),
        receipt.method,
        receipt.url,
        receipt.at_ms,
    )


def event_of(row: sqlite3.Row) -> WalletEvent:
    """Return the event that a row of `events` holds."""
    return WalletEvent(row["at_ms"], row["kind"], row["channel"], row["detail"], row["number"])
