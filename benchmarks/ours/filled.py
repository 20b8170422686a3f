"""A seller's file that already holds many open channels, and the keys to pay on some of them.

Every channel has what one that was used once has: a session, a lane, a charge and its batch. Only
those that are going to be paid on have true keys; the others hold random bytes of the same sizes.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from aisa.channel.payee_session import EPOCH_S, PayeeExchange
from aisa.channel.sqlite import schema
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.identity import ExchangeKey, SigningKey
from aisa.protocol.aip import ChannelTerms, Session, Voucher, key_of_hub_network

PRICE_UNITS = 100
DEPOSIT_UNITS = 1_000_000
LANES = 4
DAY_S = 86_400
ROWS_PER_STEP = 50_000
CHARGES_PER_BATCH = 500


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """What a payer needs to go on paying: the next call is number `seq` of lane 0."""

    channel: bytes
    tick_key: bytes
    seq: int = 2


@dataclass(frozen=True, slots=True)
class Filling:
    """How many channels to make for a payee, and which of them, by number, can be paid on."""

    payee_seed: bytes
    hub: str
    now_s: int
    channels: int
    live: frozenset[int]


def fill(path: Path, filling: Filling) -> list[LiveChannel]:
    """Make the file at `path` and return its live channels."""
    signer = SigningKey(filling.payee_seed)
    SqliteChannelStore(path, signer.public_key).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        live = _fill(connection, filling, signer)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return live


def _fill(
    connection: sqlite3.Connection, filling: Filling, signer: SigningKey
) -> list[LiveChannel]:
    live: dict[int, LiveChannel] = {}
    exchange = PayeeExchange(filling.payee_seed, signer)
    for first in range(1, filling.channels + 1, ROWS_PER_STEP):
        numbers = range(first, min(first + ROWS_PER_STEP, filling.channels + 1))
        made = {
            number: _live(filling, signer, exchange, number)
            for number in numbers
            if number in filling.live
        }
        live |= {number: row[2] for number, row in made.items()}
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            schema.INSERT_CHANNEL,
            (made[n][0] if n in made else _idle_channel(filling, n) for n in numbers),
        )
        connection.executemany(
            schema.INSERT_SESSION,
            (made[n][1] if n in made else _idle_session(filling, n) for n in numbers),
        )
        connection.executemany(schema.PUT_LANE, ((n, 0, PRICE_UNITS, 0) for n in numbers))
        connection.executemany(schema.INSERT_CHARGE, (_charge(n) for n in numbers))
        batches = sorted({n // CHARGES_PER_BATCH + 1 for n in numbers})
        connection.executemany(
            "INSERT OR IGNORE INTO batch (number, at_ms) VALUES (?,?)",
            ((number, filling.now_s * 1000) for number in batches),
        )
        connection.execute("COMMIT")
    connection.execute("UPDATE meta SET value=? WHERE name='channel_last'", (filling.channels,))
    return [live[number] for number in sorted(live)]


def _live(
    filling: Filling, signer: SigningKey, exchange: PayeeExchange, number: int
) -> tuple[tuple[object, ...], tuple[object, ...], LiveChannel]:
    payer = SigningKey(_seed("payer", number))
    terms = ChannelTerms(
        filling.hub,
        key_of_hub_network(filling.hub),
        payer.public_key,
        signer.public_key,
        "aiUSD",
        os.urandom(16),
    )
    channel = terms.channel_id
    own = ExchangeKey(_seed("exchange", number))
    epoch = filling.now_s // EPOCH_S
    payee_x25519 = exchange.key(epoch).public_key
    session = Session(channel, own.public_key, payee_x25519, 0, LANES, filling.now_s + DAY_S)
    voucher = Voucher(channel, DEPOSIT_UNITS)
    voucher = replace(voucher, signature=payer.sign(voucher.message()))
    keys = own.session_keys(payee_x25519, session.hash)
    channel_row = _channel_row(filling, number, terms, voucher.signature)
    session_row = (
        number, session.hash, own.public_key, payee_x25519, epoch, 0, LANES, session.expiry,
    )  # fmt: skip
    return channel_row, session_row, LiveChannel(channel, keys.tick)


def _channel_row(
    filling: Filling, number: int, terms: ChannelTerms, signature: bytes
) -> tuple[object, ...]:
    return (
        number, terms.channel_id, terms.network, terms.holder, terms.payer, terms.currency,
        terms.salt, 0, filling.now_s * 1000, DEPOSIT_UNITS, DEPOSIT_UNITS, signature,
        PRICE_UNITS, PRICE_UNITS, PRICE_UNITS, 0, 0, filling.now_s * 1000, b"",
    )  # fmt: skip


def _idle_channel(filling: Filling, number: int) -> tuple[object, ...]:
    now_ms = filling.now_s * 1000
    return (
        number, os.urandom(32), filling.hub, key_of_hub_network(filling.hub), os.urandom(32),
        "aiUSD", os.urandom(16), 0, now_ms, DEPOSIT_UNITS, DEPOSIT_UNITS, os.urandom(64),
        PRICE_UNITS, PRICE_UNITS, PRICE_UNITS, 0, 0, now_ms, b"",
    )  # fmt: skip


def _idle_session(filling: Filling, number: int) -> tuple[object, ...]:
    epoch = filling.now_s // EPOCH_S
    expiry = filling.now_s + DAY_S
    return (
        number, os.urandom(32), os.urandom(32), os.urandom(32), epoch, 0, LANES, expiry,
    )  # fmt: skip


def _charge(number: int) -> tuple[object, ...]:
    batch, place = divmod(number, CHARGES_PER_BATCH)
    return (
        (batch + 1) * schema.PLACES + place, number, 0, 1, PRICE_UNITS, PRICE_UNITS,
        bytes(32), 200, bytes(32), 0, 0,
    )  # fmt: skip


def _seed(purpose: str, number: int) -> bytes:
    return hashlib.sha256(f"bench/{purpose}/{number}".encode()).digest()


def spread(channels: int, count: int) -> Iterator[int]:
    """Return `count` channel numbers that lie all over the file."""
    step = channels / count
    return (int(place * step) + 1 for place in range(count))
