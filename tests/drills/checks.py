"""What must hold after every drill, read from the files and the chain, not asked of the target."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from aisa.client import WithdrawalState
from aisa.demo.conservation import asset_sums
from aisa.ledger.sqlite_backup import verify_file
from aisa.ledger.sqlite_reader import SqliteReader
from aisa.ledger.sqlite_schema import connect
from aisa.payment import names
from aisa.payment.withdrawal_row import withdrawal_in
from aisa.protocol.aip.tick import request_digest
from tests.drills.agent import IN_FLIGHT
from tests.drills.round import FUNDS_UNITS, Round
from tests.drills.seller import PRICE_UNITS
from tests.drills.world import BANK_UNITS, SYMBOL, World

STEP_UNITS = 4_000
SLICE_UNITS = 2_000


class Faults(list[str]):
    """What does not hold."""

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            self.append(what)


async def check_round(played: Round) -> list[str]:
    """Return what does not hold after a round."""
    faults = Faults()
    charged = await asyncio.to_thread(_check_calls, played, faults)
    await asyncio.to_thread(_check_ledger, played.world, faults)
    await _check_chain(played, charged, faults)
    return faults


async def check_world(world: World) -> list[str]:
    """Walk the whole chain, and return what does not hold at the end of a world."""
    faults = Faults()
    after = await world.auditor.read()
    known = {fee.tx for fee in world.before.fees}
    sums = asset_sums(
        world.before.holdings,
        after.holdings,
        after.minted[len(world.before.minted) :],
        [fee for fee in after.fees if fee.tx not in known],
        native=world.auditor.native,
    )
    for one in sums:
        faults.expect(one.is_conserved, f"not conserved on the chain: {one}")
    held = sum(
        one.units for one in after.holdings if one.asset == world.asset and one.role == "node"
    )
    with _ledger(world.ledger) as reader:
        owed = -reader.total("network:", SYMBOL).units
    faults.expect(held == owed, f"the node's accounts hold {held} on the chain, the ledger {owed}")
    return faults


def _check_calls(played: Round, faults: Faults) -> int:
    """Every call of the job is charged once, at the seller as in the wallet; returns the sum."""
    world, home = played.world, played.agent_home
    wallet = _rows(home / "wallet.sqlite", "SELECT * FROM channels")
    names_ = [f"{played.name}-{number}" for number in range(played.calls)]
    digests = {_digest(world.seller_url, name): name for name in names_}
    channels = {row["channel"]: row for row in wallet}
    charges = [
        row
        for row in _rows(
            world.home / "seller" / "seller.sqlite",
            "SELECT channel.id AS id, lane, seq, units, request, voided FROM charge"
            " JOIN channel ON channel.number = charge.channel",
        )
        if row["id"] in channels and not row["voided"]
    ]
    counts = Counter(digests.get(row["request"], "?") for row in charges)
    faults.expect("?" not in counts, "a charge is for no call of the job")
    for name in names_:
        faults.expect(counts[name] == 1, f"{name} is charged {counts[name]} times")
    _check_acknowledged(played, charges, digests, faults)
    total = sum(row["units"] for row in charges)
    faults.expect(total == PRICE_UNITS * played.calls, f"the charges sum up to {total}")
    _check_channels(played, channels, total, faults)
    _check_wallet(played, faults)
    return total


def _check_acknowledged(
    played: Round, charges: Iterable[Any], digests: dict[bytes, str], faults: Faults
) -> None:
    """What the agent's owner has seen is what the seller charged: the same tick, the same units."""
    at_seller = {
        digests.get(row["request"]): (row["id"].hex(), row["lane"], row["seq"], row["units"])
        for row in charges
    }
    path = played.agent_home / "acked.log"
    lines = path.read_bytes().splitlines() if path.exists() else []
    acknowledged = 0
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the kill cut it off
        acknowledged += 1
        told = (row["channel"], row["lane"], row["seq"], row["units"])
        known = at_seller.get(row["call"])
        faults.expect(
            known == told, f"{row['call']} was acknowledged as {told}, charged as {known}"
        )
    faults.expect(acknowledged >= played.calls, f"only {acknowledged} answers were seen")


def _check_channels(played: Round, channels: dict[bytes, Any], total: int, faults: Faults) -> None:
    found = [
        row
        for row in _rows(played.world.home / "seller" / "seller.sqlite", "SELECT * FROM channel")
        if row["id"] in channels
    ]
    for row in found:
        name = row["id"].hex()[:8]
        faults.expect(row["state"] == 2, f"the seller's channel {name} is in state {row['state']}")
        faults.expect(
            row["charged"] == row["redeemed"] == row["redeeming"],
            f"channel {name}: charged {row['charged']}, redeemed {row['redeemed']}",
        )
    charged = sum(row["charged"] for row in found)
    faults.expect(charged == total, f"channels say {charged} is charged, charges {total}")
    for key, row in channels.items():
        faults.expect(row["state"] == "closed", f"the wallet's channel is {row['state']}")
        signed_over = row["signed"] - sum(one["charged"] for one in found if one["id"] == key)
        # What a dead process had in flight counts as sent until the seller's word on its lane.
        lost = SLICE_UNITS + IN_FLIGHT * PRICE_UNITS
        bound = STEP_UNITS + SLICE_UNITS + played.kills * lost
        played.facts["signed_over"] = signed_over
        faults.expect(signed_over <= bound, f"{signed_over} is signed above what was charged")
    with _ledger(played.world.ledger) as reader:
        for key in channels:
            account = names.channel_account(key)
            left = reader.balance(account)
            faults.expect(left.units == 0, f"{account[:16]} still holds {left.units}")
            out = left.debits_posted
            played.facts.setdefault("channel_out", out)


def _check_wallet(played: Round, faults: Faults) -> None:
    path = played.agent_home / "wallet.sqlite"
    states = Counter(row["state"] for row in _rows(path, "SELECT state FROM calls"))
    faults.expect(
        states == Counter({"settled": played.calls}), f"the wallet's calls are {dict(states)}"
    )
    faults.expect(not _rows(path, "SELECT * FROM top_ups"), "a top-up is left open")
    unknown = played.facts.get("unknown_spends")
    if played.target != "agent":  # receipts that a killed agent had not kept yet stay unknown
        faults.expect(unknown == 0, f"the wallet lists {unknown} unknown spends")


def _check_ledger(world: World, faults: Faults) -> None:
    report = verify_file(world.ledger)
    faults.expect(report.bad is None, f"the ledger does not verify: {report.bad}")
    with _ledger(world.ledger) as reader:
        everything = reader.total("", SYMBOL)
        faults.expect(everything.units == 0, f"all accounts together have {everything.units}")
        pending = everything.debits_pending + everything.credits_pending
        faults.expect(not pending, f"{pending} units are still held")
        for record in reader.records(names.WITHDRAWAL, "", 1000):
            row = withdrawal_in(record).row
            settled = {WithdrawalState.SETTLED, WithdrawalState.FAILED}
            faults.expect(row.state in settled, f"withdrawal {row.id} is {row.state.value}")


async def _check_chain(played: Round, charged: int, faults: Faults) -> None:
    """What left the node and what it says it holds, against what the chain says."""
    world = played.world
    back = await world.outside_units(played.name)
    wanted = FUNDS_UNITS - charged
    faults.expect(back == wanted, f"the agent got {back} back on the chain, not {wanted}")
    outside = [await world.outside_units(name) for name in world.outsides]
    bank = await world.bank.token_units(world.mint)
    faults.expect(
        bank == BANK_UNITS - world.paid_in, f"the bank has {bank}, {world.paid_in} was paid in"
    )
    held = world.paid_in - sum(outside)
    with _ledger(world.ledger) as reader:
        owed = -reader.total("network:", SYMBOL).units
        fees = reader.balance(names.fees(SYMBOL)).units
    faults.expect(held == owed, f"the chain says that the node holds {held}, the ledger {owed}")
    rows = _rows(world.home / "seller" / "seller.sqlite", "SELECT redeemed, fee_ppm FROM channel")
    fee = sum(row["redeemed"] * row["fee_ppm"] // 1_000_000 for row in rows)
    faults.expect(fees == fee, f"the fees are {fees}, not {fee}")
    earned = sum(row["redeemed"] for row in rows) - fee
    seller = await world.outside_units("seller")
    faults.expect(seller == earned, f"the seller has {seller} on the chain, it earned {earned}")
    async with world.client(world.payee) as client:
        told = await client.solvency()
    faults.expect(told.solvent, f"the node is not solvent: {told}")


def _digest(origin: str, name: str) -> bytes:
    return request_digest(b"GET", origin.encode(), f"/hash/{name}".encode(), sha256(b"").digest())


def _rows(path: Path, query: str) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query).fetchall()


def _ledger(path: Path) -> Any:
    return closing(SqliteReader(connect(path, readonly=True)))
