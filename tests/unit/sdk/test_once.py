"""Calls with an id are made once, whatever crashes in between."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from aisa.channel.receipts import receipt_header
from aisa.errors import (
    AnswerGone,
    AnswerTooLarge,
    IdempotencyMismatch,
    OutcomeUnknown,
    RailUnavailable,
)
from aisa.protocol.aip import ReceiptLeaf, Tick, request_digest
from aisa.protocol.aip.receipt import NO_DIGEST
from aisa.protocol.problem import problem_of
from aisa.sdk import Outcome, Payment
from aisa.sdk.step import Lost, Reply, Send
from tests.unit.sdk.market import ORIGIN, PRICE, Clock, SellerSim
from tests.unit.sdk.play import URL, Make, die, lose, lose_answer


def test_a_repeat_gets_the_stored_answer(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    first = agent.get(URL, call_id="a")
    again = make_agent().get(URL, call_id="a")
    assert (first.content, seller.served) == (again.content, 1)


def test_a_call_cut_off_by_a_crash_is_the_same_tick(make_agent: Make, seller: SellerSim) -> None:
    first = make_agent()
    first.get(URL)
    seller.tricks = [lose_answer(seller)] * 50
    with pytest.raises(OutcomeUnknown):
        first.get(URL, call_id="a", timeout_s=1)
    die(first)
    seller.tricks = []
    answer = make_agent().get(URL, call_id="a")
    assert (answer.status, seller.served) == (200, 2)
    assert answer.payment.seq == 2


def test_a_repeat_shows_the_deposit_that_its_first_process_could_not(
    make_agent: Make, seller: SellerSim
) -> None:
    first = make_agent()
    first.get(URL)
    seller.tricks = [lambda _: Lost(is_sent=True, reason="cut")] * 50
    with pytest.raises(OutcomeUnknown):
        first.get(URL, call_id="a", timeout_s=1)
    die(first)
    seller.tricks = []
    # As the seller knew it before a top-up that nobody lived to show.
    seller.ledger.deposit = PRICE
    answer = make_agent().get(URL, call_id="a")
    assert (answer.status, answer.payment.seq) == (200, 2)
    assert seller.ledger.deposit > PRICE


def test_the_lane_of_a_call_to_be_repeated_is_not_closed(
    make_agent: Make, seller: SellerSim, clock: Clock
) -> None:
    first = make_agent()
    first.get(URL)
    seller.tricks = [lose] * 50
    with pytest.raises(RailUnavailable):
        first.get(URL, timeout_s=1)
    seller.tricks = [lose_answer(seller)] * 50
    with pytest.raises(OutcomeUnknown):
        first.get(URL, call_id="a", timeout_s=1)
    die(first)
    seller.tricks = []
    second = make_agent()
    assert second.return_lanes() == 0
    clock.now_ms += 600_001
    assert second.return_lanes() > 0


def test_another_request_under_the_same_id_is_refused(make_agent: Make) -> None:
    agent = make_agent()
    agent.get(URL, call_id="a")
    with pytest.raises(IdempotencyMismatch):
        agent.get(URL + "?other", call_id="a")
    assert agent.get(URL, call_id="a").status == 200


def test_a_tick_that_was_never_charged_is_replaced(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lambda _: Lost(is_sent=True, reason="cut")] * 50
    with pytest.raises(OutcomeUnknown):
        agent.get(URL, call_id="a", timeout_s=1)
    seller.tricks = []
    seller.ledger.closed_lanes.add(0)
    assert agent.get(URL, call_id="a").payment.lane == 1
    assert seller.served == 2


def test_a_failed_call_may_be_made_again(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    seller.status = 500
    agent.get(URL, call_id="a")
    seller.status = 200
    assert agent.get(URL, call_id="a").status == 200


def test_a_gateway_that_gave_up_is_no_proof_that_nothing_was_charged(
    make_agent: Make, seller: SellerSim
) -> None:
    def gives_up(request: Send) -> Reply:
        seller.serve(request)
        return Reply(504, {}, b"<html>gateway time-out</html>")

    agent = make_agent()
    agent.get(URL)
    seller.tricks = [gives_up]
    with pytest.raises(OutcomeUnknown):
        agent.get(URL, call_id="a")
    assert agent.get(URL, call_id="a").payment.seq == 2
    assert seller.served == 2
    seller.tricks = [gives_up]
    lost = agent.get(URL)
    assert (lost.status, lost.payment.outcome) == (504, Outcome.UNKNOWN)
    taken = agent._purse.sellers.popitem()[1].till.meter.taken
    assert taken == seller.ledger.charged


def test_an_answer_that_is_gone_is_not_paid_again(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL, call_id="a")
    gone = Reply(409, {}, problem_of(AnswerGone("gone")).encode())
    seller.tricks = [lambda _: gone]
    with pytest.raises(AnswerGone):
        agent.get(URL, call_id="a")
    assert seller.served == 1


def test_a_repeat_that_reaches_nobody_stays_the_same_tick(
    make_agent: Make, seller: SellerSim
) -> None:
    first = make_agent()
    first.get(URL)
    seller.tricks = [lose_answer(seller)] * 50
    with pytest.raises(OutcomeUnknown):
        first.get(URL, call_id="a", timeout_s=1)
    die(first)
    second = make_agent()
    seller.tricks = [lose] * 50
    with pytest.raises(OutcomeUnknown):
        second.get(URL, call_id="a", timeout_s=1)
    seller.tricks = []
    assert second.get(URL, call_id="a").payment.seq == 2
    assert seller.served == 2


def test_a_settled_call_whose_answer_was_forgotten_is_not_paid_again(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.get(URL, call_id="a")
    seller.ledger.charges.clear()
    seller.ledger.closed_lanes.add(0)
    with pytest.raises(AnswerGone):
        agent.get(URL, call_id="a")
    assert seller.served == 1


def cut(seller: SellerSim, *, is_streamed: bool = False) -> Callable[[Send], Reply]:
    def trick(request: Send) -> Reply:
        reply = seller.serve(request)
        assert isinstance(reply, Reply)
        headers = dict(reply.headers)
        if is_streamed:
            tick = Tick.decode(request.headers["Payment-Tick"])
            headers["payment-receipt"] = streamed_receipt(seller, tick, request)
        return Reply(reply.status, headers, b"", is_cut=True)

    return trick


def streamed_receipt(seller: SellerSim, tick: Tick, request: Send) -> str:
    keys = next(k for s, k in seller.ledger.sessions if tick.lane in s.lanes)
    digest = request_digest(b"GET", ORIGIN.encode(), b"/hello", sha256(b"").digest())
    leaf = ReceiptLeaf(tick.channel, tick.lane, tick.seq, PRICE, digest, 200, NO_DIGEST)
    return receipt_header(leaf, keys.receipt, 1_800_000_000_000).decode()


def test_an_answer_that_is_too_long_is_unknown_and_may_be_asked_for_again(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [cut(seller)]
    with pytest.raises(AnswerTooLarge, match="answer_bytes_max") as caught:
        agent.get(URL, call_id="long")
    assert caught.value.facts == {"outcome": "unknown", "charged_units": PRICE}
    answer = agent.get(URL, call_id="long")
    assert answer.payment is not None
    assert answer.payment.outcome is Outcome.SETTLED
    assert seller.ledger.charged == 2 * PRICE


def test_a_streamed_answer_that_is_too_long_is_settled(make_agent: Make, seller: SellerSim) -> None:
    told: list[Payment] = []
    agent = make_agent(on_payment=told.append)
    agent.get(URL)
    for call_id in (None, "long"):
        seller.tricks = [cut(seller, is_streamed=True)]
        with pytest.raises(AnswerTooLarge) as caught:
            agent.get(URL, call_id=call_id)
        assert caught.value.facts == {"outcome": "settled", "charged_units": PRICE}
    assert [one.outcome for one in told] == [Outcome.SETTLED] * 3
    assert agent.unknown_calls() == []
    assert agent.spent.calls == 3


def test_an_error_that_is_too_long_is_not_charged(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lambda _: Reply(500, {}, b"", is_cut=True)]
    with pytest.raises(AnswerTooLarge) as caught:
        agent.get(URL, call_id="fails")
    assert caught.value.facts == {"outcome": "failed", "charged_units": 0}
    assert agent.get(URL, call_id="fails").status == 200
    assert seller.ledger.charged == 2 * PRICE


def test_a_free_answer_that_is_too_long_is_not_handed_out(
    make_agent: Make, seller: SellerSim
) -> None:
    seller.tricks = [lambda _: Reply(200, {}, b"", is_cut=True)]
    with pytest.raises(AnswerTooLarge) as caught:
        make_agent().get(ORIGIN + "/free")
    assert caught.value.facts == {"outcome": "unpaid", "charged_units": 0}
