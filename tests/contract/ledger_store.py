"""What every ledger store does: subclass `LedgerStoreContract` and give it an `open`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aisa.errors import LedgerStopped, StateConflict
from aisa.ledger import (
    Balance,
    Command,
    EntryKind,
    Floor,
    Hold,
    HoldStatus,
    OpenAccount,
    Outcome,
    PostHold,
    PutRecord,
    Reason,
    Status,
    Store,
    Transfer,
    VoidHold,
    require_applied,
)

NET, ANN, BOB = "network:test:T", "account:ann:aiUSD", "account:bob:aiUSD"
APPLIED, REPEATED = Outcome(Status.APPLIED), Outcome(Status.REPEATED)
OPENED = (
    OpenAccount(NET, "aiUSD", Floor.NONE),
    OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE),
    OpenAccount(BOB, "aiUSD", Floor.NOT_NEGATIVE),
)


class Time:
    """A clock that the test sets, in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def move(own_id: str, debit: str, credit: str, units: int) -> Transfer:
    return Transfer(own_id, debit, credit, units, "aiUSD", "test", "why")


def hold(own_id: str, units: int, expires_at_ms: int | None = None) -> Hold:
    return Hold(own_id, ANN, BOB, units, "aiUSD", "test", expires_at_ms)


class LedgerStoreContract:
    """The suite; tests reopen the store to show that nothing lives in memory alone."""

    async def open(self, folder: Path, time: Time) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def time(self) -> Time:
        return Time()

    @pytest.fixture
    async def store(self, tmp_path: Path, time: Time) -> AsyncIterator[Store]:
        store = await self.open(tmp_path, time)
        require_applied(await store.post((*OPENED, move("fund", NET, ANN, 100))))
        yield store
        await store.close()

    async def test_answers_and_balances_survive_a_restart(
        self, tmp_path: Path, time: Time, store: Store
    ) -> None:
        assert await store.post((move("t", ANN, BOB, 30),)) == APPLIED
        await store.close()
        again = await self.open(tmp_path, time)
        assert await again.balance(ANN) == Balance(30, 100, 0, 0)
        assert await again.post((move("t", ANN, BOB, 30),)) == REPEATED
        assert (await again.post((move("t", ANN, BOB, 31),))).reason is Reason.ID_REUSED
        assert (await again.post((move("u", ANN, BOB, 71),))).reason is Reason.BELOW_FLOOR
        assert (await again.verify()).ok
        await again.close()

    async def test_a_refusal_is_a_value_and_leaves_nothing(self, store: Store) -> None:
        digest = await store.digest()
        assert (await store.post((move("t", BOB, ANN, 1),))).reason is Reason.BELOW_FLOOR
        assert await store.transfer("t") is None
        assert await store.digest() == digest

    async def test_linked_commands_apply_whole_or_not(self, store: Store) -> None:
        command: Command = (move("a", ANN, BOB, 60), PutRecord("k", "r", 0, b"1"))
        assert await store.post((*command, move("b", ANN, BOB, 60))) == Outcome(
            Status.REFUSED, Reason.BELOW_FLOOR, 0
        )
        assert await store.record("k", "r") is None
        assert await store.post(command) == APPLIED
        assert await store.post(command) == REPEATED

    async def test_many_at_once_are_each_decided_once(self, store: Store) -> None:
        commands = [(move(f"t{number % 150}", ANN, BOB, 1),) for number in range(300)]
        outcomes = await asyncio.gather(*map(store.post, commands))
        statuses = [outcome.status for outcome in outcomes]
        assert statuses.count(Status.APPLIED) == 100
        assert (await store.balance(ANN)).units == 0
        assert (await store.balance(BOB)).units == 100
        assert (await store.verify()).ok

    async def test_holds_are_kept_and_resolve_once(self, tmp_path: Path, time: Time) -> None:
        store = await self.open(tmp_path, time)
        require_applied(await store.post((*OPENED, move("fund", NET, ANN, 100))))
        require_applied(await store.post((hold("h", 60),)))
        assert (await store.balance(ANN)).available == 40
        await store.close()
        store = await self.open(tmp_path, time)
        kept = await store.hold("h")
        assert kept is not None
        assert (kept.status, kept.entry.units, kept.posted_units) == (HoldStatus.OPEN, 60, 0)
        assert await store.post((PostHold("p", "h", 50),)) == APPLIED
        assert (await store.post((VoidHold("v", "h"),))).reason is Reason.HOLD_POSTED
        kept = await store.hold("h")
        assert kept is not None
        assert (kept.status, kept.posted_units) == (HoldStatus.POSTED, 50)
        assert await store.balance(ANN) == Balance(50, 100, 0, 0)
        assert await store.hold("fund") is None
        assert await store.hold("none") is None
        await store.close()

    async def test_due_holds_are_released_without_a_post(self, store: Store, time: Time) -> None:
        require_applied(await store.post((hold("h", 60, 2_000), hold("g", 1, 3_000))))
        assert await store.expire() == 0
        time.now_ms = 2_000
        assert await store.expire() == 1
        assert await store.expire() == 0
        assert (await store.balance(ANN)).available == 99
        kept = await store.hold("h")
        assert kept is not None
        assert kept.status is HoldStatus.EXPIRED
        released = await store.transfer("expire:h")
        assert released is not None
        assert (released.kind, released.hold, released.at_ms) == (EntryKind.EXPIRE, "h", 2_000)

    async def test_time_never_goes_back_not_even_over_a_restart(
        self, tmp_path: Path, time: Time, store: Store
    ) -> None:
        time.now_ms = 5_000
        require_applied(await store.post((move("a", ANN, BOB, 1),)))
        time.now_ms = 4_000
        require_applied(await store.post((move("b", ANN, BOB, 1),)))
        await store.close()
        store = await self.open(tmp_path, time)
        require_applied(await store.post((move("c", ANN, BOB, 1),)))
        entries = await store.history(ANN, limit=3)
        assert [entry.at_ms for entry in entries] == [5_000] * 3
        await store.close()

    async def test_history_is_newest_first_and_pages(self, store: Store) -> None:
        for number in range(5):
            require_applied(await store.post((move(f"t{number}", ANN, BOB, 1),)))
        require_applied(await store.post((hold("h", 2), PostHold("p", "h", 1))))
        first = await store.history(ANN, limit=3)
        assert [entry.id for entry in first] == ["p", "h", "t4"]
        second = await store.history(ANN, before=first[-1].seq, limit=100)
        assert [entry.id for entry in second] == ["t3", "t2", "t1", "t0", "fund"]
        post = first[0]
        assert (post.kind, post.debit, post.credit, post.units, post.hold) == (
            EntryKind.POST,
            ANN,
            BOB,
            1,
            "h",
        )
        assert (post.currency, post.code, post.reference) == ("aiUSD", "test", "")
        assert second[0].reference == "why"
        assert await store.history("nobody") == []
        assert await store.transfer("t3") == second[0]

    async def test_balance_at_a_time(self, store: Store, time: Time) -> None:
        expected = {999: Balance(0, 0, 0, 0), 1_000: Balance(0, 100, 0, 0)}
        steps: list[tuple[int, Command]] = [
            (2_000, (move("a", ANN, BOB, 10),)),
            (3_000, (hold("h", 20), hold("g", 5), hold("x", 1, 5_000))),
            (4_000, (PostHold("p", "h", 15),)),
            (5_000, (VoidHold("v", "g"),)),
            (6_000, (move("b", BOB, ANN, 7),)),
        ]
        for time.now_ms, command in steps:
            require_applied(await store.post(command))
            expected[time.now_ms] = await store.balance(ANN)
        assert expected[3_000] == Balance(10, 100, 26, 0)
        assert expected[5_000] == Balance(25, 100, 0, 0)
        for at_ms, balance in expected.items():
            assert await store.balance(ANN, at_ms) == balance
            assert at_ms < 1_000 or await store.balance(ANN, at_ms + 999) == balance
        assert await store.balance("nobody", 5_000) == Balance(0, 0, 0, 0)

    async def test_accounts_by_prefix(self, store: Store, time: Time) -> None:
        assert [one.name for one in await store.accounts()] == [ANN, BOB, NET]
        assert [one.name for one in await store.accounts("account:", limit=1)] == [ANN]
        assert [one.name for one in await store.accounts("account:", after=ANN)] == [BOB]
        account = await store.account(NET)
        assert account is not None
        assert (account.currency, account.floor, account.opened_ms) == (
            "aiUSD",
            Floor.NONE,
            time.now_ms,
        )
        assert await store.account("nobody") is None

    async def test_totals_of_many_accounts(self, store: Store) -> None:
        require_applied(await store.post((move("a", ANN, BOB, 10), hold("h", 3))))
        assert await store.total("account:", "aiUSD") == Balance(10, 110, 3, 3)
        assert await store.total("", "aiUSD") == Balance(110, 110, 3, 3)
        assert await store.total("account:", "EUR") == Balance(0, 0, 0, 0)

    async def test_records_have_versions(self, tmp_path: Path, time: Time, store: Store) -> None:
        require_applied(await store.post((PutRecord("k", "b", 0, b"1"),)))
        require_applied(await store.post((PutRecord("k", "a", 0, b"\x00\xff"),)))
        require_applied(await store.post((PutRecord("other", "c", 0, b""),)))
        time.now_ms = 2_000
        require_applied(
            await store.post((PutRecord("k", "b", 1, b"2"), PutRecord("k", "b", 2, b"3")))
        )
        await store.close()
        store = await self.open(tmp_path, time)
        assert (await store.post((PutRecord("k", "b", 2, b""),))).reason is Reason.RECORD_CHANGED
        record = await store.record("k", "b")
        assert record is not None
        assert (record.version, record.body, record.at_ms) == (3, b"3", 2_000)
        found = await store.records("k")
        assert [(one.id, one.body) for one in found] == [("a", b"\x00\xff"), ("b", b"3")]
        assert [one.id for one in await store.records("k", after="a")] == ["b"]
        assert [one.id for one in await store.records("k", limit=1)] == ["a"]
        await store.close()

    async def test_the_digest_is_free_of_batch_borders(self, tmp_path: Path, time: Time) -> None:
        commands: list[Command] = [
            OPENED,
            (move("fund", NET, ANN, 100), PutRecord("k", "r", 0, b"1")),
            (hold("h", 5),),
            *((move(f"t{number}", ANN, BOB, 1),) for number in range(20)),
            (PostHold("p", "h"), PutRecord("k", "r", 1, b"2")),
        ]
        digests: list[str] = []
        for name in ("one", "many"):
            (tmp_path / name).mkdir()
            store = await self.open(tmp_path / name, time)
            if name == "one":
                await asyncio.gather(*map(store.post, commands))
            else:
                for command in commands:
                    require_applied(await store.post(command))
            digests.append(await store.digest())
            report = await store.verify()
            assert report.ok
            assert report.rows == 28
            await store.close()
        assert digests[0] == digests[1]

    async def test_verify_reports_progress(self, store: Store) -> None:
        seen: list[tuple[int, int]] = []
        require_applied(await store.post((move("t", ANN, BOB, 1),)))
        report = await store.verify(lambda done, total: seen.append((done, total)))
        assert report.ok
        assert (report.batches, report.rows, len(report.head)) == (2, 5, 64)
        assert seen == [(4, 5), (5, 5)]

    async def test_a_backup_is_the_ledger_of_its_moment(
        self, tmp_path: Path, time: Time, store: Store
    ) -> None:
        digest = await store.digest()
        (tmp_path / "copy").mkdir()
        path = tmp_path / "copy" / "ledger.sqlite"
        posts = [store.post((move(f"t{number}", ANN, BOB, 1),)) for number in range(20)]
        await store.backup(path)
        await asyncio.gather(*posts)
        assert await store.digest() != digest
        with pytest.raises(StateConflict):
            await store.backup(path)

    async def test_a_closed_store_refuses(self, store: Store) -> None:
        waiting = asyncio.ensure_future(store.post((move("t", ANN, BOB, 1),)))
        await asyncio.sleep(0)
        await store.close()
        assert await waiting == APPLIED
        with pytest.raises(LedgerStopped):
            await store.post((move("u", ANN, BOB, 1),))
        await store.close()
