"""Whatever the network does to payments out, nothing is paid twice and nothing gets lost."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from aisa.devnet.solana.disturbance import Disturbance
from aisa.errors import AisaError
from aisa.settlement import Outcome, Outgoing, Settled, Unknown
from tests.unit.settlement.solana_bench import Bench

FAULTS = ("", "drop", "lose_answer", "refuse", "land_with_error", "delay", "stale_blockhash")
EXPIRED_SLOTS = 150 + 32 + 2 + 1
PURSE = 100_000

deposits = st.tuples(st.just("deposit"), st.integers(0, 3), st.integers(1, 1_000))
sends = st.tuples(st.just("send"), st.integers(0, len(FAULTS) - 1), st.integers(1, 1_500))
waits = st.tuples(st.just("wait"), st.sampled_from((1, 2, 20, 120)), st.just(0))
restarts = st.tuples(st.just("restart"), st.just(0), st.just(0))
steps = st.lists(st.one_of(deposits, sends, sends, waits, restarts), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_every_unit_is_in_one_place(taken: list[tuple[str, int, int]]) -> None:
    async def play() -> None:
        game = Play()
        for number, (kind, what, units) in enumerate(taken):
            await game.take(f"w{number}", kind, what, units)
            await game.look()
        await game.finish()

    asyncio.run(play())


class Play:
    """A node's rail, a payer who deposits, a payee who is paid, and what was said of each order."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.orders: dict[str, Outgoing] = {}
        self.final: dict[str, Outcome] = {}
        self.told = 0
        self.cursor = b""
        self.start()
        self.bench.fund(self.rail.treasury, 0)
        self.payer = self.bench.payer(PURSE)
        self.payee = str(Keypair().pubkey())

    def start(self) -> None:
        self.rail = self.bench.rail(send_timeout_s=0.01, poll_s=0.004)

    async def take(self, order_id: str, kind: str, what: int, units: int) -> None:
        if kind == "deposit":
            request = await self.rail.request(self.bench.token, f"account:{what}:aiUSD")
            self.bench.pay(self.payer, request.address, units)
        elif kind == "send":
            await self.send(order_id, FAULTS[what], units)
        elif kind == "wait":
            self.bench.pass_slots(what)
        else:
            self.start()

    async def send(self, order_id: str, fault: str, units: int) -> None:
        if fault:
            self.bench.devnet.call("aisa_fault", {"name": fault, "slots": 10})
        order = Outgoing(order_id, self.bench.token, units, self.payee)
        try:
            await self.rail.send(order)
            self.orders[order_id] = order
        except AisaError:
            assert order_id not in self.bench.journal.bodies, "an exception: nothing was sent"
        self.bench.devnet.chain.disturbance = Disturbance()

    async def look(self) -> None:
        for order_id in self.orders:
            outcome = await self.rail.look_up(order_id)
            if order_id in self.final:
                assert outcome == self.final[order_id], "a final outcome never changes"
            elif not isinstance(outcome, Unknown):
                self.final[order_id] = outcome
        found = await self.rail.incoming(self.cursor)
        self.cursor = found.cursor
        self.told += sum(one.units for one in found.deposits)

    async def finish(self) -> None:
        """After a while every outcome is known, and all units are accounted for."""
        self.bench.pass_slots(2)
        await self.look()
        self.bench.pass_slots(EXPIRED_SLOTS)
        await self.look()
        assert set(self.final) == set(self.orders)
        settled = sum(
            self.orders[order_id].units
            for order_id, outcome in self.final.items()
            if isinstance(outcome, Settled)
        )
        assert self.bench.units(self.payee) == settled
        assert (await self.rail.holdings())[self.bench.token] == self.told - settled
        assert self.bench.units(str(self.payer.pubkey())) + self.told == PURSE
