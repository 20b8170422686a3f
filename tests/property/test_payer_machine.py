"""Processes that lease, park, die and come back in any order, beside a payee that lies."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from aisa.channel.payer import ChannelState, DepositShort, LeaseAsk, Limits
from aisa.channel.payer_lane import LaneMeter
from aisa.channel.wallet import ChannelPlan, SessionPlan, TopUp
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.errors import BudgetExceeded, ReceiptInvalid
from aisa.identity import SigningKey
from aisa.protocol.aip import ChannelTerms, DepositStatement, LaneClosed

PAYEE = SigningKey(bytes([1]) * 32)
LIMITS = Limits(per_seller=900, per_day=1000)
TERMS = ChannelTerms("aisa:x", bytes(32), bytes([2]) * 32, PAYEE.public_key, "aiUSD", bytes(16))
SMALL = st.integers(1, 60)


class Process:
    """One process: its wallet, its session, and what it took from its lane."""

    def __init__(self, path: Path, seed: int) -> None:
        self.wallet = SqliteWallet(path)
        self.meter: LaneMeter | None = None
        self.session: Any = None
        self.seed = seed

    def begin(self, channel: bytes) -> None:
        found = self.wallet.adopt_session(channel, expiry_min=0)
        if found is None:
            key = self.seed.to_bytes(32)
            found = self.wallet.make_session(SessionPlan(channel, key, key, bytes(32), 2**40))
        self.session = found.session
        self.meter = LaneMeter(found.lane, found.taken, found.taken, found.next_seq)


class PayerMachine(RuleBasedStateMachine):
    """The model knows every tick that was made; the wallet may never have signed for more."""

    processes = Bundle("processes")

    @initialize()
    def open_wallet(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="aisa-payer-")
        self.path = Path(self.folder.name) / "wallet.sqlite"
        self.owner = SqliteWallet(self.path)
        plan = ChannelPlan(TERMS, "http://node", bytes(32), "http://s", 500)
        self.channel = self.owner.plan_channel(plan, now_ms=0).channel
        self.deposit = 500
        self.state()
        self.owner.open_channel(self.channel, self.statement())
        self.made = 0
        self.signed = 0
        self.spent = {0: 0}
        self.day = 0
        self.ticks: dict[int, int] = {}
        self.live: list[Process] = []
        self.is_open = True

    def state(self) -> Any:
        return self.owner.channel(self.channel)

    def statement(self) -> DepositStatement:
        return DepositStatement(self.channel, self.deposit, 0, 1, bytes(64))

    @rule(target=processes)
    def start(self) -> Process:
        self.made += 1
        process = Process(self.path, self.made)
        process.begin(self.channel)
        self.live.append(process)
        return process

    @rule(process=processes, amount=SMALL, wanted=st.integers(0, 120))
    def lease(self, process: Process, amount: int, wanted: int) -> None:
        meter = process.meter
        assert meter is not None
        before = self.state()
        try:
            granted = process.wallet.lease(
                self.channel,
                meter.lane,
                LeaseAsk(amount, wanted),
                LIMITS,
                now_ms=self.day * 86_400_000,
            )
        except BudgetExceeded:
            spent = self.spent[self.day] + amount - (before.signed - before.sent)
            assert spent > 900
            assert self.state() == before
            return
        if isinstance(granted, DepositShort):
            assert before.sent + amount > self.deposit
            assert granted.missing == before.sent + amount - self.deposit
            return
        # Whatever is signed is exactly the written-ahead count, and the budget has paid for it.
        assert amount <= granted.units <= max(amount, wanted)
        assert granted.ceiling == max(before.signed, before.sent + granted.units)
        self.spent[self.day] += max(0, granted.ceiling - self.signed)
        self.signed = max(self.signed, granted.ceiling)
        meter.add(granted.units, granted.ceiling, "v")

    @rule(process=processes, amount=SMALL)
    def pay(self, process: Process, amount: int) -> None:
        meter = process.meter
        assert meter is not None
        seq = meter.take(amount)
        if seq:
            self.ticks[meter.lane] = self.ticks.get(meter.lane, 0) + amount

    @rule(process=processes, amount=SMALL)
    def refuse(self, process: Process, amount: int) -> None:
        meter = process.meter
        assert meter is not None
        if meter.take(amount):
            meter.give_back(amount)

    @rule(process=consumes(processes))
    def park(self, process: Process) -> None:
        meter = process.meter
        assert meter is not None
        process.wallet.park(
            process.session.hash, lane=meter.lane, taken=meter.taken, next_seq=meter.next_seq
        )
        self.end(process)

    @rule(process=processes)
    def change_lane(self, process: Process) -> None:
        meter = process.meter
        assert meter is not None
        following = process.wallet.next_lane(
            process.session.hash, lane=meter.lane, taken=meter.taken
        )
        if following is None:
            process.begin(self.channel)
        else:
            process.meter = LaneMeter(following)

    @rule(process=consumes(processes))
    def die(self, process: Process) -> None:
        self.end(process)

    def end(self, process: Process) -> None:
        process.wallet.close()
        self.live.remove(process)

    @rule(lie=st.integers(-40, 40))
    def ask_for_dead_lanes(self, lie: int) -> None:
        for lane in self.owner.dead_lanes(now_ms=0):
            truth = self.ticks.get(lane.lane, 0)
            assert truth <= lane.leased
            said = max(0, truth + lie)
            plain = LaneClosed(self.channel, lane.lane, said)
            notice = replace(plain, signature=PAYEE.sign(plain.signing_bytes()))
            before = self.state().sent
            try:
                rest = self.owner.lane_returned(lane, notice, now_ms=0)
            except ReceiptInvalid:
                assert said > lane.leased
                assert self.state().sent == before
            else:
                assert rest == lane.leased - said
                self.ticks[lane.lane] = min(truth, said)

    @rule(units=st.integers(1, 300))
    def top_up(self, units: int) -> None:
        plan = self.owner.begin_top_up(TopUp(self.channel, "t", units))
        self.deposit += plan.units
        self.owner.finish_top_up(plan, self.statement())

    @rule()
    def next_day(self) -> None:
        self.day += 1
        self.spent[self.day] = 0

    @invariant()
    def nothing_is_signed_beyond_what_was_written_down(self) -> None:
        if not hasattr(self, "owner"):
            return
        channel = self.state()
        assert channel.state is ChannelState.OPEN
        assert channel.signed == self.signed
        assert sum(self.ticks.values()) <= channel.sent <= channel.signed <= channel.deposit
        for day, units in self.spent.items():
            spent = self.owner.spent("aiUSD", now_ms=day * 86_400_000, payee=PAYEE.public_key)
            assert spent.day == spent.seller == units <= 900

    def teardown(self) -> None:
        if not hasattr(self, "owner"):
            return
        for process in self.live:
            process.wallet.close()
        self.owner.close()
        self.folder.cleanup()


TestPayerMachine = PayerMachine.TestCase
TestPayerMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
