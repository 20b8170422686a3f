"""One state machine drives a toy ledger, the book and the SQLite store, and compares every answer."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from aisa.ledger import (
    Command,
    Floor,
    Hold,
    OpenAccount,
    Operation,
    PostHold,
    PutRecord,
    Status,
    Transfer,
    VoidHold,
)
from aisa.ledger.book import Book
from aisa.ledger.memory import MemoryState
from aisa.ledger.outcome import Outcome
from aisa.ledger.sqlite import SqliteStore
from aisa.ledger.sqlite_archive import open_archive
from aisa.ledger.sqlite_schema import connect
from aisa.ledger.verify import verify

NAMES = ["net:a", "net:b", "ann:a", "bob:a", "ann:b", "bob:b"]
CURRENCY = {name: name[-1] for name in NAMES}
IDS = [f"id{number}" for number in range(24)]


@dataclass
class Toy:
    """The rules, said again as plainly as possible: what stands, and what it stands for."""

    now_ms: int = 1_000
    accounts: dict[str, Floor] = field(default_factory=dict[str, Floor])
    entries: dict[str, Operation] = field(default_factory=dict[str, Operation])
    holds: dict[str, Hold] = field(default_factory=dict[str, Hold])
    posted: Counter[str] = field(default_factory=Counter[str])
    records: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])

    def copy(self) -> Toy:
        return Toy(
            self.now_ms,
            dict(self.accounts),
            dict(self.entries),
            dict(self.holds),
            Counter(self.posted),
            {key: list(bodies) for key, bodies in self.records.items()},
        )

    def expire(self) -> None:
        for key, one in list(self.holds.items()):
            if one.expires_at_ms is not None and one.expires_at_ms <= self.now_ms:
                del self.holds[key]

    def available(self, name: str) -> int:
        held = sum(one.units for one in self.holds.values() if one.debit == name)
        return self.posted[name] - held

    def post(self, command: Command) -> Status:
        self.expire()
        named = [one for one in command if not isinstance(one, OpenAccount | PutRecord)]
        known = [one for one in named if one.id in self.entries]
        if known:
            return Status.REPEATED if self.repeats(command, named) else Status.REFUSED
        trial = self.copy()
        if not all(trial.apply(one) for one in command):
            return Status.REFUSED
        for name, floor in trial.accounts.items():
            if floor is Floor.NOT_NEGATIVE and trial.available(name) < 0:
                return Status.REFUSED
        if trial == self:
            return Status.REPEATED
        self.__dict__.update(trial.__dict__)
        return Status.APPLIED

    def repeats(self, command: Command, named: list[Transfer | Hold | PostHold | VoidHold]) -> bool:
        if len({one.id for one in named}) < len(named):
            return False
        for one in command:
            if isinstance(one, PutRecord):
                bodies = self.records.get(one.id, [])[one.expected_version :]
                if not bodies or bodies[0] != one.body:
                    return False
            elif isinstance(one, OpenAccount):
                if self.accounts.get(one.account) is not one.floor:
                    return False
            elif self.entries.get(one.id) != self.whole(one):
                return False
        return True

    def whole(self, one: Operation) -> Operation:
        """A post of None is a post of all."""
        if isinstance(one, PostHold) and one.units is None:
            target = self.entries.get(one.hold)
            return PostHold(one.id, one.hold, target.units if isinstance(target, Hold) else None)
        return one

    def apply(self, one: Operation) -> bool:
        if isinstance(one, OpenAccount):
            return self.accounts.setdefault(one.account, one.floor) is one.floor
        if isinstance(one, PutRecord):
            bodies = self.records.setdefault(one.id, [])
            bodies.append(one.body)
            return len(bodies) == one.expected_version + 1
        if one.id in self.entries:
            return False
        self.entries[one.id] = self.whole(one)
        if isinstance(one, PostHold | VoidHold):
            found = self.holds.pop(one.hold, None)
            if found is None:
                return False
            units = 0
            if isinstance(one, PostHold):
                units = found.units if one.units is None else one.units
            self.posted[found.debit] -= units
            self.posted[found.credit] += units
            return units <= found.units
        if one.debit == one.credit or not {one.debit, one.credit} <= self.accounts.keys():
            return False
        if isinstance(one, Hold):
            self.holds[one.id] = one
            if one.expires_at_ms is not None and one.expires_at_ms <= self.now_ms:
                return False
        else:
            self.posted[one.debit] -= one.units
            self.posted[one.credit] += one.units
        return CURRENCY[one.debit] == CURRENCY[one.credit] == one.currency


ids = st.sampled_from(IDS)
names = st.sampled_from(NAMES)
units = st.integers(1, 60)
ages = st.integers(1, 300)
currencies = st.sampled_from("aaab")
moves = st.builds(Transfer, ids, names, names, units, currencies, st.just("test"))
holds = st.builds(
    Hold,
    ids,
    names,
    names,
    units,
    currencies,
    st.just("test"),
    st.none() | st.integers(1_001, 1_400),
)
posts = st.builds(PostHold, ids, ids, st.none() | units)
voids = st.builds(VoidHold, ids, ids)
puts = st.builds(
    PutRecord, st.just("k"), st.sampled_from("rs"), st.integers(0, 2), st.sampled_from([b"x", b"y"])
)
opens = st.sampled_from(NAMES).map(
    lambda name: OpenAccount(
        name, CURRENCY[name], Floor.NONE if name.startswith("net") else Floor.NOT_NEGATIVE
    )
)
operations = st.one_of(moves, moves, holds, posts, posts, voids, puts, opens)
commands = st.lists(operations, min_size=1, max_size=4).map(tuple)


class LedgerMachine(RuleBasedStateMachine):
    """The store works in batches of whatever came together, the book command by command."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="aisa-ledger-"))
        self.path = self.folder / "ledger.sqlite"
        self.runner = asyncio.Runner()
        self.toy = Toy()
        self.clock_ms = self.toy.now_ms
        self.state = MemoryState()
        self.book = Book(self.state, accounts_max=2)
        self.sent: list[Command] = []
        self.store = self.open()

    def open(self) -> SqliteStore:
        return self.runner.run(SqliteStore.open(self.path, clock=lambda: self.clock_ms))

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        with open_archive(self.path) as archive:
            report = verify(archive)
        self.runner.close()
        shutil.rmtree(self.folder)
        assert report.ok, report.bad

    def decide(self, several: list[Command]) -> None:
        expected = [self.toy.post(command) for command in several]
        folded: list[Outcome] = []
        for command in several:
            batch = self.book.fold([command], self.toy.now_ms)
            self.state.apply(batch)
            folded += batch.outcomes

        async def post_all() -> list[Outcome]:
            return list(await asyncio.gather(*map(self.store.post, several)))

        stored = self.runner.run(post_all())
        for outcome in folded:
            event(outcome.reason.name if outcome.reason is not None else outcome.status.name)
        assert stored == folded
        assert [outcome.status for outcome in folded] == expected
        self.sent += several

    @initialize()
    def open_some(self) -> None:
        for name in NAMES[:4]:
            floor = Floor.NONE if name.startswith("net") else Floor.NOT_NEGATIVE
            self.decide([(OpenAccount(name, CURRENCY[name], floor),)])

    @rule(several=st.lists(commands, min_size=1, max_size=4))
    def post(self, several: list[Command]) -> None:
        self.decide(several)

    @rule(name=st.sampled_from(["ann:a", "bob:a"]), own_id=ids, amount=units)
    def fund(self, name: str, own_id: str, amount: int) -> None:
        self.decide([(Transfer(own_id, "net:a", name, amount, "a", "test"),)])

    @rule(
        side=st.sampled_from(["ann:a", "bob:a", "net:a"]), amount=units, lasts_ms=st.none() | ages
    )
    def set_aside(self, side: str, amount: int, lasts_ms: int | None) -> None:
        """A hold that mostly stands; the random ones mostly do not."""
        other = "net:a" if side != "net:a" else "ann:a"
        expires_at_ms = None if lasts_ms is None else self.toy.now_ms + lasts_ms
        own_id = f"hold{len(self.sent)}"
        self.decide([(Hold(own_id, side, other, amount, "a", "test", expires_at_ms),)])

    @precondition(lambda self: any(isinstance(one, Hold) for one in self.toy.entries.values()))
    @rule(data=st.data(), several=st.integers(1, 3))
    def resolve(self, data: st.DataObject, several: int) -> None:
        """Try to post or void holds, together with something that may refuse it all."""
        kept = [one.id for one in self.toy.entries.values() if isinstance(one, Hold)]
        resolved: list[Command] = []
        for number in range(several):
            target = data.draw(st.sampled_from(kept))
            own_id = f"end{len(self.sent)}-{number}"
            ends = (PostHold(own_id, target), PostHold(own_id, target, 7), VoidHold(own_id, target))
            end = data.draw(st.sampled_from(ends))
            resolved.append((end, data.draw(moves)) if data.draw(st.booleans()) else (end,))
        self.decide(resolved)

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.decide([data.draw(st.sampled_from(self.sent))])

    @rule(step_ms=st.integers(-50, 150))
    def pass_time(self, step_ms: int) -> None:
        """The clock may go back; the time of batches does not."""
        self.clock_ms += step_ms
        self.toy.now_ms = max(self.toy.now_ms, self.clock_ms)
        self.decide([(PutRecord("tick", "t", self.state.version("tick", "t"), b""),)])

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.open()

    @invariant()
    def balances_agree_and_cancel_out(self) -> None:
        totals: Counter[tuple[str, str]] = Counter()
        for name in self.toy.accounts:
            balance = self.runner.run(self.store.balance(name))
            position = self.state.account(name)
            assert position is not None
            assert position.sums == (
                balance.debits_posted,
                balance.credits_posted,
                balance.debits_pending,
                balance.credits_pending,
            )
            assert balance.units == self.toy.posted[name]
            assert balance.available == self.toy.available(name)
            if self.toy.accounts[name] is Floor.NOT_NEGATIVE:
                assert balance.available >= 0
            totals["posted", CURRENCY[name]] += balance.units
            totals["pending", CURRENCY[name]] += balance.credits_pending - balance.debits_pending
        assert not any(totals.values())

    @invariant()
    def holds_resolve_once(self) -> None:
        connection = connect(self.path, readonly=True)
        twice = connection.execute(
            "SELECT hold FROM transfer WHERE hold IS NOT NULL GROUP BY hold HAVING count(*) > 1"
        ).fetchall()
        connection.close()
        assert not twice


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=80, stateful_step_count=30)
