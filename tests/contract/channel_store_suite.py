"""What every ChannelStore must do; an adapter's test class inherits it and makes the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aisa.channel.store import (
    SESSION_KEPT_S,
    SESSIONS_MAX,
    ChannelRow,
    ChannelState,
    ChannelStore,
    Charge,
    LaneRow,
    SessionRow,
    StoreBatch,
)
from aisa.errors import StoreUnavailable

T0 = 1_800_000_000_000


def channel_row(number: int = 1, **more: Any) -> ChannelRow:
    return ChannelRow(
        **{
            "number": number,
            "id": number.to_bytes(32),
            "network": "aisa:hub",
            "holder": bytes([1]) * 32,
            "payer": bytes([2]) * 32,
            "currency": "aiUSD",
            "salt": bytes(16),
            "fee_ppm": 1000,
            "opened_ms": T0,
            "deposit": 1_000_000,
            "ceiling": 500_000,
            "voucher_signature": bytes(64),
            "charged": 0,
            "redeemed": 0,
            "redeeming": 0,
            "lane_floor": 0,
            "state": ChannelState.OPEN,
            "changed_ms": T0,
            **more,
        }
    )


def session_row(channel: int = 1, name: int = 1, **more: Any) -> SessionRow:
    values = {"lane_first": 0, "lane_count": 16, "expiry": 2_000_000_000, **more}
    return SessionRow(channel, bytes([name]) * 32, bytes([3]) * 32, bytes([4]) * 32, 7, **values)


def charge(seq: int, cumulative: int, *, channel: int = 1, lane: int = 0, **more: Any) -> Charge:
    values = {
        "units": 100,
        "request": seq.to_bytes(32),
        "status": 200,
        "answer_digest": bytes(32),
        "answer": b"answer %d" % seq,
        **more,
    }
    return Charge(channel=channel, lane=lane, seq=seq, cumulative=cumulative, **values)


class ChannelStoreSuite:
    """Inherit, and provide `store` and `reopen`."""

    @pytest.fixture
    def store(self) -> ChannelStore:
        raise NotImplementedError

    def reopen(self) -> ChannelStore:
        raise NotImplementedError

    def open_one(self, store: ChannelStore, number: int = 1) -> None:
        store.commit(
            StoreBatch(
                number,
                T0,
                new_channels=(channel_row(number),),
                sessions=(session_row(number),),
            )
        )

    def charge_some(self, store: ChannelStore, batch: int = 1, seqs: range = range(1, 4)) -> None:
        charges = tuple(charge(seq, 100 * seq) for seq in seqs)
        total = charges[-1].cumulative
        store.commit(
            StoreBatch(
                batch,
                T0 + batch,
                channels=(channel_row(charged=total),),
                lanes=(LaneRow(1, 0, total, closed=False),),
                charges=charges,
            )
        )

    def test_a_new_store_is_empty(self, store: ChannelStore) -> None:
        summary = store.summary()
        assert (summary.batch_last, summary.channel_last) == (0, 0)
        assert summary.owing == summary.unredeemed == ()
        assert len(store.secret()) == 32
        assert store.channel(bytes(32)) is None
        assert store.channel_by_number(1) is None
        assert store.lane(1, 0) is None
        assert store.charge(1, 0, 1) is None
        assert store.batch(1) == ()

    def test_a_channel_comes_back_as_it_was(self, store: ChannelStore) -> None:
        self.open_one(store)
        found = store.channel((1).to_bytes(32))
        assert found is not None
        assert found.row == channel_row()
        assert found.sessions == (session_row(),)
        assert found.lanes == ()
        assert store.channel_by_number(1) == found

    def test_everything_survives_a_restart(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        secret = store.secret()
        store.close()
        later = self.reopen()
        assert later.secret() == secret
        found = later.channel_by_number(1)
        assert found is not None
        assert (found.row.charged, found.lanes) == (300, (0,))
        summary = later.summary()
        assert (summary.batch_last, summary.channel_last) == (1, 1)
        assert summary.owing == (("aisa:hub", 1),)
        assert summary.unredeemed == (("aisa:hub", 300),)

    def test_charges_answers_and_batches_are_found_again(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        found = store.charge(1, 0, 2)
        assert found is not None
        assert found.charge == charge(2, 200)
        assert (found.batch, found.place, found.at_ms, found.voided) == (1, 1, T0 + 1, False)
        assert [one.seq for one in store.batch(1)] == [1, 2, 3]

    def test_a_lane_tells_its_newest_seqs(self, store: ChannelStore) -> None:
        self.open_one(store)
        for batch in range(1, 5):
            self.charge_some(store, batch, range(batch * 500 - 499, batch * 500 + 1))
        lane = store.lane(1, 0)
        assert lane is not None
        assert (lane.closed, lane.seq_floor) == (False, 0)
        assert set(lane.seqs) == set(range(977, 2001))

    def test_a_used_seq_cannot_be_charged_again(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        with pytest.raises(StoreUnavailable):
            self.charge_some(store, 2, range(3, 6))
        assert store.charge(1, 0, 4) is None
        found = store.channel_by_number(1)
        assert found is not None
        assert found.row.charged == 300
        self.charge_some(store, 2, range(4, 6))

    def test_nothing_above_the_ceiling_or_deposit_is_ever_stored(self, store: ChannelStore) -> None:
        self.open_one(store)
        for row in (channel_row(charged=500_001), channel_row(ceiling=1_000_001)):
            with pytest.raises(StoreUnavailable):
                store.commit(StoreBatch(1, T0, channels=(row,)))

    def test_a_void_marks_the_charge(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        lanes = (LaneRow(1, 0, 200, closed=True),)
        rows = (channel_row(charged=200),)
        store.commit(StoreBatch(2, T0, channels=rows, lanes=lanes, voids=((1, 0, 2),)))
        found = store.charge(1, 0, 2)
        assert found is not None
        assert found.voided
        lane = store.lane(1, 0)
        assert lane is not None
        assert (lane.units, lane.closed) == (200, True)

    def test_a_repeated_session_changes_nothing(self, store: ChannelStore) -> None:
        self.open_one(store)
        store.commit(StoreBatch(1, T0, sessions=(session_row(expiry=1),)))
        found = store.channel_by_number(1)
        assert found is not None
        assert found.sessions == (session_row(),)

    def test_sessions_are_forgotten_behind_the_newest_once_their_time_is_over(
        self, store: ChannelStore
    ) -> None:
        self.open_one(store)
        end_s = 2_000_000_000
        rows = tuple(session_row(name=n, expiry=end_s - n) for n in range(2, SESSIONS_MAX + 10))
        at_s = end_s - SESSIONS_MAX - 9 + SESSION_KEPT_S
        store.commit(StoreBatch(1, at_s * 1000, sessions=rows))
        found = store.channel_by_number(1)
        assert found is not None
        assert len(found.sessions) == SESSIONS_MAX + 8, "none but the first to end is old enough"
        assert found.sessions == tuple(sorted(found.sessions, key=lambda one: one.expiry))
        last = session_row(name=200, expiry=2**40)
        store.commit(StoreBatch(2, (end_s + SESSION_KEPT_S) * 1000, sessions=(last,)))
        found = store.channel_by_number(1)
        assert found is not None
        assert len(found.sessions) == SESSIONS_MAX
        assert found.sessions[-1] == last
        assert found.sessions[0].expiry == end_s - SESSIONS_MAX + 1

    def test_closed_lanes_without_charges_are_forgotten_below_the_floor(
        self, store: ChannelStore
    ) -> None:
        self.open_one(store)
        self.charge_some(store)
        row = channel_row(charged=300)
        closed = tuple(LaneRow(1, lane, 0, closed=True) for lane in range(1, 11))
        store.commit(StoreBatch(2, T0, channels=(row,), lanes=closed))
        assert store.lane(1, 1) is not None
        raised = channel_row(charged=300, lane_floor=8)
        last = LaneRow(1, 11, 0, closed=True)
        store.commit(StoreBatch(3, T0, channels=(raised,), lanes=(last,)))
        kept = [lane for lane in range(12) if store.lane(1, lane) is not None]
        assert kept == [0, 8, 9, 10, 11]

    def test_lanes_below_the_floor_are_left_out(self, store: ChannelStore) -> None:
        self.open_one(store)
        lanes = tuple(LaneRow(1, number, 0, closed=False) for number in range(10))
        store.commit(StoreBatch(1, T0, channels=(channel_row(lane_floor=7),), lanes=lanes))
        found = store.channel_by_number(1)
        assert found is not None
        assert set(found.lanes) == {7, 8, 9}

    def test_old_answers_go_and_charges_stay(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        store.prune(answers_before_ms=T0 + 2, charges_before_ms=0, batches_max=10)
        found = store.charge(1, 0, 2)
        assert found is not None
        assert found.charge.answer == b""
        assert len(store.batch(1)) == 3

    def test_answers_are_forgotten_past_batches_that_kept_none(self, store: ChannelStore) -> None:
        self.open_one(store)
        for batch in range(1, 8):
            kept = charge(batch, 100 * batch, answer=b"kept" if batch in (6, 7) else b"")
            store.commit(StoreBatch(batch, T0 + batch, charges=(kept,)))
        bounds = {"answers_before_ms": T0 + 7, "charges_before_ms": 0, "batches_max": 2}
        assert store.prune(**bounds)
        store.close()
        again = self.reopen()
        while again.prune(**bounds):
            pass
        answers = [stored.charge.answer for n in (6, 7) if (stored := again.charge(1, 0, n))]
        assert answers == [b"", b"kept"]

    def test_only_redeemed_charges_are_forgotten(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store, 1, range(1, 4))
        self.charge_some(store, 2, range(4, 6))
        rows = (channel_row(charged=500, redeemed=300),)
        store.commit(StoreBatch(3, T0, channels=rows))
        store.prune(answers_before_ms=T0 + 9, charges_before_ms=T0 + 9, batches_max=10)
        assert store.batch(1) == ()
        assert len(store.batch(2)) == 2
        lane = store.lane(1, 0)
        assert lane is not None
        assert (lane.units, lane.seq_floor, set(lane.seqs)) == (500, 3, {4, 5})

    def test_the_number_of_a_forgotten_batch_is_not_given_again(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store, 5)
        store.commit(StoreBatch(6, T0, channels=(channel_row(charged=300, redeemed=300),)))
        store.prune(answers_before_ms=T0 + 9, charges_before_ms=T0 + 9, batches_max=10)
        assert store.summary().batch_last == 5

    def test_closed_channels_are_forgotten_with_their_charges(self, store: ChannelStore) -> None:
        self.open_one(store)
        self.charge_some(store)
        closed = replace(channel_row(charged=300, redeemed=200), state=ChannelState.CLOSED)
        store.commit(StoreBatch(2, T0, channels=(closed,)))
        assert store.summary().owing == ()
        for _ in range(2):
            store.prune(answers_before_ms=T0 + 9, charges_before_ms=T0 + 9, batches_max=10)
        assert store.channel_by_number(1) is None
        assert store.lane(1, 0) is None
        assert store.summary().channel_last == 1

    def test_pruning_says_whether_there_may_be_more(self, store: ChannelStore) -> None:
        self.open_one(store)
        for batch in range(1, 6):
            self.charge_some(store, batch, range(batch, batch + 1))
        store.commit(StoreBatch(6, T0, channels=(channel_row(charged=500, redeemed=500),)))
        bounds = {"answers_before_ms": T0 + 9, "charges_before_ms": T0 + 9, "batches_max": 2}
        assert store.prune(**bounds)
        assert store.prune(**bounds)
        assert not store.prune(**bounds)
        assert store.charge(1, 0, 5) is None

    def test_the_disk_is_measured(self, store: ChannelStore) -> None:
        assert store.probe_ms() > 0
