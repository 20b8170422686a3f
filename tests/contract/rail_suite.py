"""One suite for every rail: subclass `RailSuite` and give it a `world` fixture."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aisa import faults
from aisa.errors import (
    IdempotencyMismatch,
    InvalidAmount,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    RailUnavailable,
)
from aisa.money import Token
from aisa.settlement import (
    Deposit,
    DepositRequest,
    Failed,
    FailureReason,
    Outcome,
    Outgoing,
    Rail,
    Settled,
    Unknown,
)

ALICE = "account:aa:aiUSD"
BOB = "account:bb:aiUSD"
HELD = 1_000_000


class Crash(BaseException):
    """Stands for SIGKILL at a failpoint."""


class RailWorld(abc.ABC):
    """What the suite must be able to do to a network, and to the node on it.

    `rail` waits long enough for any honest outcome; `impatient` gives up after a moment.
    """

    name: str
    rail: Rail
    impatient: Rail
    token: Token

    @abc.abstractmethod
    async def restart(self) -> None:
        """Make `rail` and `impatient` anew over the same journal, addresses and network."""

    @abc.abstractmethod
    async def hold(self, units: int) -> None:
        """Give the rail's treasury tokens."""

    @abc.abstractmethod
    def stranger(self) -> str:
        """An address of nobody in particular, which holds nothing."""

    @abc.abstractmethod
    async def units(self, address: str) -> int:
        """What an address holds."""

    @abc.abstractmethod
    async def pay_in(self, request: DepositRequest, units: int) -> str:
        """Pay from outside; returns the reference, not final yet if finality is frozen."""

    @abc.abstractmethod
    def freeze_finality(self) -> None:
        """Let nothing become final."""

    @abc.abstractmethod
    async def finalize(self) -> None:
        """Make final what has landed, and let finality go on by itself."""

    @abc.abstractmethod
    async def expire(self) -> None:
        """Let pass the time in which what was signed can land."""

    @abc.abstractmethod
    async def disturb(self, fault: str) -> None:
        """Disturb the next send: refuse, drop, lose_answer or delay."""

    @abc.abstractmethod
    async def land_delayed(self) -> None:
        """Land what `delay` held back."""

    @abc.abstractmethod
    async def cut(self) -> None:
        """Let `rail` reach no network."""

    @abc.abstractmethod
    async def bad_destinations(self) -> list[str]:
        """Destinations that cannot receive the token."""


class RailSuite:
    """The port's promises."""

    async def test_a_send_settles_and_moves_exactly(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        settled = await world.rail.send(Outgoing("out-1", world.token, 123_456, to))
        assert isinstance(settled, Settled)
        assert await world.units(to) == 123_456
        assert (await world.rail.holdings())[world.token] == HELD - 123_456
        assert await world.rail.look_up("out-1") == settled

    async def test_an_id_is_sent_once(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        first = await asyncio.gather(*(world.rail.send(outgoing) for _ in range(4)))
        await world.restart()
        again = await world.rail.send(outgoing)
        assert {again, *first} == {again}
        assert isinstance(again, Settled)
        assert await world.units(to) == 1_000

    async def test_an_id_is_for_one_payment(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to, other = world.stranger(), world.stranger()
        await world.rail.send(Outgoing("out-1", world.token, 1_000, to))
        for outgoing in (
            Outgoing("out-1", world.token, 1_001, to),
            Outgoing("out-1", world.token, 1_000, other),
        ):
            with pytest.raises(IdempotencyMismatch):
                await world.rail.send(outgoing)
        assert (await world.units(to), await world.units(other)) == (1_000, 0)

    async def test_a_refusal_by_the_network_is_a_proved_failure(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("refuse")
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        failed = await world.rail.send(outgoing)
        assert isinstance(failed, Failed)
        assert failed.reason is FailureReason.REFUSED
        assert await world.rail.look_up("out-1") == failed
        assert await world.rail.send(outgoing) == failed, "the same id stays failed"
        assert await world.units(to) == 0
        assert (await world.rail.holdings())[world.token] == HELD
        retried = await world.rail.send(Outgoing("out-2", world.token, 1_000, to))
        assert isinstance(retried, Settled)

    async def test_a_lost_answer_is_found_out_by_looking(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("lose_answer")
        settled = await world.rail.send(Outgoing("out-1", world.token, 1_000, to))
        assert isinstance(settled, Settled)
        assert await world.units(to) == 1_000

    async def test_doubt_stays_unknown_until_it_is_looked_up(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("delay")
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        assert isinstance(await world.impatient.send(outgoing), Unknown)
        assert isinstance(await world.impatient.look_up("out-1"), Unknown)
        await world.land_delayed()
        assert isinstance(await settle(lambda: world.rail.look_up("out-1")), Settled)
        assert await world.units(to) == 1_000

    async def test_a_dropped_send_is_repeated_by_its_id_alone(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("drop")
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        assert isinstance(await world.impatient.send(outgoing), Unknown)
        await world.restart()
        assert isinstance(await world.rail.send(outgoing), Settled)
        assert await world.units(to) == 1_000

    async def test_what_cannot_land_any_more_has_failed(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("drop")
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        assert isinstance(await world.impatient.send(outgoing), Unknown)
        await world.expire()
        failed = await world.rail.look_up("out-1")
        assert isinstance(failed, Failed)
        assert failed.reason is FailureReason.EXPIRED
        assert await world.rail.send(outgoing) == failed, "an expired id is never signed again"
        assert await world.units(to) == 0
        assert isinstance(await world.rail.send(Outgoing("out-2", world.token, 1_000, to)), Settled)

    async def test_an_id_that_was_never_sent_has_failed(self, world: RailWorld) -> None:
        assert await world.rail.look_up("out-0") == Failed(
            FailureReason.NEVER_SENT, "no send of this id was ever written down"
        )

    @pytest.mark.parametrize("point", ["journal.before", "journal.after", "send.before"])
    async def test_a_crash_around_the_journal_loses_and_doubles_nothing(
        self, world: RailWorld, point: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.hold(HELD)
        to = world.stranger()
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        await crash_at(f"{world.name}.{point}", lambda: world.rail.send(outgoing), monkeypatch)
        await world.restart()
        assert await world.units(to) == 0
        looked_up = await world.rail.look_up("out-1")
        if point == "journal.before":
            assert isinstance(looked_up, Failed)
            assert looked_up.reason is FailureReason.NEVER_SENT
        else:
            assert isinstance(looked_up, Unknown)
        assert isinstance(await world.rail.send(outgoing), Settled)
        assert await world.units(to) == 1_000

    async def test_a_crash_after_the_send_is_settled_by_looking(
        self, world: RailWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.hold(HELD)
        to = world.stranger()
        outgoing = Outgoing("out-1", world.token, 1_000, to)
        await crash_at(f"{world.name}.send.after", lambda: world.rail.send(outgoing), monkeypatch)
        await world.restart()
        assert isinstance(await settle(lambda: world.rail.look_up("out-1")), Settled)
        assert await world.units(to) == 1_000

    async def test_cancelling_a_send_does_not_forget_it(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        await world.disturb("delay")
        task = asyncio.create_task(world.rail.send(Outgoing("out-1", world.token, 1_000, to)))
        done: set[asyncio.Task[Outcome]] = set()
        for _ in range(100):  # until it was sent: one that never was is forgotten, and may be
            done, _ = await asyncio.wait({task}, timeout=0.1)
            if isinstance(await world.rail.look_up("out-1"), Unknown):
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not done
        await world.land_delayed()
        assert isinstance(await settle(lambda: world.rail.look_up("out-1")), Settled)
        assert await world.units(to) == 1_000

    async def test_two_sends_at_once_both_settle(self, world: RailWorld) -> None:
        await world.hold(HELD)
        first, second = world.stranger(), world.stranger()
        outcomes = await asyncio.gather(
            world.rail.send(Outgoing("out-1", world.token, HELD // 2, first)),
            world.rail.send(Outgoing("out-2", world.token, HELD // 2, second)),
        )
        assert all(isinstance(one, Settled) for one in outcomes)
        assert (await world.units(first), await world.units(second)) == (HELD // 2, HELD // 2)
        assert (await world.rail.holdings())[world.token] == 0

    async def test_more_than_is_held_is_not_sent(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        with pytest.raises(RailUnavailable):
            await world.rail.send(Outgoing("out-1", world.token, HELD + 1, to))
        assert isinstance(await world.rail.look_up("out-1"), Failed)
        assert await world.units(to) == 0

    @pytest.mark.parametrize("units", [0, -1, 2**63])
    async def test_an_amount_that_is_none_is_refused(self, world: RailWorld, units: int) -> None:
        with pytest.raises(InvalidAmount):
            await world.rail.send(Outgoing("out-1", world.token, units, world.stranger()))
        with pytest.raises(InvalidAmount):
            await world.rail.quote(world.token, units, world.stranger())

    async def test_a_bad_destination_is_refused_and_nothing_is_sent(self, world: RailWorld) -> None:
        await world.hold(HELD)
        own = await world.rail.request(world.token, ALICE)
        for number, bad in enumerate([*await world.bad_destinations(), own.address]):
            with pytest.raises(InvalidRequest):
                await world.rail.quote(world.token, 1_000, bad)
            with pytest.raises(InvalidRequest):
                await world.rail.send(Outgoing(f"out-{number}", world.token, 1_000, bad))
            assert isinstance(await world.rail.look_up(f"out-{number}"), Failed)
        assert (await world.rail.holdings())[world.token] == HELD

    async def test_a_token_of_another_network_is_refused(self, world: RailWorld) -> None:
        foreign = Token("aiUSD", "nobody", "aisa:else", "aisa:else/token:x", 6, "aiUSD")
        with pytest.raises(InvalidRequest):
            await world.rail.send(Outgoing("out-1", foreign, 1, world.stranger()))
        with pytest.raises(InvalidRequest):
            await world.rail.request(foreign, ALICE)

    async def test_a_quote_covers_the_fee_that_is_taken(self, world: RailWorld) -> None:
        await world.hold(HELD)
        to = world.stranger()
        quote = await world.rail.quote(world.token, 1_000, to)
        assert (quote.units, quote.destination, quote.token) == (1_000, to, world.token)
        assert quote.units_min <= 1_000 <= quote.units_max
        settled = await world.rail.send(Outgoing("out-1", world.token, 1_000, to))
        assert isinstance(settled, Settled)
        fee = await world.rail.fees(settled.reference)
        assert fee.asset == quote.fee_asset
        assert 0 <= fee.units <= quote.fee_units

    async def test_fees_of_an_unknown_reference_are_not_found(self, world: RailWorld) -> None:
        with pytest.raises(NotFound):
            await world.rail.fees("1" * 64)

    async def test_a_deposit_is_told_once_final_with_its_account(self, world: RailWorld) -> None:
        request = await world.rail.request(world.token, ALICE, 5_000)
        assert (request.account, request.token, request.units) == (ALICE, world.token, 5_000)
        world.freeze_finality()
        reference = await world.pay_in(request, 5_000)
        early = await world.rail.incoming(b"")
        assert early.deposits == ()
        await world.finalize()
        deposits = (await world.rail.incoming(early.cursor)).deposits
        assert len(deposits) == 1
        deposit = deposits[0]
        assert (deposit.account, deposit.units, deposit.token) == (ALICE, 5_000, world.token)
        assert (deposit.network, deposit.reference) == (world.rail.network, reference)
        assert (await world.rail.holdings())[world.token] == 5_000

    async def test_an_address_is_the_same_every_time(self, world: RailWorld) -> None:
        first = await world.rail.request(world.token, ALICE)
        other = await world.rail.request(world.token, BOB)
        await world.restart()
        assert (await world.rail.request(world.token, ALICE)).address == first.address
        assert other.address != first.address

    async def test_deposits_are_resumable_without_loss_or_repeat(self, world: RailWorld) -> None:
        alice = await world.rail.request(world.token, ALICE)
        bob = await world.rail.request(world.token, BOB)
        paid: list[tuple[str, int]] = []
        told: list[Deposit] = []
        cursors = [b""]
        for round_number in range(3):
            for request, units in ((alice, 10 + round_number), (bob, 100 + round_number)):
                await world.pay_in(request, units)
                paid.append((request.account, units))
            await world.finalize()
            if round_number == 1:
                await world.restart()
            found = await world.rail.incoming(cursors[-1])
            told += found.deposits
            cursors.append(found.cursor)
        assert [(one.account, one.units) for one in told] == paid
        assert len({one.id for one in told}) == len(paid)
        assert (await world.rail.incoming(cursors[-1])).deposits == ()
        for at, cursor in enumerate(cursors):
            again = (await world.rail.incoming(cursor)).deposits
            assert list(again) == told[2 * at :], "the same ids from any earlier cursor"

    async def test_equal_deposits_are_different_deposits(self, world: RailWorld) -> None:
        request = await world.rail.request(world.token, ALICE)
        for _ in range(3):
            await world.pay_in(request, 7)
        await world.finalize()
        deposits = (await world.rail.incoming(b"")).deposits
        assert [one.units for one in deposits] == [7, 7, 7]
        assert len({one.id for one in deposits}) == 3

    async def test_a_foreign_cursor_is_refused(self, world: RailWorld) -> None:
        with pytest.raises(MalformedMessage):
            await world.rail.incoming(b"\xffnothing")

    async def test_what_came_in_can_go_out_and_holdings_add_up(self, world: RailWorld) -> None:
        for number in range(3):
            request = await world.rail.request(world.token, f"account:{number}:aiUSD")
            await world.pay_in(request, 1_000)
        await world.finalize()
        to = world.stranger()
        assert (await world.rail.holdings())[world.token] == 3_000
        assert (await world.rail.liquidity())[0].units_sendable == 3_000
        settled = await world.rail.send(Outgoing("out-1", world.token, 2_500, to))
        assert isinstance(settled, Settled)
        assert await world.units(to) == 2_500
        assert (await world.rail.holdings())[world.token] == 500
        await world.finalize()
        told = (await world.rail.incoming(b"")).deposits
        assert sum(one.units for one in told) == 3_000, "our own sends are no deposits"

    async def test_without_the_network_nothing_is_sent_and_no_cursor_lost(
        self, world: RailWorld
    ) -> None:
        await world.hold(HELD)
        request = await world.rail.request(world.token, ALICE)
        cursor = (await world.rail.incoming(b"")).cursor
        await world.pay_in(request, 5)
        await world.finalize()
        await world.cut()
        with pytest.raises(RailUnavailable):
            await world.rail.send(Outgoing("out-1", world.token, 1, world.stranger()))
        with pytest.raises(RailUnavailable):
            await world.rail.incoming(cursor)
        with pytest.raises(RailUnavailable):
            await world.rail.holdings()
        assert isinstance(await world.rail.look_up("out-1"), Failed)
        await world.restart()
        assert [one.units for one in (await world.rail.incoming(cursor)).deposits] == [5]

    async def test_conditions_are_fresh(self, world: RailWorld) -> None:
        conditions = await world.rail.conditions()
        assert conditions.fee_units >= 0
        assert 0 <= conditions.congestion_ppm <= 1_000_000
        assert conditions.age_ms >= 0


async def settle(look_up: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Look up until the outcome is known; the suite's timeout bounds it."""
    while True:
        outcome = await look_up()
        if not isinstance(outcome, Unknown):
            return outcome
        await asyncio.sleep(0.01)


async def crash_at(
    point: str, send: Callable[[], Awaitable[Outcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a send until it passes a failpoint, and no further."""

    def hit(name: str) -> None:
        if name == point:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(faults, "hit", hit)
        with pytest.raises(Crash):
            await send()
