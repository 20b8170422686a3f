"""The payee's pure rules, one at a time; what they do together is in tests/property."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from aisa.channel.payee import LANES_MAX, PayeeCall, PayeeChannel, Repeat
from aisa.channel.payee_check import HubExposure, PayeeRules, check_open, check_terms
from aisa.channel.payee_lane import WINDOW, LaneCall, PayeeLane
from aisa.channel.payee_session import EPOCH_S, PayeeExchange, PayeeSession
from aisa.channel.receipts import leaf_of, prove, receipt_header
from aisa.channel.store import (
    SESSION_KEPT_S,
    SESSIONS_MAX,
    ChannelRow,
    ChannelState,
    Charge,
    StoredLane,
)
from aisa.errors import (
    ChannelUnknown,
    HubNotListed,
    MalformedMessage,
    SessionExpired,
    StateConflict,
    StatementRefused,
)
from aisa.identity import SigningKey, verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf, Session, Tick, payee_exchange_bytes
from aisa.protocol.mpp import Receipt
from aisa.protocol.timestamp import parse_timestamp
from tests.integration.paying import (
    HUB_KEY,
    NETWORK,
    PAYEE,
    SELLER_SEED,
    T0_MS,
    Payer,
    statement,
)

NOW_S = T0_MS // 1000
SIGNER = SigningKey(SELLER_SEED)
DIGEST = bytes(32)


@pytest.fixture
def exchange() -> PayeeExchange:
    return PayeeExchange(SELLER_SEED, SIGNER)


@pytest.fixture
def hub() -> HubExposure:
    return HubExposure(NETWORK, HUB_KEY.public_key, 5000, 5_000_000)


@pytest.fixture
def payer() -> Payer:
    return Payer()


@pytest.fixture
def channel(exchange: PayeeExchange, hub: HubExposure, payer: Payer) -> PayeeChannel:
    action = payer.open_action(exchange.offered(NOW_S).x25519, NOW_S)
    row = ChannelRow(
        number=1,
        id=payer.id,
        network=NETWORK,
        holder=HUB_KEY.public_key,
        payer=payer.key.public_key,
        currency="aiUSD",
        salt=payer.terms.salt,
        fee_ppm=1000,
        opened_ms=T0_MS,
        deposit=1_000_000,
        ceiling=50_000,
        voucher_signature=action.voucher.signature,
        charged=0,
        redeemed=0,
        redeeming=0,
        lane_floor=0,
        state=ChannelState.OPEN,
        changed_ms=T0_MS,
    )
    made = PayeeChannel(row, hub, is_stored=False)
    made.add_session(action.session, exchange, NOW_S)
    return made


def admit(
    channel: PayeeChannel, payer: Payer, seq: int, *, lane: int = 0, stored: Any = None
) -> PayeeCall | Repeat:
    tick = Tick.decode(Tick(payer.id, lane, seq, 100).seal(payer.tick_key, DIGEST))
    found = channel.lanes.get(lane) or channel.find_lane(lane, stored, NOW_S)
    return channel.admit(found, tick, DIGEST, 100, NOW_S)


def charged(channel: PayeeChannel, payer: Payer, seq: int, **more: Any) -> PayeeCall:
    call = admit(channel, payer, seq, **more)
    assert isinstance(call, PayeeCall)
    channel.settle(call, 100)
    return call


class FakeSession:
    expiry = NOW_S + 1000
    keys = type("Keys", (), {"tick": b"t", "receipt": b"r"})


def lane_of(stored: StoredLane | None = None) -> PayeeLane:
    return PayeeLane(1, 0, FakeSession(), stored)  # type: ignore[arg-type]


def take(lane: PayeeLane, seq: int) -> None:
    lane.take(LaneCall(lane, seq, DIGEST, 1))


def test_the_window_is_1024_wide() -> None:
    lane = lane_of()
    take(lane, 5000)
    assert not lane.is_free(5000)
    assert lane.is_free(5000 - WINDOW + 1)
    assert not lane.is_free(5000 - WINDOW)
    assert lane.is_free(2**63 - 1)


def test_a_leap_leaves_nothing_behind_it_open() -> None:
    lane = lane_of()
    for seq in (1, 2, 2**62):
        take(lane, seq)
    assert not lane.is_free(3)
    assert lane.is_free(2**62 - 1)


def test_a_seq_given_back_is_free_unless_the_window_passed_it() -> None:
    lane = lane_of()
    take(lane, 1)
    take(lane, 2)
    lane.give_back(1)
    assert lane.is_free(1)
    take(lane, 5000)
    lane.give_back(2)
    assert not lane.is_free(2)


def test_a_lane_comes_back_with_what_it_used() -> None:
    lane = lane_of(StoredLane(700, True, 3, (10, 9, 5)))
    assert (lane.units, lane.closed) == (700, True)
    assert [seq for seq in range(1, 13) if lane.is_free(seq)] == [4, 6, 7, 8, 11, 12]


def test_the_exchange_key_is_signed_renewed_and_found_again(exchange: PayeeExchange) -> None:
    first = exchange.offered(NOW_S)
    message = payee_exchange_bytes(first.x25519, first.expiry)
    assert verify_signature(PAYEE, message, first.signature)
    assert EPOCH_S < first.expiry - NOW_S <= 2 * EPOCH_S
    assert exchange.offered(NOW_S) == first
    later = exchange.offered(NOW_S + EPOCH_S)
    assert later.x25519 != first.x25519
    epoch = NOW_S // EPOCH_S
    assert exchange.epoch_of(first.x25519, NOW_S + EPOCH_S) == epoch
    assert exchange.epoch_of(first.x25519, NOW_S + 2 * EPOCH_S) is None
    assert PayeeExchange(SELLER_SEED, SIGNER).key(epoch).public_key == first.x25519


def test_many_epochs_stay_within_bounds(exchange: PayeeExchange) -> None:
    for epoch in range(200):
        exchange.key(epoch)
    assert len(exchange._keys) <= 64


def test_a_session_key_that_gives_no_secret_is_refused(
    channel: PayeeChannel, exchange: PayeeExchange, payer: Payer
) -> None:
    offered = exchange.offered(NOW_S).x25519
    weak = Session(payer.id, bytes(32), offered, 100, 1, NOW_S + 10)
    weak = replace(weak, signature=payer.key.sign(weak.signing_bytes()))
    with pytest.raises(MalformedMessage):
        channel.add_session(weak, exchange, NOW_S)
    assert len(channel.sessions) == 1


def test_live_sessions_are_bounded(
    channel: PayeeChannel, exchange: PayeeExchange, payer: Payer
) -> None:
    offered = exchange.offered(NOW_S).x25519
    for number in range(1, SESSIONS_MAX):
        session = payer.make_session(offered, NOW_S + 1000, first=number * 16)
        assert channel.add_session(session, exchange, NOW_S)
        assert not channel.add_session(session, exchange, NOW_S)
    one_more = payer.make_session(offered, NOW_S + 1000, first=10**6)
    with pytest.raises(StateConflict, match="at most 64"):
        channel.add_session(one_more, exchange, NOW_S)
    later = payer.make_session(offered, NOW_S + 9999, first=10**6)
    kept_until_s = NOW_S + 1000 + SESSION_KEPT_S
    with pytest.raises(StateConflict, match="ended in the last 10 minutes"):
        channel.add_session(later, exchange, kept_until_s - 1)
    assert channel.add_session(later, exchange, kept_until_s)
    assert len(channel.sessions) == SESSIONS_MAX


def test_sessions_of_a_second_each_are_bounded(
    channel: PayeeChannel, exchange: PayeeExchange, payer: Payer
) -> None:
    offered = exchange.offered(NOW_S).x25519
    added = 0
    for second in range(NOW_S, NOW_S + 2 * SESSION_KEPT_S):
        session = payer.make_session(offered, second + 1, first=100)
        with suppress(StateConflict):
            added += channel.add_session(session, exchange, second)
        assert len(channel.sessions) <= SESSIONS_MAX
    assert SESSIONS_MAX < added <= 3 * SESSIONS_MAX


def test_closing_a_lane_older_than_the_newest_raises_the_floor(
    channel: PayeeChannel, exchange: PayeeExchange, payer: Payer
) -> None:
    offered = exchange.offered(NOW_S).x25519
    wide = payer.make_session(offered, NOW_S + 99, first=16, count=LANES_MAX)
    channel.add_session(wide, exchange, NOW_S)
    for number in wide.lanes:
        channel.close_lane(channel.find_lane(number, None, NOW_S))
    assert channel.lane_floor == 0
    old = channel.find_lane(2, None, NOW_S)
    channel.changed = False
    channel.close_lane(old)
    assert (channel.lane_floor, channel.changed) == (3, True)
    assert channel.find_lane(2, None, NOW_S).closed


def test_the_invariant_holds_between_reserve_and_settle(
    channel: PayeeChannel, payer: Payer, hub: HubExposure
) -> None:
    call = admit(channel, payer, 1)
    assert isinstance(call, PayeeCall)
    assert (channel.charged, channel.reserved, hub.units) == (0, 100, 100)
    channel.settle(call, 60)
    assert (channel.charged, channel.reserved, hub.units) == (60, 0, 60)
    other = admit(channel, payer, 2)
    assert isinstance(other, PayeeCall)
    channel.release(other)
    assert (channel.charged, channel.reserved, hub.units, channel.in_flight) == (60, 0, 60, 0)


def test_a_claim_is_repeated_until_it_is_known(channel: PayeeChannel, payer: Payer) -> None:
    charged(channel, payer, 1)
    assert channel.claim() == 100
    charged(channel, payer, 2)
    assert channel.claim() == 100
    channel.redeemed_to(100, final=False)
    assert channel.claim() == 200
    channel.start_closing()
    assert channel.is_claim_final
    channel.redeemed_to(200, final=True)
    assert channel.state is ChannelState.CLOSED
    assert channel.hub.units == 0


def test_a_hub_that_says_too_much_or_too_little_changes_no_sum(
    channel: PayeeChannel, payer: Payer, hub: HubExposure
) -> None:
    charged(channel, payer, 1)
    channel.redeemed_to(10**9, final=False)
    assert (channel.redeemed, hub.units) == (100, 0)
    channel.redeemed_to(0, final=False)
    assert (channel.redeemed, hub.units) == (100, 0)
    charged(channel, payer, 2)
    channel.redeemed_to(150, final=True)
    assert hub.units == 0, "what is lost no longer counts against the cap"


def test_a_final_claim_waits_for_calls_in_flight(channel: PayeeChannel, payer: Payer) -> None:
    call = admit(channel, payer, 1)
    assert isinstance(call, PayeeCall)
    channel.start_closing()
    channel.claim()
    assert not channel.is_claim_final
    channel.settle(call, 100)
    assert not channel.is_claim_final, "the claim is of before"
    channel.claim()
    assert channel.is_claim_final


def test_what_was_claimed_is_never_voided(channel: PayeeChannel, payer: Payer) -> None:
    lane = charged(channel, payer, 1).lane
    assert channel.start_void(100, T0_MS)
    assert channel.claim() == 0, "what is being taken back is not claimed"
    channel.finish_void(lane, 100, is_committed=True)
    assert (channel.charged, channel.hub.units, lane.units) == (0, 0, 0)
    charged(channel, payer, 2)
    assert channel.claim() == 100
    assert not channel.start_void(100, T0_MS)


def test_a_void_that_was_not_committed_stands(channel: PayeeChannel, payer: Payer) -> None:
    lane = charged(channel, payer, 1).lane
    assert channel.start_void(100, T0_MS)
    channel.finish_void(lane, 100, is_committed=False)
    assert (channel.charged, channel.voiding, lane.units) == (100, 0, 100)


def test_an_unknown_lane_has_no_session(channel: PayeeChannel, payer: Payer) -> None:
    with pytest.raises(SessionExpired):
        admit(channel, payer, 1, lane=16)


def test_the_rules_name_what_is_wrong_with_a_channel(hub: HubExposure, payer: Payer) -> None:
    rules = PayeeRules(PAYEE, "aiUSD", {NETWORK: hub}, 10_000)
    assert check_terms(payer.terms, rules) is hub
    for terms, error in (
        (Payer(payee=bytes(32)).terms, ChannelUnknown),
        (Payer(currency="EUR").terms, ChannelUnknown),
        (Payer(holder=bytes(32)).terms, HubNotListed),
    ):
        with pytest.raises(error):
            check_terms(terms, rules)
    action = payer.open_action(bytes([9]) + bytes(31), NOW_S)
    check_open(action, hub, rules, NOW_S)
    small = replace(action, statement=statement(payer.id, 9_999, NOW_S))
    with pytest.raises(StatementRefused, match="at least 10000"):
        check_open(small, hub, rules, NOW_S)


def test_sessions_keep_their_keys_over_a_restart(
    channel: PayeeChannel, exchange: PayeeExchange, payer: Payer
) -> None:
    again = PayeeSession(
        channel.sessions[0].row, PayeeExchange(SELLER_SEED, SIGNER), is_stored=True
    )
    assert again.keys.tick == payer.tick_key
    assert payer.tick_key.hex() not in repr(again.keys)


def test_the_receipt_header_is_what_mpp_would_write(payer: Payer) -> None:
    leaf = ReceiptLeaf(payer.id, 4, 5, 2**62, DIGEST, 200, DIGEST)
    moment = "2026-12-01T00:05:00Z"
    other = {
        "channel": base64url.encode(payer.id),
        "charged": str(2**62),
        "mac": base64url.encode(leaf.mac(b"key")),
    }
    expected = Receipt("aisa", moment, "4:5", other).format()
    at_ms = parse_timestamp(moment, "moment") * 1000 + 999
    assert receipt_header(leaf, b"key", at_ms).decode() == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
def test_each_leaf_of_a_batch_is_proved(count: int) -> None:
    charges = [
        Charge(1, 0, seq, 100, 100 * seq, seq.to_bytes(32), 200, DIGEST, b"")
        for seq in range(1, count + 1)
    ]
    leaves = [leaf_of(one, bytes(32)) for one in charges]
    proofs = [prove(leaves, index, 9, SIGNER) for index in range(count)]
    assert len({proof.root() for proof in proofs}) == 1
    for proof, leaf in zip(proofs, leaves, strict=True):
        assert proof.leaf == leaf
        assert verify_signature(PAYEE, proof.signing_bytes(), proof.signature)
