"""Every rule and every reason, on the book alone."""

from __future__ import annotations

from typing import Any

import pytest

from aisa.errors import (
    AisaError,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    NotFound,
    StateConflict,
    Unprocessable,
)
from aisa.ledger import (
    Command,
    Floor,
    Hold,
    OpenAccount,
    Operation,
    Outcome,
    PostHold,
    PutRecord,
    Reason,
    Status,
    Transfer,
    VoidHold,
    require_applied,
)
from aisa.ledger.book import EXPIRIES_MAX, Book
from aisa.ledger.memory import MemoryState
from aisa.ledger.outcome import refusal_error
from aisa.ledger.shape import BODY_BYTES_MAX, OPERATIONS_MAX, UNITS_MAX

NET, ANN, BOB, EURO = "network:test:T", "account:ann:aiUSD", "account:bob:aiUSD", "account:eve:EUR"


class Ledger:
    """A book over memory that commits each batch at once."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.book = Book(self.state)
        self.now_ms = 1_000
        for name, currency, floor in (
            (NET, "aiUSD", Floor.NONE),
            (ANN, "aiUSD", Floor.NOT_NEGATIVE),
            (BOB, "aiUSD", Floor.NOT_NEGATIVE),
            (EURO, "EUR", Floor.NOT_NEGATIVE),
        ):
            assert self.post(OpenAccount(name, currency, floor)).status is Status.APPLIED
        assert self.post(move("fund", NET, ANN, 100)).status is Status.APPLIED

    def post(self, *operations: Operation) -> Outcome:
        return self.batch(operations)[0]

    def batch(self, *commands: Command) -> list[Outcome]:
        batch = self.book.fold(commands, self.now_ms)
        self.state.apply(batch)
        return list(batch.outcomes)

    def sums(self, name: str) -> tuple[int, int, int, int]:
        position = self.state.account(name)
        assert position is not None
        return position.sums


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def move(own_id: str, debit: str, credit: str, units: int, currency: str = "aiUSD") -> Transfer:
    return Transfer(own_id, debit, credit, units, currency, "test")


def hold(own_id: str, units: int, expires_at_ms: int | None = None) -> Hold:
    return Hold(own_id, ANN, BOB, units, "aiUSD", "test", expires_at_ms)


def refused(reason: Reason, index: int = 0) -> Outcome:
    return Outcome(Status.REFUSED, reason, index)


APPLIED, REPEATED = Outcome(Status.APPLIED), Outcome(Status.REPEATED)


class TestAccounts:
    def test_opening_again_in_the_same_way_is_a_repetition(self, ledger: Ledger) -> None:
        assert ledger.post(OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE)) == REPEATED

    @pytest.mark.parametrize(
        "other",
        [OpenAccount(ANN, "EUR", Floor.NOT_NEGATIVE), OpenAccount(ANN, "aiUSD", Floor.NONE)],
    )
    def test_opening_in_another_way_is_refused(self, ledger: Ledger, other: OpenAccount) -> None:
        assert ledger.post(other) == refused(Reason.ACCOUNT_DIFFERS)

    def test_an_account_opened_in_the_command_can_be_used_in_it(self, ledger: Ledger) -> None:
        opened = OpenAccount("channel:1", "aiUSD", Floor.NOT_NEGATIVE)
        assert ledger.post(opened, move("in", ANN, "channel:1", 40)) == APPLIED
        assert ledger.sums("channel:1") == (0, 40, 0, 0)

    def test_an_account_of_a_refused_command_is_not_open(self, ledger: Ledger) -> None:
        opened = OpenAccount("channel:1", "aiUSD", Floor.NOT_NEGATIVE)
        assert ledger.post(opened, move("in", ANN, "channel:1", 101)) == refused(
            Reason.BELOW_FLOOR, 1
        )
        assert ledger.post(move("in", ANN, "channel:1", 1)) == refused(Reason.CREDIT_NOT_FOUND)


class TestTransfers:
    def test_both_sides_move_by_the_same_units(self, ledger: Ledger) -> None:
        assert ledger.post(move("t", ANN, BOB, 30)) == APPLIED
        assert ledger.sums(ANN) == (30, 100, 0, 0)
        assert ledger.sums(BOB) == (0, 30, 0, 0)

    def test_the_same_again_is_a_repetition_and_moves_nothing(self, ledger: Ledger) -> None:
        assert ledger.post(move("t", ANN, BOB, 30)) == APPLIED
        assert ledger.post(move("t", ANN, BOB, 30)) == REPEATED
        assert ledger.batch((move("u", ANN, BOB, 1),), (move("u", ANN, BOB, 1),)) == [
            APPLIED,
            REPEATED,
        ]
        assert ledger.sums(BOB) == (0, 31, 0, 0)

    def test_a_repetition_is_answered_even_if_it_could_not_be_applied_now(
        self, ledger: Ledger
    ) -> None:
        assert ledger.post(move("t", ANN, BOB, 100)) == APPLIED
        assert ledger.post(move("t", ANN, BOB, 100)) == REPEATED

    @pytest.mark.parametrize(
        "other",
        [
            move("t", ANN, BOB, 31),
            move("t", NET, BOB, 30),
            move("t", ANN, NET, 30),
            move("t", ANN, BOB, 30, "EUR"),
            move("t", ANN, "nobody", 30),
            Transfer("t", ANN, BOB, 30, "aiUSD", "other"),
            Transfer("t", ANN, BOB, 30, "aiUSD", "test", "other"),
            Hold("t", ANN, BOB, 30, "aiUSD", "test", None),
            PostHold("t", "t"),
            VoidHold("t", "t"),
        ],
    )
    def test_the_same_id_with_another_body_is_refused(
        self, ledger: Ledger, other: Operation
    ) -> None:
        assert ledger.post(move("t", ANN, BOB, 30)) == APPLIED
        assert ledger.post(other) == refused(Reason.ID_REUSED)

    def test_a_refused_command_may_be_tried_again(self, ledger: Ledger) -> None:
        assert ledger.post(move("t", BOB, ANN, 5)) == refused(Reason.BELOW_FLOOR)
        assert ledger.post(move("f", ANN, BOB, 5)) == APPLIED
        assert ledger.post(move("t", BOB, ANN, 5)) == APPLIED

    @pytest.mark.parametrize(
        ("transfer", "reason"),
        [
            (move("t", "nobody", "no one", 1), Reason.DEBIT_NOT_FOUND),
            (move("t", ANN, "nobody", 1), Reason.CREDIT_NOT_FOUND),
            (move("t", ANN, EURO, 1), Reason.CURRENCY_MISMATCH),
            (move("t", EURO, ANN, 1), Reason.CURRENCY_MISMATCH),
            (move("t", ANN, BOB, 1, "EUR"), Reason.CURRENCY_MISMATCH),
            (move("t", ANN, ANN, 1), Reason.SAME_ACCOUNT),
            (move("t", ANN, BOB, 0), Reason.UNITS_OUT_OF_RANGE),
            (move("t", ANN, BOB, -1), Reason.UNITS_OUT_OF_RANGE),
            (move("t", ANN, BOB, UNITS_MAX + 1), Reason.UNITS_OUT_OF_RANGE),
            (move("t", ANN, BOB, UNITS_MAX), Reason.BELOW_FLOOR),
            (move("t", ANN, BOB, 101), Reason.BELOW_FLOOR),
        ],
    )
    def test_a_refusal_has_one_reason_and_moves_nothing(
        self, ledger: Ledger, transfer: Transfer, reason: Reason
    ) -> None:
        assert ledger.post(transfer) == refused(reason)
        assert ledger.sums(ANN) == (0, 100, 0, 0)
        assert ledger.sums(BOB) == (0, 0, 0, 0)

    def test_sums_never_pass_the_largest_integer(self, ledger: Ledger) -> None:
        assert ledger.post(move("a", NET, BOB, UNITS_MAX - 100)) == APPLIED
        assert ledger.post(move("b", NET, BOB, 1)) == refused(Reason.SUM_OVERFLOW)
        # The sums of Ann have room for it, those of the network do not.
        assert ledger.post(move("c", NET, ANN, 1)) == refused(Reason.SUM_OVERFLOW)
        assert ledger.post(move("d", BOB, NET, 1)) == APPLIED
        assert ledger.post(move("e", NET, BOB, 1)) == refused(Reason.SUM_OVERFLOW)

    def test_pending_sums_count_against_overflow(self, ledger: Ledger) -> None:
        big = Hold("h", NET, BOB, UNITS_MAX - 100, "aiUSD", "test", None)
        assert ledger.post(big) == APPLIED
        assert ledger.post(move("b", NET, BOB, 1)) == refused(Reason.SUM_OVERFLOW)


class TestShape:
    @pytest.mark.parametrize(
        "bad",
        [
            move("", ANN, BOB, 1),
            move("x" * 129, ANN, BOB, 1),
            move("tab\t", ANN, BOB, 1),
            move("ü", ANN, BOB, 1),
            move("expire:h", ANN, BOB, 1),
            move("t", "", BOB, 1),
            move("t", ANN, "b" * 201, 1),
            move("t", ANN, BOB, 1, ""),
            Transfer("t", ANN, BOB, 1, "aiUSD", ""),
            Transfer("t", ANN, BOB, 1, "aiUSD", "c" * 65),
            Transfer("t", ANN, BOB, 1, "aiUSD", "c", "r" * 513),
            Transfer("t", ANN, BOB, 1, "aiUSD", "c", "\ud800"),
            Transfer("t", ANN, BOB, 1, "aiUSD", "c", "a\nb"),
            Hold("t", ANN, BOB, 1, "aiUSD", "c", 0),
            PostHold("", "h"),
            PostHold("p", ""),
            VoidHold("v", "h\x00"),
            OpenAccount("", "aiUSD", Floor.NONE),
            OpenAccount("a" * 201, "aiUSD", Floor.NONE),
            OpenAccount("a", "", Floor.NONE),
            PutRecord("", "r", 0, b""),
            PutRecord("k", "", 0, b""),
            PutRecord("k", "r", -1, b""),
            PutRecord("k", "r", 0, bytes(BODY_BYTES_MAX + 1)),
        ],
    )
    def test_malformed_texts_and_bodies_are_refused(self, ledger: Ledger, bad: Operation) -> None:
        assert ledger.post(bad) == refused(Reason.MALFORMED)

    @pytest.mark.parametrize("wrong", [None, 1, 1.5, b"x", ["x"], {}])
    def test_objects_of_a_wrong_type_are_refused_and_never_raise(
        self, ledger: Ledger, wrong: Any
    ) -> None:
        several: tuple[Any, ...] = (
            Transfer(wrong, ANN, BOB, 1, "aiUSD", "c"),
            Transfer("t", wrong, BOB, 1, "aiUSD", "c"),
            Transfer("t", ANN, BOB, 1, wrong, "c"),
            Transfer("t", ANN, BOB, 1, "aiUSD", wrong),
            Transfer("t", ANN, BOB, 1, "aiUSD", "c", wrong),
            VoidHold(wrong, "h"),
            PostHold("p", wrong),
            OpenAccount("new", "aiUSD", wrong),
            PutRecord("k", "r", 0, "x" if wrong == b"x" else wrong),
            wrong,
        )
        for bad in several:
            assert ledger.post(bad) == refused(Reason.MALFORMED)
        assert ledger.post(PutRecord("k", "r", True, b"")) == refused(Reason.MALFORMED)

    @pytest.mark.parametrize("units", [True, 1.0, "1", float("nan"), 2**63, -(2**70)])
    def test_units_that_are_no_count_are_refused(self, ledger: Ledger, units: Any) -> None:
        bad = refused(Reason.UNITS_OUT_OF_RANGE)
        assert ledger.post(move("t", ANN, BOB, units)) == bad
        assert ledger.post(hold("h", units)) == bad
        assert ledger.post(PostHold("p", "h", units)) == bad

    def test_a_command_has_from_one_to_many_operations(self, ledger: Ledger) -> None:
        assert ledger.post() == refused(Reason.EMPTY_COMMAND)
        many = [move(f"t{number}", NET, ANN, 1) for number in range(OPERATIONS_MAX + 1)]
        assert ledger.post(*many) == refused(Reason.TOO_MANY_OPERATIONS, OPERATIONS_MAX)
        assert ledger.post(*many[:-1]) == APPLIED


class TestLinked:
    def test_all_apply_or_none(self, ledger: Ledger) -> None:
        outcome = ledger.post(
            PutRecord("k", "r", 0, b"1"),
            OpenAccount("new", "aiUSD", Floor.NONE),
            hold("h", 10),
            move("a", ANN, BOB, 10),
            VoidHold("v", "h"),
            move("b", ANN, EURO, 10),
        )
        assert outcome == refused(Reason.CURRENCY_MISMATCH, 5)
        assert ledger.sums(ANN) == (0, 100, 0, 0)
        assert ledger.sums(BOB) == (0, 0, 0, 0)
        assert ledger.state.version("k", "r") == 0
        assert ledger.post(VoidHold("v", "h")) == refused(Reason.HOLD_NOT_FOUND)
        assert ledger.post(move("a", ANN, BOB, 10)) == APPLIED
        assert ledger.post(PutRecord("k", "r", 0, b"2")) == APPLIED

    def test_a_refused_command_is_undone_before_the_next_of_its_batch(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 50), PutRecord("k", "r", 0, b"")) == APPLIED
        outcomes = ledger.batch(
            (PostHold("p", "h"), PutRecord("k", "r", 1, b""), move("a", BOB, ANN, 51)),
            (PutRecord("k", "r", 1, b"x"),),
            (VoidHold("v", "h"),),
            (move("b", ANN, BOB, 100),),
        )
        assert outcomes == [refused(Reason.BELOW_FLOOR, 2), APPLIED, APPLIED, APPLIED]

    @pytest.mark.parametrize("end", [(), (PostHold("p", "h", 3),), (VoidHold("v", "h"),)])
    def test_holds_of_a_refused_command_leave_nothing(
        self, ledger: Ledger, end: tuple[Operation, ...]
    ) -> None:
        assert ledger.post(hold("h", 10), *end, move("a", ANN, BOB, 101)).status is Status.REFUSED
        assert ledger.sums(ANN) == (0, 100, 0, 0)
        assert ledger.sums(BOB) == (0, 0, 0, 0)
        assert ledger.post(hold("h", 100)) == APPLIED

    def test_later_operations_see_earlier_ones(self, ledger: Ledger) -> None:
        assert ledger.post(move("a", ANN, BOB, 60), move("b", BOB, ANN, 60)) == APPLIED

    def test_floors_are_checked_after_the_whole_command(self, ledger: Ledger) -> None:
        assert ledger.post(move("a", BOB, ANN, 60), move("b", ANN, BOB, 60)) == APPLIED
        assert ledger.post(move("c", BOB, ANN, 60), move("d", ANN, BOB, 59)) == refused(
            Reason.BELOW_FLOOR
        )

    def test_an_id_stands_once_in_a_command(self, ledger: Ledger) -> None:
        twice = (move("a", ANN, BOB, 1), move("a", ANN, BOB, 1))
        assert ledger.post(*twice) == refused(Reason.ID_REUSED, 1)
        assert ledger.post(twice[0]) == APPLIED
        assert ledger.post(*twice) == refused(Reason.ID_REUSED, 1)

    def test_the_whole_command_again_is_a_repetition(self, ledger: Ledger) -> None:
        command = (
            OpenAccount("new", "aiUSD", Floor.NONE),
            move("a", ANN, "new", 1),
            PutRecord("k", "r", 0, b"1"),
        )
        assert ledger.batch(command, command) == [APPLIED, REPEATED]
        assert ledger.post(*command) == REPEATED
        assert ledger.post(PutRecord("k", "r", 1, b"2")) == APPLIED
        assert ledger.post(*command) == REPEATED

    def test_known_ids_linked_to_something_else_are_refused(self, ledger: Ledger) -> None:
        assert ledger.post(move("a", ANN, BOB, 1), PutRecord("k", "r", 0, b"1")) == APPLIED
        changed = [
            (move("a", ANN, BOB, 1), move("b", ANN, BOB, 1)),
            (move("a", ANN, BOB, 1), PutRecord("k", "r", 0, b"2")),
            (move("a", ANN, BOB, 1), PutRecord("k", "s", 0, b"1")),
            (move("a", ANN, BOB, 1), OpenAccount("new", "aiUSD", Floor.NONE)),
        ]
        for command in changed:
            assert ledger.post(*command) == refused(Reason.LINK_CHANGED, 1)
        other = (move("a", ANN, BOB, 1), OpenAccount(BOB, "aiUSD", Floor.NONE))
        assert ledger.post(*other) == refused(Reason.ACCOUNT_DIFFERS, 1)

    def test_the_smallest_reason_wins_whatever_the_order(self, ledger: Ledger) -> None:
        no_account, bad_units = move("a", "nobody", BOB, 1), move("b", ANN, BOB, 0)
        reused = move("fund", NET, ANN, 99)
        assert ledger.post(no_account, bad_units) == refused(Reason.UNITS_OUT_OF_RANGE, 1)
        assert ledger.post(no_account, reused) == refused(Reason.ID_REUSED, 1)
        assert ledger.post(reused, bad_units) == refused(Reason.UNITS_OUT_OF_RANGE, 1)


class TestHolds:
    def test_a_hold_lowers_what_is_available(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70)) == APPLIED
        assert ledger.sums(ANN) == (0, 100, 70, 0)
        assert ledger.sums(BOB) == (0, 0, 0, 70)
        assert ledger.post(move("t", ANN, BOB, 31)) == refused(Reason.BELOW_FLOOR)
        assert ledger.post(hold("g", 31)) == refused(Reason.BELOW_FLOOR)
        assert ledger.post(move("u", BOB, ANN, 1)) == refused(Reason.BELOW_FLOOR)

    @pytest.mark.parametrize(("units", "moved"), [(None, 70), (70, 70), (1, 1)])
    def test_posting_moves_and_releases_the_rest(
        self, ledger: Ledger, units: int | None, moved: int
    ) -> None:
        assert ledger.post(hold("h", 70)) == APPLIED
        assert ledger.post(PostHold("p", "h", units)) == APPLIED
        assert ledger.sums(ANN) == (moved, 100, 0, 0)
        assert ledger.sums(BOB) == (0, moved, 0, 0)
        assert ledger.post(PostHold("p", "h", units)) == REPEATED
        assert ledger.post(PostHold("p", "h", moved)) == REPEATED
        assert ledger.post(hold("h", 70)) == REPEATED

    def test_a_post_with_other_units_or_another_hold_is_not_a_repetition(
        self, ledger: Ledger
    ) -> None:
        assert ledger.post(hold("h", 70), hold("g", 1)) == APPLIED
        assert ledger.post(PostHold("p", "h", 5)) == APPLIED
        for other in (PostHold("p", "h"), PostHold("p", "g", 5), VoidHold("p", "h")):
            assert ledger.post(other) == refused(Reason.ID_REUSED)

    def test_it_resolves_once(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70), hold("g", 10)) == APPLIED
        assert ledger.batch(
            (PostHold("p", "h"),), (VoidHold("v", "h"),), (PostHold("q", "h"),)
        ) == [APPLIED, refused(Reason.HOLD_POSTED), refused(Reason.HOLD_POSTED)]
        assert ledger.post(VoidHold("w", "g")) == APPLIED
        assert ledger.post(VoidHold("w", "g")) == REPEATED
        assert ledger.post(PostHold("r", "g")) == refused(Reason.HOLD_VOIDED)
        assert ledger.sums(ANN) == (70, 100, 0, 0)

    def test_more_than_the_hold_is_refused(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70)) == APPLIED
        assert ledger.post(PostHold("p", "h", 71)) == refused(Reason.UNITS_ABOVE_HOLD)

    def test_only_holds_can_be_resolved(self, ledger: Ledger) -> None:
        assert ledger.post(VoidHold("v", "fund")) == refused(Reason.HOLD_NOT_FOUND)
        assert ledger.post(PostHold("p", "none")) == refused(Reason.HOLD_NOT_FOUND)

    def test_it_expires_by_the_time_of_the_batch(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70, expires_at_ms=2_000)) == APPLIED
        ledger.now_ms = 1_999
        assert ledger.post(move("t", ANN, BOB, 31)) == refused(Reason.BELOW_FLOOR)
        ledger.now_ms = 2_000
        assert ledger.post(move("t", ANN, BOB, 31)) == APPLIED
        assert ledger.sums(ANN) == (31, 100, 0, 0)
        assert ledger.post(PostHold("p", "h")) == refused(Reason.HOLD_EXPIRED)
        assert ledger.post(VoidHold("v", "h")) == refused(Reason.HOLD_EXPIRED)
        assert ledger.post(hold("h", 70, expires_at_ms=2_000)) == REPEATED

    def test_it_expires_in_a_batch_of_nothing(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70, expires_at_ms=2_000)) == APPLIED
        ledger.now_ms = 2_000
        batch = ledger.book.fold((), 2_000)
        assert [row[2] for row in batch.transfers] == ["expire:h"]

    def test_it_cannot_be_made_expired(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 1, expires_at_ms=1_000)) == refused(Reason.EXPIRY_PASSED)
        assert ledger.post(hold("h", 1, expires_at_ms=1_001)) == APPLIED

    def test_a_due_hold_beyond_the_batch_limit_cannot_be_posted(self, ledger: Ledger) -> None:
        assert ledger.post(move("more", NET, ANN, 10_000)) == APPLIED
        count = EXPIRIES_MAX + 1
        ledger.batch(*((hold(f"h{number}", 1, 2_000),) for number in range(count)))
        ledger.now_ms = 2_000
        last = f"h{count - 1}"
        assert ledger.post(PostHold("p", last)) == refused(Reason.HOLD_EXPIRED)
        assert ledger.sums(ANN)[2] == 1
        assert ledger.post(PostHold("p", last)) == refused(Reason.HOLD_EXPIRED)
        assert ledger.sums(ANN)[2] == 0

    def test_it_can_be_made_and_resolved_in_one_command(self, ledger: Ledger) -> None:
        assert ledger.post(hold("h", 70)) == APPLIED
        assert ledger.post(VoidHold("v", "h"), hold("g", 100), PostHold("p", "g", 1)) == APPLIED
        assert ledger.sums(ANN) == (1, 100, 0, 0)


class TestRecords:
    def test_the_version_must_be_the_expected_one(self, ledger: Ledger) -> None:
        assert ledger.post(PutRecord("k", "r", 1, b"")) == refused(Reason.RECORD_CHANGED)
        assert ledger.post(PutRecord("k", "r", 0, b"1")) == APPLIED
        assert ledger.post(PutRecord("k", "r", 0, b"2")) == refused(Reason.RECORD_CHANGED)
        assert ledger.post(PutRecord("k", "r", 1, b"2")) == APPLIED
        assert ledger.state.version("k", "r") == 2

    def test_a_claim_is_won_once(self, ledger: Ledger) -> None:
        claim = (PutRecord("nonce", "1", 0, b""),)
        lost = refused(Reason.RECORD_CHANGED)
        assert ledger.batch(claim, claim) == [APPLIED, lost]
        assert ledger.post(*claim) == lost

    def test_two_versions_in_one_command(self, ledger: Ledger) -> None:
        assert ledger.post(PutRecord("k", "r", 0, b"1"), PutRecord("k", "r", 1, b"2")) == APPLIED
        assert ledger.state.version("k", "r") == 2

    def test_a_stale_record_refuses_the_transfer_beside_it(self, ledger: Ledger) -> None:
        assert ledger.post(PutRecord("k", "r", 0, b"1")) == APPLIED
        outcome = ledger.post(move("t", ANN, BOB, 1), PutRecord("k", "r", 0, b"2"))
        assert outcome == refused(Reason.RECORD_CHANGED, 1)
        assert ledger.sums(BOB) == (0, 0, 0, 0)


def test_few_accounts_in_memory_give_the_same_answers() -> None:
    ledger = Ledger()
    ledger.book = Book(ledger.state, last_seq=ledger.book.last_seq, accounts_max=1)
    for number in range(5):
        assert ledger.post(move(f"a{number}", ANN, BOB, 10)) == APPLIED
        assert ledger.post(move(f"b{number}", BOB, NET, 10)) == APPLIED
    assert ledger.sums(ANN) == (50, 100, 0, 0)
    assert ledger.sums(NET) == (100, 50, 0, 0)


def test_rows_count_without_gaps_and_link_commands(ledger: Ledger) -> None:
    opened = OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE)
    batch = ledger.book.fold(
        [
            (move("a", ANN, BOB, 1), PutRecord("k", "r", 0, b""), opened),
            (move("b", ANN, BOB, 1000),),
            (move("c", ANN, BOB, 1), OpenAccount("new", "aiUSD", Floor.NONE)),
            (move("d", ANN, BOB, 1), move("e", ANN, BOB, 1), opened),
        ],
        1_000,
    )
    assert [row[:2] for row in batch.rows()] == [(6, 1), (7, 0), (8, 1), (9, 0), (10, 1), (11, 0)]


def test_reasons_are_ordered_and_each_has_its_error() -> None:
    assert list(Reason) == sorted(Reason)
    errors = {reason: refusal_error(refused(reason)) for reason in Reason}
    assert all(error is not None and error.facts["reason"] for error in errors.values())


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.BELOW_FLOOR, InsufficientFunds),
        (Reason.ID_REUSED, IdempotencyMismatch),
        (Reason.LINK_CHANGED, IdempotencyMismatch),
        (Reason.RECORD_CHANGED, StateConflict),
        (Reason.HOLD_EXPIRED, StateConflict),
        (Reason.HOLD_NOT_FOUND, NotFound),
        (Reason.UNITS_OUT_OF_RANGE, InvalidAmount),
        (Reason.MALFORMED, InvalidRequest),
        (Reason.SUM_OVERFLOW, Unprocessable),
    ],
)
def test_require_applied_raises_what_the_reason_means(
    reason: Reason, error: type[AisaError]
) -> None:
    with pytest.raises(error) as raised:
        require_applied(refused(reason, 3))
    assert raised.value.facts == {"reason": reason.name, "operation": 3}


def test_require_applied_lets_a_standing_command_pass() -> None:
    require_applied(APPLIED)
    require_applied(REPEATED)
