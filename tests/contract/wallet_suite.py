"""What every wallet must do, whatever keeps it; a store's test gives `open_wallet`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from aisa.channel.payer import ChannelState, DepositShort, Lease, LeaseAsk, Limits, PayerChannel
from aisa.channel.wallet import (
    LANES_PER_SESSION,
    REPEATABLE_MS,
    CallState,
    ChannelPlan,
    SessionPlan,
    TopUp,
    Wallet,
    WalletCall,
    WalletEvent,
    WalletReceipt,
    WalletSession,
)
from aisa.errors import (
    BudgetExceeded,
    IdempotencyMismatch,
    NotFound,
    ReceiptInvalid,
    StateConflict,
)
from aisa.identity import SigningKey
from aisa.protocol.aip import ChannelTerms, DepositStatement, LaneClosed, ReceiptLeaf
from tests.contract.wallet_transfers import TransferSuite

PAYEE = SigningKey(bytes([1]) * 32)
NOW = 1_800_000_000_000
NO_LIMITS = Limits()
Open = Callable[[], Wallet]


def terms(salt: int = 0, payee: bytes = PAYEE.public_key) -> ChannelTerms:
    return ChannelTerms("aisa:x", bytes(32), bytes([2]) * 32, payee, "aiUSD", bytes([salt]) * 16)


def plan(salt: int = 0, deposit: int = 1000, payee: bytes = PAYEE.public_key) -> ChannelPlan:
    return ChannelPlan(terms(salt, payee), "http://node", bytes(32), "http://s/aisa", deposit)


def statement(channel: bytes, deposit: int, issued: int = 1) -> DepositStatement:
    return DepositStatement(channel, deposit, 10, issued, bytes(64))


def opened(wallet: Wallet, salt: int = 0, deposit: int = 1000) -> PayerChannel:
    planned = wallet.plan_channel(plan(salt, deposit), now_ms=NOW)
    return wallet.open_channel(planned.channel, statement(planned.channel, deposit))


def session(wallet: Wallet, channel: PayerChannel, seed: int = 1) -> WalletSession:
    keys = bytes([seed]) * 32
    return wallet.make_session(SessionPlan(channel.channel, keys, keys, bytes(32), 2_000_000_000))


def lease(
    wallet: Wallet, made: WalletSession, amount: int, limits: Limits = NO_LIMITS
) -> Lease | DepositShort:
    ask = LeaseAsk(amount, amount)
    return wallet.lease(made.session.channel, made.lane, ask, limits, now_ms=NOW)


def receipt(channel: bytes, lane: int, seq: int, units: int) -> WalletReceipt:
    leaf = ReceiptLeaf(channel, lane, seq, units, bytes(32), 200, bytes(32))
    return WalletReceipt(leaf, bytes(16), "GET", "http://s/x", NOW)


def notice(channel: bytes, lane: int, charged: int) -> LaneClosed:
    plain = LaneClosed(channel, lane, charged)
    return replace(plain, signature=PAYEE.sign(plain.signing_bytes()))


def call(made: WalletSession, call_id: str = "a", **changes: object) -> WalletCall:
    plain = WalletCall(
        call_id, "GET", "http://s/x", bytes(32), made.session.hash, made.session.channel,
        made.lane, 1, 10, NOW,
    )  # fmt: skip
    return replace(plain, **changes)


class WalletSuite(TransferSuite):
    """`open_wallet` opens the same wallet again and again, each time as another process would."""

    @pytest.fixture
    def wallet(self, open_wallet: Open) -> Wallet:
        return open_wallet()

    def test_the_first_payee_of_an_origin_stays(self, wallet: Wallet) -> None:
        assert wallet.pin_payee("http://s", b"one") == b"one"
        assert wallet.pin_payee("http://s", b"two") == b"one"
        wallet.repin_payee("http://s", b"two")
        assert wallet.pin_payee("http://s", b"one") == b"two"

    def test_a_payee_has_one_channel_until_it_is_closing(self, wallet: Wallet) -> None:
        first = wallet.plan_channel(plan(1), now_ms=NOW)
        assert wallet.plan_channel(plan(2), now_ms=NOW) == first
        assert first.state is ChannelState.OPENING
        other = wallet.plan_channel(plan(3, payee=bytes([7]) * 32), now_ms=NOW)
        assert other.channel != first.channel
        wallet.open_channel(first.channel, statement(first.channel, 1000))
        assert wallet.plan_channel(plan(4), now_ms=NOW).state is ChannelState.OPEN
        wallet.set_state(first.channel, ChannelState.CLOSING)
        assert wallet.find_channel(PAYEE.public_key, "aiUSD", "aisa:x") is None
        second = wallet.plan_channel(plan(5), now_ms=NOW)
        assert second.channel == terms(5).channel_id
        wallet.drop_channel(second.channel)
        with pytest.raises(NotFound):
            wallet.channel(second.channel)

    def test_a_closed_channel_never_comes_back(self, wallet: Wallet) -> None:
        channel = opened(wallet).channel
        wallet.set_state(channel, ChannelState.CLOSED)
        wallet.set_state(channel, ChannelState.CLOSING)
        wallet.open_channel(channel, statement(channel, 5000))
        assert wallet.channel(channel).state is ChannelState.CLOSED
        assert wallet.channels(ChannelState.OPEN) == []
        assert len(wallet.channels()) == 1

    def test_a_lower_or_older_statement_is_not_kept(self, wallet: Wallet) -> None:
        channel = opened(wallet).channel
        wallet.open_channel(channel, statement(channel, 2000, 5))
        wallet.open_channel(channel, statement(channel, 1500, 9))
        wallet.open_channel(channel, statement(channel, 2000, 4))
        assert wallet.channel(channel).statement == statement(channel, 2000, 5)

    def test_a_top_up_is_one_until_it_is_answered(self, wallet: Wallet) -> None:
        channel = opened(wallet).channel
        first = TopUp(channel, "one", 10)
        assert wallet.begin_top_up(first) == first
        assert wallet.begin_top_up(TopUp(channel, "two", 20)) == first
        assert wallet.finish_top_up(first, statement(channel, 1010)).deposit == 1010
        assert wallet.pending_top_up(channel) is None
        second = wallet.begin_top_up(TopUp(channel, "two", 20))
        assert wallet.finish_top_up(second, None).deposit == 1010

    def test_a_top_up_of_a_closed_channel_is_over(self, wallet: Wallet) -> None:
        channel = opened(wallet).channel
        wallet.begin_top_up(TopUp(channel, "one", 10))
        wallet.set_state(channel, ChannelState.CLOSING)
        assert wallet.pending_top_up(channel) is not None
        wallet.set_state(channel, ChannelState.CLOSED)
        assert wallet.pending_top_up(channel) is None

    def test_processes_get_lanes_of_their_own(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one)
        first, second = session(one, channel), session(two, channel, 2)
        third = session(one, channel, 3)
        ranges = [set(made.session.lanes) for made in (first, second, third)]
        assert not ranges[0] & ranges[1] | ranges[0] & ranges[2] | ranges[1] & ranges[2]
        assert isinstance(lease(one, first, 10), Lease)
        with pytest.raises(StateConflict):
            lease(one, second, 10)

    def test_leases_add_up_over_processes(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one, deposit=100)
        first, second = session(one, channel), session(two, channel, 2)
        assert lease(one, first, 40) == Lease(40, 40, 100, 60, 40)
        assert lease(two, second, 50) == Lease(50, 90, 100, 10, 50)
        assert lease(one, first, 20) == DepositShort(10)
        seen = two.channel(channel.channel)
        assert (seen.sent, seen.signed) == (90, 90)

    def test_a_budget_holds_over_processes(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one)
        first, second = session(one, channel), session(two, channel, 2)
        limits = Limits(per_day=100)
        lease(one, first, 60, limits)
        with pytest.raises(BudgetExceeded):
            lease(two, second, 50, limits)
        assert isinstance(lease(two, second, 40, limits), Lease)
        assert one.spent("aiUSD", now_ms=NOW, payee=PAYEE.public_key).seller == 100
        assert one.spent("EUR", now_ms=NOW).day == 0
        assert one.spent("aiUSD", now_ms=NOW + 86_400_000).day == 0

    def test_nothing_is_leased_on_a_channel_that_is_not_open(self, wallet: Wallet) -> None:
        channel = opened(wallet)
        made = session(wallet, channel)
        wallet.set_state(channel.channel, ChannelState.CLOSING)
        with pytest.raises(StateConflict):
            lease(wallet, made, 1)

    def test_a_parked_session_is_taken_over_with_its_seq(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one)
        made = session(one, channel)
        lease(one, made, 50)
        one.park(made.session.hash, lane=made.lane, taken=20, next_seq=3)
        assert two.channel(channel.channel).sent == 20
        assert two.adopt_session(channel.channel, expiry_min=2_000_000_001) is None
        taken = two.adopt_session(channel.channel, expiry_min=2_000_000_000)
        assert taken == replace(made, next_seq=3, taken=20)
        assert one.adopt_session(channel.channel, expiry_min=0) is None
        lease(two, taken, 30)
        assert two.channel(channel.channel).signed == 50

    def test_more_cannot_come_back_than_was_leased(self, wallet: Wallet) -> None:
        made = session(wallet, opened(wallet))
        lease(wallet, made, 50)
        for taken in (51, -1):
            with pytest.raises(StateConflict):
                wallet.park(made.session.hash, lane=made.lane, taken=taken, next_seq=1)
        wallet.retire(made.session.hash, lane=made.lane, taken=50)
        with pytest.raises(StateConflict):
            wallet.retire(made.session.hash, lane=made.lane, taken=0)

    def test_a_session_has_so_many_lanes(self, wallet: Wallet) -> None:
        channel = opened(wallet)
        made = session(wallet, channel)
        lane: int | None = made.lane
        lease(wallet, made, 50)
        for number in range(1, LANES_PER_SESSION):
            lane = wallet.next_lane(made.session.hash, lane=number - 1, taken=0)
            assert lane == number
        assert wallet.next_lane(made.session.hash, lane=number, taken=0) is None
        assert wallet.channel(channel.channel).sent == 0
        assert wallet.session(made.session.hash).lane == number
        assert wallet.session(bytes(32)) is None

    def test_lanes_of_the_dead_come_back_by_the_payees_word(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one)
        made = session(one, channel)
        lease(one, made, 50)
        assert two.dead_lanes(now_ms=NOW) == []
        one.close()
        (dead,) = two.dead_lanes(now_ms=NOW, channel=channel.channel)
        assert two.dead_lanes(now_ms=NOW, channel=bytes(32)) == []
        assert (dead.lane, dead.leased, dead.session) == (made.lane, 50, made.session.hash)
        (unknown,) = two.unknown_spends()
        assert (unknown.units, unknown.is_final) == (50, False)
        with pytest.raises(ReceiptInvalid):
            two.lane_returned(dead, notice(channel.channel, dead.lane, 51), now_ms=NOW)
        with pytest.raises(StateConflict):
            two.lane_returned(dead, notice(channel.channel, dead.lane + 1, 0), now_ms=NOW)
        word = notice(channel.channel, dead.lane, 20)
        assert two.lane_returned(dead, word, now_ms=NOW) == 30
        assert two.lane_returned(dead, word, now_ms=NOW) == 0
        assert two.channel(channel.channel).sent == 20
        assert two.dead_lanes(now_ms=NOW) == []
        (unknown,) = two.unknown_spends()
        assert (unknown.units, unknown.is_final) == (20, True)

    def test_a_receipt_that_is_kept_after_its_lane_came_back_explains_it(
        self, open_wallet: Open
    ) -> None:
        one, two = open_wallet(), open_wallet()
        channel = opened(one)
        made = session(one, channel)
        lease(one, made, 50)
        one.close()
        (dead,) = two.dead_lanes(now_ms=NOW)
        two.lane_returned(dead, notice(channel.channel, dead.lane, 20), now_ms=NOW)
        two.add_receipts([receipt(channel.channel, dead.lane, 1, 15)])
        (unknown,) = two.unknown_spends()
        assert (unknown.units, unknown.is_final) == (5, True)
        two.add_receipts([receipt(channel.channel, dead.lane, 2, 5)])
        assert two.unknown_spends() == []

    def test_a_lane_with_a_call_to_repeat_is_left_alone(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        made = session(one, opened(one))
        lease(one, made, 50)
        one.begin_call(call(made))
        one.close()
        assert two.dead_lanes(now_ms=NOW + REPEATABLE_MS - 1) == []
        assert len(two.dead_lanes(now_ms=NOW + REPEATABLE_MS)) == 1
        two.finish_call("a", CallState.SETTLED, charged=10)
        assert len(two.dead_lanes(now_ms=NOW)) == 1

    def test_a_call_id_is_one_request(self, wallet: Wallet) -> None:
        made = session(wallet, opened(wallet))
        first = call(made)
        assert wallet.begin_call(first) == first
        assert wallet.begin_call(call(made, seq=2)) == first
        with pytest.raises(IdempotencyMismatch):
            wallet.begin_call(call(made, digest=bytes([1]) * 32))
        wallet.renew_call(call(made, seq=3))
        assert wallet.find_call("a").seq == 3
        wallet.finish_call("a", CallState.UNKNOWN)
        (unknown,) = wallet.unknown_spends()
        assert (unknown.call_id, unknown.units) == ("a", 10)
        assert wallet.find_call("b") is None

    def test_a_long_batch_keeps_each_receipt_once(self, wallet: Wallet) -> None:
        channel = bytes([7]) * 32
        wallet.add_receipts([receipt(channel, 0, seq, 10) for seq in (*range(1, 41), 5, 39)])
        assert [one.leaf.seq for one in wallet.receipts()] == [*range(1, 41)]

    def test_receipts_and_events_are_read_in_order(self, wallet: Wallet) -> None:
        made = session(wallet, opened(wallet))
        receipts = [receipt(made.session.channel, 0, seq, 10) for seq in range(1, 6)]
        wallet.add_receipts(receipts[:3])
        wallet.add_receipts(receipts[2:4])
        ask = LeaseAsk(1, 1)
        wallet.lease(
            made.session.channel, made.lane, ask, Limits(), now_ms=NOW, receipts=receipts[4:]
        )
        kept = wallet.receipts(limit=10)
        assert [one.leaf.seq for one in kept] == [1, 2, 3, 4, 5]
        assert [one.leaf.seq for one in wallet.receipts(after=kept[2].number, limit=1)] == [4]
        for detail in ("one", "two"):
            wallet.add_event(WalletEvent(NOW, "kind", b"", detail))
        events = wallet.events()
        assert [event.detail for event in events] == ["one", "two"]
        assert wallet.events(after=events[0].number) == events[1:]

    def test_what_was_written_is_there_for_the_next_process(self, open_wallet: Open) -> None:
        one = open_wallet()
        channel = opened(one)
        one.pin_payee("http://s", b"one")
        one.close()
        two = open_wallet()
        assert two.channels() == [channel]
        assert two.pin_payee("http://s", b"two") == b"one"
        with pytest.raises(StateConflict):
            one.channels()
