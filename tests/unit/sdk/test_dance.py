"""The 402 dance against a seller that keeps the protocol, refuses, goes silent or cheats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aisa.channel.payer import ChannelState
from aisa.channel.wallet import LANES_PER_SESSION
from aisa.errors import (
    AisaError,
    BudgetExceeded,
    CapExceeded,
    ChallengeInvalid,
    ChannelUnknown,
    InsufficientFunds,
    InvalidRequest,
    NoCommonNode,
    NodeUnavailable,
    OriginRefused,
    OutcomeUnknown,
    PaymentRequired,
    RailUnavailable,
    RedirectRefused,
    SessionExpired,
    StateConflict,
    TickRefused,
    VoucherRequired,
)
from aisa.protocol.aip import Hub, hub_network
from aisa.sdk import Agent, AsyncAgent, Budget, Outcome, Payment
from aisa.sdk.step import Lost, Reply, Send
from tests.integration.hub_stub import HubBook
from tests.unit.sdk.market import ORIGIN, PRICE, Clock, SellerSim
from tests.unit.sdk.play import STEP, URL, Make, die, lose, lose_answer, refuse_with


def test_a_call_is_paid_for_and_its_receipt_kept(make_agent: Make, seller: SellerSim) -> None:
    payments: list[Payment] = []
    agent = make_agent(on_payment=payments.append)
    answer = agent.get(URL)
    assert answer.status == 200
    assert answer.payment == payments[0]
    assert answer.payment.outcome is Outcome.SETTLED
    assert (answer.payment.charged.units, str(agent.spent)) == (PRICE, "0.0001 aiUSD")
    (receipt,) = agent.receipts()
    assert receipt.charged == answer.payment.charged
    assert (receipt.leaf.seq, receipt.url) == (1, URL)
    assert seller.ledger.charged == PRICE


def test_the_second_call_is_one_round_trip(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    before = len(seller.seen)
    agent.get(URL + "?other=query")
    assert len(seller.seen) == before + 1


def test_a_sibling_path_is_paid_without_asking(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(ORIGIN + "/rates/1")
    before = len(seller.seen)
    assert agent.get(ORIGIN + "/rates/2").payment is not None
    assert len(seller.seen) == before + 1


def test_a_free_call_opens_nothing(make_agent: Make, hub: HubBook) -> None:
    answer = make_agent().get(ORIGIN + "/free")
    assert (answer.text, answer.payment, hub.channels) == ("free", None, {})


def test_a_quote_pays_nothing(make_agent: Make, hub: HubBook, seller: SellerSim) -> None:
    quote = make_agent().quote(URL)
    assert str(quote.price) == "0.0001 aiUSD"
    assert (quote.node, quote.payee) == ("http://node.test", seller.signer.public_key)
    assert hub.channels == {}
    assert make_agent().quote(ORIGIN + "/free").price is None


def test_a_post_pays_for_its_body(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    assert agent.post(URL, json={"a": 1}).status == 200
    assert agent.post(URL, content="text").status == 200
    assert seller.served == 2


def test_the_signed_ceiling_never_leaves_the_leased_slices(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    for n in range(260):
        agent.get(f"{URL}?n={n}")
    assert seller.ledger.charged == 260 * PRICE
    assert max(seller.ledger.vouchers) <= seller.ledger.charged + STEP


def test_closing_parks_the_lane_for_the_next_process(make_agent: Make, seller: SellerSim) -> None:
    first = make_agent()
    first.get(URL)
    first.close()
    second = make_agent()
    second.get(URL)
    assert len(seller.ledger.sessions) == 1
    assert set(seller.ledger.charges) == {(0, 1), (0, 2)}
    (channel,) = second.channels()
    second.close()
    assert channel.sent - PRICE <= channel.signed


def test_a_dead_process_gives_its_rest_back(
    make_agent: Make, seller: SellerSim, clock: Clock
) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    second = make_agent()
    second.get(URL)
    second._driver.settle(5)
    (channel,) = second.channels()
    assert seller.ledger.closed_lanes == {0}
    assert channel.sent == PRICE + STEP
    # If the receipt was still in the dead process's memory, what it paid is reported, to the unit.
    kept = sum(one.charged.units for one in second.receipts() if one.leaf.lane == 0)
    unknown = second.unknown_calls()
    assert kept + sum(spend.units for spend in unknown) == PRICE
    assert all(spend.is_final for spend in unknown)


def test_a_payee_that_claims_too_much_of_a_lane_gets_nothing_booked(
    make_agent: Make, seller: SellerSim
) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    seller.lane_charged = STEP + 1
    second = make_agent()
    assert second.return_lanes() == 0
    (event,) = second.events()
    assert (event.kind, str(STEP + 1) in event.detail) == ("lane-not-returned", True)


def test_a_payee_that_returns_too_much_hurts_only_itself(
    make_agent: Make, seller: SellerSim
) -> None:
    first = make_agent()
    for _ in range(3):
        first.get(URL)
    die(first)
    seller.lane_charged = 0
    second = make_agent()
    assert second.return_lanes() == STEP
    (channel,) = second.channels()
    assert (channel.sent, channel.signed) == (0, STEP)


def test_another_payee_key_is_refused_until_it_is_accepted(
    make_agent: Make, seller: SellerSim
) -> None:
    make_agent().get(URL)
    seller.seed = bytes([8]) * 32
    seller.__post_init__()
    agent = make_agent()
    with pytest.raises(OriginRefused, match="another key"):
        agent.get(URL)
    assert agent.accept_payee(URL) == seller.signer.public_key
    assert agent.get(URL).status == 200


def test_a_402_that_names_a_thiefs_node_opens_nothing(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    seller.hubs = (Hub(hub_network(bytes(32)), 5000),)
    with pytest.raises(NoCommonNode):
        make_agent().get(URL)
    assert hub.channels == {}


def test_a_session_url_elsewhere_is_refused(make_agent: Make, seller: SellerSim) -> None:
    seller.session_origin = "http://thief.test"
    with pytest.raises(OriginRefused, match="thief"):
        make_agent().get(URL)


def test_a_forged_exchange_key_is_refused(make_agent: Make, seller: SellerSim) -> None:
    true_offer = seller.offer
    seller.offer = lambda: replace(true_offer(), x_signature=bytes(64))
    with pytest.raises(ChallengeInvalid, match="did not sign"):
        make_agent().get(URL)


def test_another_scale_of_a_known_currency_is_refused(make_agent: Make, seller: SellerSim) -> None:
    seller.scale = 2
    with pytest.raises(InvalidRequest, match="2 digits"):
        make_agent().get(URL)


def test_a_node_dearer_than_the_seller_allows_is_not_used(make_agent: Make, hub: HubBook) -> None:
    hub.fee_ppm = 6000
    with pytest.raises(NoCommonNode, match="6000 ppm"):
        make_agent().get(URL)


def test_an_empty_account_is_told_how_to_fund_it(make_agent: Make, hub: HubBook) -> None:
    hub.funds = 9_999
    with pytest.raises(InsufficientFunds, match="aisa wallet fund"):
        make_agent().get(URL)
    assert hub.channels == {}
    hub.funds = 20_000
    assert make_agent().get(URL).status == 200
    assert next(iter(hub.channels.values())).deposit == 20_000


def test_a_first_deposit_above_the_limit_is_refused(make_agent: Make, seller: SellerSim) -> None:
    seller.deposit_min = 2_000_000
    with pytest.raises(BudgetExceeded, match="deposit_max") as caught:
        make_agent().get(URL)
    assert caught.value.facts["limit"] == "deposit_max"


def test_deposits_are_topped_up_before_they_run_out(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    agent = make_agent(deposit_max="0.02 aiUSD", budget=Budget(None, None, None))
    for n in range(500):
        assert agent.get(f"{URL}?n={n}").status == 200
    (channel,) = hub.channels.values()
    assert channel.deposit > 20_000
    assert channel.deposit <= 500 * PRICE + 20_000 + 5_000
    assert len(hub.channels) == 1


def test_an_open_that_the_node_did_not_answer_is_finished_later(
    make_agent: Make, hub: HubBook, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.quote(URL)
    hub.down = True
    with pytest.raises(NodeUnavailable):
        agent.get(URL)
    hub.down = False
    assert agent.get(URL).status == 200
    assert len(hub.channels) == 1


@pytest.mark.parametrize(
    ("budget", "limit", "calls"),
    [
        (Budget(per_call="0.00009 aiUSD", per_day=None), "per_call", 0),
        (Budget(per_seller="0.0007 aiUSD", per_day=None), "per_seller", 7),
        (Budget(per_day="0.0005 aiUSD"), "per_day", 5),
        (Budget(per_call="0.10 USDC", per_day=None), "currency", 0),
    ],
)
def test_a_budget_is_spent_to_the_last_call_and_not_further(
    make_agent: Make, seller: SellerSim, budget: Budget, limit: str, calls: int
) -> None:
    agent = make_agent(budget=budget)
    for _ in range(calls):
        agent.get(URL)
    with pytest.raises(BudgetExceeded) as caught:
        agent.get(URL)
    assert caught.value.facts["limit"] == limit
    assert seller.served == calls


def test_the_day_ends_and_the_budget_begins_anew(
    make_agent: Make, seller: SellerSim, clock: Clock
) -> None:
    agent = make_agent(budget=Budget(per_day="0.0002 aiUSD"))
    agent.get(URL)
    agent.get(URL)
    with pytest.raises(BudgetExceeded):
        agent.get(URL)
    clock.now_ms += 86_400_000
    assert agent.get(URL).status == 200


def test_price_max_holds_for_one_call(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    with pytest.raises(BudgetExceeded, match="price_max"):
        agent.get(URL, price_max="0.00009 aiUSD")
    assert agent.get(URL, price_max="0.0001 aiUSD").status == 200
    assert seller.served == 1


def test_a_raised_price_is_paid_if_the_limits_allow(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.price = 300
    assert agent.get(URL).payment.charged.units == 300
    with pytest.raises(BudgetExceeded, match="price_max"):
        agent.get(URL, price_max="0.0002 aiUSD")
    assert seller.ledger.charged == 400


def let(request: Send) -> None:
    return None


def test_a_lost_answer_is_asked_for_again_and_charged_once(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lose_answer(seller), lose, let]
    assert agent.get(URL).status == 200
    assert (seller.served, len(seller.ledger.charges)) == (2, 2)
    ticks = {s.headers["Payment-Tick"] for s in seller.seen[-3:]}
    assert len(ticks) == 1


def test_a_silent_seller_leaves_an_unknown_call(make_agent: Make, seller: SellerSim) -> None:
    payments: list[Payment] = []
    agent = make_agent(on_payment=payments.append)
    agent.get(URL)
    seller.tricks = [lose_answer(seller)] * 50
    with pytest.raises(OutcomeUnknown):
        agent.get(URL, timeout_s=2)
    assert payments[-1].outcome is Outcome.UNKNOWN
    (unknown,) = agent.unknown_calls()
    assert (unknown.units, unknown.url) == (PRICE, URL)


def test_a_seller_that_was_never_reached_costs_nothing(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lose] * 50
    with pytest.raises(RailUnavailable, match="nothing was paid"):
        agent.get(URL, timeout_s=2)
    assert agent.unknown_calls() == []
    seller.tricks = []
    assert agent.get(URL).status == 200


def test_a_redirect_is_refused_with_a_payment(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lambda _: Reply(302, {"location": "http://thief.test/"}, b"")]
    with pytest.raises(RedirectRefused):
        agent.get(URL)
    assert all(s.url.startswith(ORIGIN) for s in seller.seen)


def test_a_forged_receipt_is_flagged(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    seller.forge_receipts = True
    answer = agent.get(URL)
    assert answer.payment.outcome is Outcome.UNKNOWN
    assert answer.payment.problem == "receipt-invalid"
    assert agent.receipts() == []
    assert len(agent.unknown_calls()) == 1


def test_a_receipt_above_the_tick_is_flagged(make_agent: Make, seller: SellerSim) -> None:
    seller.overcharge = 1
    assert make_agent().get(URL).payment.problem == "receipt-invalid"


def test_a_failed_handler_costs_nothing(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    seller.status = 500
    answer = agent.get(URL)
    assert (answer.status, answer.payment.outcome) == (500, Outcome.FAILED)
    assert (seller.ledger.charged, agent.spent.calls) == (0, 0)


def test_a_seller_that_never_has_enough_is_not_signed_more(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [refuse_with(seller, VoucherRequired("a million, please"))] * 200
    with pytest.raises(VoucherRequired):
        agent.get(URL)
    assert max(seller.ledger.vouchers) <= 2 * STEP


@pytest.mark.parametrize("error", [SessionExpired, ChannelUnknown, PaymentRequired])
def test_a_forgotten_session_is_opened_again(
    make_agent: Make, seller: SellerSim, error: type[AisaError]
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.ledger.sessions.clear()
    seller.tricks = [refuse_with(seller, error("forgotten"))]
    assert agent.get(URL).status == 200
    assert len(seller.ledger.sessions) == 1


def test_a_channel_closed_behind_our_back_is_replaced(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.ledger.is_open = False
    for channel in hub.channels.values():
        channel.state = "closing"
    assert agent.get(URL).status == 200
    assert len(hub.channels) == 2


def test_a_closed_lane_is_left_for_the_next(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    for lane in range(LANES_PER_SESSION + 2):
        seller.ledger.closed_lanes.add(lane)
        assert agent.get(URL).status == 200
    assert {lane for lane, _ in seller.ledger.charges} >= set(range(LANES_PER_SESSION))


def test_a_full_seller_is_waited_for(make_agent: Make, seller: SellerSim, clock: Clock) -> None:
    agent = make_agent()
    agent.get(URL)
    full = refuse_with(seller, CapExceeded("redeeming"))
    busy = Reply(503, {"retry-after": "1"}, b"")
    seller.tricks = [full, full, lambda _: busy]
    before = clock()
    assert agent.get(URL).status == 200
    assert clock() - before >= 1000
    seller.tricks = [full] * 500
    with pytest.raises(CapExceeded):
        agent.get(URL, timeout_s=5)


def test_a_refused_tick_is_not_tried_again(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    before = len(seller.seen)
    seller.tricks = [refuse_with(seller, TickRefused("no"))]
    with pytest.raises(TickRefused):
        agent.get(URL)
    assert len(seller.seen) == before + 1


def test_an_old_statement_is_replaced_before_a_session_is_shown(
    make_agent: Make, seller: SellerSim, clock: Clock
) -> None:
    agent = make_agent()
    agent.get(URL)
    clock.now_ms += 2 * 86_400_000
    assert agent.get(URL).status == 200
    assert len(seller.ledger.sessions) == 2


def test_close_channels_returns_what_was_not_spent(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    agent = make_agent()
    agent.get(URL)
    (closed,) = agent.close_channels()
    assert (closed.state, closed.redeemed.units) == ("closed", PRICE)
    assert agent.channels() == []
    assert agent.get(URL).status == 200
    assert len(hub.channels) == 2


def test_only_the_named_channels_are_closed(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    (one,) = agent.channels()
    assert agent.close_channels(only=[bytes(32)]) == ()
    assert [channel.state for channel in agent.channels()] == [ChannelState.OPEN]
    assert agent.get(URL).status == 200
    (closed,) = agent.close_channels(only=[one.channel])
    assert (closed.state, closed.redeemed.units) == ("closed", 2 * PRICE)


def test_a_silent_seller_is_closed_at_the_node(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.tricks = [lose] * 100
    (closed,) = agent.close_channels(wait_s=1)
    assert closed.state == "closing"


def test_a_seller_that_says_yes_and_never_redeems_is_closed_at_the_node(
    make_agent: Make, seller: SellerSim, hub: HubBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    agent.get(URL)
    monkeypatch.setattr(seller, "act", lambda _: {})
    (closed,) = agent.close_channels(wait_s=0.3)
    assert closed.state == "closing"
    assert [channel.state for channel in hub.channels.values()] == ["closing"]


async def test_32_calls_at_once_are_all_served_on_one_channel(
    make_async_agent: Callable[..., AsyncAgent], seller: SellerSim, hub: HubBook
) -> None:
    async with make_async_agent() as agent:
        answers = await asyncio.gather(*(agent.get(f"{URL}?n={n}") for n in range(320)))
    assert {answer.status for answer in answers} == {200}
    assert len(hub.channels) == 1
    assert len(seller.ledger.charges) == 320


async def test_a_cancelled_call_is_unknown(
    make_async_agent: Callable[..., AsyncAgent], seller: SellerSim
) -> None:
    async with make_async_agent() as agent:
        await agent.get(URL)
        forever = asyncio.Event()

        async def hang(request: Send) -> Reply | Lost:
            await forever.wait()
            raise AssertionError

        agent._driver._send = hang
        task = asyncio.create_task(agent.get(URL))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await agent.unknown_calls()) == 1


def test_a_forked_agent_refuses_to_pay(make_agent: Make) -> None:
    from aisa.sdk import desk

    agent = make_agent()
    desk._after_fork()
    with pytest.raises(StateConflict, match="forked"):
        agent.get(URL)
    agent._purse.fault = None


def test_two_agents_share_one_wallet(make_agent: Make, seller: SellerSim, tmp_path: Path) -> None:
    one, two = make_agent(), make_agent()
    for n in range(60):
        one.get(f"{URL}?a={n}")
        two.get(f"{URL}?b={n}")
    assert len(seller.ledger.charges) == 120
    assert len({lane for lane, _ in seller.ledger.charges}) == 2
    assert (tmp_path / "home" / "wallet.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_free_sibling_of_a_paid_path_is_learned(make_agent: Make, seller: SellerSim) -> None:
    payments: list[Payment] = []
    agent = make_agent(on_payment=payments.append)
    agent.get(URL)
    assert agent.get(ORIGIN + "/free").payment is None
    agent.get(ORIGIN + "/free")
    assert "Payment-Tick" not in seller.seen[-1].headers
    assert len(payments) == 1


def test_a_crowded_seller_is_asked_again(make_agent: Make, seller: SellerSim) -> None:
    seller.tricks = [lambda _: Reply(429, {"retry-after": "1"}, b"")] * 3
    assert make_agent().get(URL).status == 200


def test_a_callback_may_use_the_agent(make_agent: Make, seller: SellerSim) -> None:
    agents: list[Agent] = []
    agents.append(
        make_agent(on_payment=lambda payment: payment.seq == 1 and agents[0].get(URL + "?again"))
    )
    agents[0].get(URL)
    assert seller.served == 2


def test_a_session_of_a_dead_process_is_used_up(make_agent: Make, seller: SellerSim) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    second = make_agent()
    assert second.return_lanes() > 0
    assert second.get(URL).payment.lane == 1
    assert len(seller.ledger.sessions) == 1
