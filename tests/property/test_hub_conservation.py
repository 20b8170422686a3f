"""A hub under any order of operations and crashes: money neither appears nor vanishes.

The machine drives the real payment room over a real ledger file and the memory network. A crash
opens a copy of the files as they lie on the disk, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aisa.client import ChannelState, WithdrawalState
from aisa.errors import AisaError, Unprocessable
from aisa.payment.channel_row import find_channel
from aisa.payment.names import channel_account, customer, fees, outside, suspense
from aisa.payment.withdrawals import WithdrawalOrder
from tests.unit.payment.bank import (
    ALICE,
    BOB,
    CLOSING_MS,
    FEE_PPM,
    TOKEN,
    Bank,
    open_bank,
    terms_table,
)

CAP = 50_000
UNITS = st.integers(1, 20_000)
PICK = st.integers(0, 10**6)
LAST = st.sampled_from([False, False, False, True])
OUT = "memory:there"


class Hub(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="aisa-hub-"))
        self.lives = 0
        self.requests = 0
        self.channels: list[bytes] = []
        self.signed: dict[bytes, int] = {}
        self.orders: dict[str, WithdrawalOrder] = {}
        self.paid_in = 0

    @initialize()
    def start(self) -> None:
        self.time = None
        self.network = None
        self._open()
        self.deposit(40_000)
        self.open_channel(19_999, 1, True)

    def _open(self) -> None:
        async def enter() -> tuple[AsyncExitStack, Bank]:
            stack = AsyncExitStack()
            bank = await stack.enter_async_context(
                open_bank(
                    self.folder / str(self.lives),
                    time=self.time,
                    network=self.network,
                    terms=terms_table(account_cap_units=CAP, withdrawal_fee_ppm=2000),
                    rail_timeout_s=0.0,
                )
            )
            return stack, bank

        (self.folder / str(self.lives)).mkdir(exist_ok=True)
        self.stack, self.bank = self.runner.run(enter())
        self.time, self.network = self.bank.time, self.bank.network

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def _request(self) -> str:
        self.requests += 1
        return f"r-{self.requests}"

    @rule()
    def crash(self) -> None:
        image = self.folder / str(self.lives + 1)
        image.mkdir()
        for suffix in ("", "-wal"):
            source = self.folder / str(self.lives) / f"ledger.sqlite{suffix}"
            if source.exists():
                shutil.copy(source, image / source.name)
        self.runner.run(self.stack.aclose())
        self.lives += 1
        self._open()

    @rule(units=UNITS)
    def deposit(self, units: int) -> None:
        self.runner.run(self.bank.fund(ALICE, units))
        self.paid_in += units

    @rule()
    def release(self) -> None:
        self.runner.run(self.bank.deposits.release_held())

    @rule(units=UNITS, salt=st.integers(1, 5), again=st.booleans())
    def open_channel(self, units: int, salt: int, again: bool) -> None:
        terms = self.bank.terms(salt=salt.to_bytes(16))
        request = f"open-{salt}" if again else self._request()
        try:
            self.runner.run(self.bank.open(units, terms=terms, request_id=request))
        except AisaError:
            return
        if terms.channel_id not in self.channels:
            self.channels.append(terms.channel_id)

    @precondition(lambda self: self.channels)
    @rule(units=UNITS, pick=PICK, repeat=st.booleans())
    def top_up(self, units: int, pick: int, repeat: bool) -> None:
        channel = self.channels[pick % len(self.channels)]
        request = self._request()
        for _ in range(2 if repeat else 1):
            try:
                self.runner.run(
                    self.bank.channels.top_up(ALICE.public_key, channel, request, units)
                )
            except AisaError:
                return

    @precondition(lambda self: self.channels)
    @rule(pick=PICK, share=st.integers(0, 17), above=st.sampled_from([-1, 0, 1000]), final=LAST)
    def redeem(self, pick: int, share: int, above: int, final: bool) -> None:
        channel = self.channels[pick % len(self.channels)]
        stored = self.runner.run(find_channel(self.bank.store, channel))
        assert stored is not None
        cumulative = stored.row.deposit * share // 16
        ceiling = max(1, cumulative + above)  # at times below what is claimed, or above the deposit
        self.signed[channel] = max(self.signed.get(channel, 0), ceiling)
        self.runner.run(self.bank.redeem(channel, cumulative, ceiling=ceiling, final=final))

    @precondition(lambda self: self.channels)
    @rule(pick=PICK)
    def close(self, pick: int) -> None:
        self.runner.run(self.bank.close(self.channels[pick % len(self.channels)]))

    @rule(part=st.sampled_from([1, 2]))
    def pass_time(self, part: int) -> None:
        self.bank.time.pass_ms(CLOSING_MS // part)
        self.runner.run(self.bank.closing.step())

    @rule(
        units=UNITS,
        who=st.sampled_from([ALICE, BOB]),
        weather=st.sampled_from(["fair", "refusals", "delays", "drops", "lost_answers"]),
        carried_out=st.booleans(),
    )
    def withdraw(self, units: int, who: object, weather: str, carried_out: bool) -> None:
        key = who.public_key  # type: ignore[attr-defined]
        order = WithdrawalOrder(self._request(), TOKEN.asset, units, OUT, 10**6)
        try:
            stored = self.runner.run(self.bank.withdrawals.order(key, order))
        except Unprocessable:
            return
        self.orders[stored.row.record_id] = order
        if carried_out:
            if weather != "fair":
                setattr(self.bank.network, weather, 1)
            self.runner.run(self.bank.reconciler.advance(stored.row.record_id))
            if weather != "fair":
                setattr(self.bank.network, weather, 0)

    @rule(landing=st.booleans())
    def reconcile(self, landing: bool) -> None:
        if landing:
            self.bank.network.land_delayed()
        for record_id in self.bank.reconciler.open_ids:
            self.runner.run(self.bank.reconciler.advance(record_id))

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        if hasattr(self, "bank"):
            self.runner.run(self._check())

    async def _check(self) -> None:
        bank, code = self.bank, "aiUSD"
        assert (await bank.store.total("", code)).units == 0
        held = [customer(key.public_key, code) for key in (ALICE, BOB)]
        held += [channel_account(channel) for channel in self.channels]
        held += [fees(code), suspense(code)]
        balances = [await bank.store.balance(account) for account in held]
        assert all(balance.available >= 0 for balance in balances)
        settled = 0
        for record_id, order in self.orders.items():
            row = (await bank.withdrawals.get(bytes.fromhex(record_id[:64]), order.id)).row
            settled += order.units if row.state is WithdrawalState.SETTLED else 0
        assert sum(balance.units for balance in balances) == self.paid_in - settled
        assert -(await bank.balance(outside(TOKEN))) == self.paid_in - settled
        await self._check_channels()
        report = await bank.solvency.check()
        assert report.solvent, report

    async def _check_channels(self) -> None:
        redeemed = fee = 0
        for channel in self.channels:
            stored = await find_channel(self.bank.store, channel)
            assert stored is not None
            row = stored.row
            rest = 0 if row.state is ChannelState.CLOSED else row.deposit - row.redeemed
            assert await self.bank.balance(channel_account(channel)) == rest
            assert row.redeemed <= min(row.deposit, self.signed.get(channel, 0))
            assert row.fee_taken == row.redeemed * FEE_PPM // 10**6
            redeemed, fee = redeemed + row.redeemed, fee + row.fee_taken
        earned = await self.bank.store.balance(customer(BOB.public_key, "aiUSD"))
        assert earned.credits_posted == redeemed - fee


class TestHub(Hub.TestCase):
    settings = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
