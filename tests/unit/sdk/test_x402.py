"""The SDK pays sellers of the x402 world: once, within limits, and never a second time for one call."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aisa.channel.payer import Limits
from aisa.errors import (
    AisaError,
    AnswerGone,
    AnswerTooLarge,
    BudgetExceeded,
    ConfigInvalid,
    ExtraMissing,
    IdempotencyMismatch,
    InvalidRequest,
    MalformedMessage,
    NoCommonNode,
    OriginRefused,
    OutcomeUnknown,
    PaymentRequired,
    RailUnavailable,
    RedirectRefused,
)
from aisa.money import USDC, Amount
from aisa.protocol.aip import Hub
from aisa.protocol.x402 import PAYMENT_IDENTIFIER, PaymentIdentifier, PaymentPayload
from aisa.sdk import UNLIMITED, Agent, AsyncAgent, Budget, Outcome, Payment
from aisa.sdk.step import Lost, Reply
from tests.unit.sdk.market import Clock, SellerSim
from tests.unit.sdk.play import die
from tests.unit.sdk.x402_sim import (
    CONFIG,
    NETWORK,
    TOKEN,
    URL,
    X402Sim,
    refuse,
    settle,
    take_and_refuse,
)

Make = Callable[..., Agent]
LATER_MS = 1_500_000
"""After a transfer's expiry, and the time in which a chain might still turn back."""


@pytest.fixture
def sim(clock: Clock) -> X402Sim:
    return X402Sim(clock)


@pytest.fixture
def make(make_agent: Make, sim: X402Sim, tmp_path: Path) -> Make:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)

    def make_it(**options: Any) -> Agent:
        agent = make_agent(**options)
        agent._driver._send = sim.handle
        return agent

    return make_it


def spent(agent: Agent) -> int:
    wallet, now_ms = agent._purse.wallet, agent.clock()
    return wallet.spent("USDC", now_ms=now_ms).day


def lose(sim: X402Sim, payment: PaymentPayload) -> Lost:
    return Lost(is_sent=True, reason="cut")


def never_send(sim: X402Sim, payment: PaymentPayload) -> Lost:
    return Lost(is_sent=False, reason="gone")


def answer(status: int, content: bytes = b"served", **headers: str) -> Any:
    return lambda sim, payment: Reply(status, headers, content)


def test_a_call_is_paid_with_one_transfer(make: Make, sim: X402Sim) -> None:
    seen: list[Payment] = []
    agent = make(on_payment=seen.append)
    got = agent.get(URL)
    assert (got.status, got.content) == (200, b"served")
    payment = got.payment
    assert payment is not None
    assert (payment.outcome, payment.charged) == (Outcome.SETTLED, Amount(100, USDC))
    assert (payment.network, payment.asset) == (NETWORK, f"{NETWORK}/erc20:{TOKEN}")
    assert payment.transaction == "0x" + "ab" * 32
    assert payment.payee == bytes.fromhex("5e" * 20)
    assert seen == [payment]
    assert str(agent.spent) == "0.0001 USDC"
    assert (spent(agent), agent.unknown_calls()) == (100, [])
    agent.get(URL)
    assert len(set(sim.nonces)) == 2


def test_the_asynchronous_agent_pays_too(
    make: Make, make_async_agent: Callable[..., AsyncAgent], sim: X402Sim
) -> None:
    async def play() -> None:
        async with make_async_agent() as agent:

            async def handle(request: Any) -> Any:
                return sim.handle(request)

            agent._driver._send = handle
            answers = await asyncio.gather(*(agent.get(URL) for _ in range(4)))
            assert {one.status for one in answers} == {200}

    asyncio.run(play())
    assert len(set(sim.nonces)) == 4


def test_a_transfer_is_good_for_a_short_time(make: Make, sim: X402Sim, clock: Clock) -> None:
    sim.changes["max_timeout_s"] = 2**30
    make().get(URL)
    assert sim.expiries == [clock.now_ms // 1000 + 600]


def test_a_token_is_moved_by_permit2_where_its_owner_says_so(
    make: Make, sim: X402Sim, clock: Clock, tmp_path: Path
) -> None:
    config = tmp_path / "home" / "config.toml"
    config.write_text(CONFIG + 'method = "permit2"\n')
    agent = make()
    with pytest.raises(PaymentRequired, match="the owner allows permit2"):
        agent.get(URL)
    sim.changes = {"extra": {"assetTransferMethod": "permit2"}}
    assert agent.get(URL, call_id="a").status == 200
    sim.says = [take_and_refuse, lose]
    with pytest.raises(AnswerGone):
        agent.get(URL, call_id="b")
    with pytest.raises(OutcomeUnknown):
        agent.post(URL, call_id="c")
    clock.now_ms += LATER_MS
    assert agent.post(URL, call_id="c").status == 200
    assert (len(set(sim.nonces)), len(sim.used), spent(agent)) == (4, 3, 300)


def test_an_identifier_is_given_where_the_seller_wants_one(make: Make, sim: X402Sim) -> None:
    sim.extensions = {PAYMENT_IDENTIFIER: PaymentIdentifier(True).to_json(), "other": {"info": 1}}
    make().get(URL)
    extensions = sim.payments[0].extensions
    assert extensions is not None
    assert extensions["other"] == {"info": 1}
    named = PaymentIdentifier.read(extensions)
    assert named is not None
    assert named.id == f"aisa-{sim.nonces[0][2:]}"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"network": "eip155:1"}, PaymentRequired),
        ({"asset": "0x" + "37" * 20}, PaymentRequired),
        ({"scheme": "upto"}, PaymentRequired),
        (
            {"extra": {"name": "USDC", "version": "2", "assetTransferMethod": "permit2"}},
            PaymentRequired,
        ),
        ({"extra": {"name": "Other", "version": "2"}}, PaymentRequired),
        ({"extra": {"name": "USDC", "version": "1"}}, PaymentRequired),
        ({"extra": None}, MalformedMessage),
        ({"pay_to": "0x5e"}, MalformedMessage),
        ({"pay_to": "0x" + "00" * 20}, MalformedMessage),
        ({"amount": 0}, MalformedMessage),
        ({"max_timeout_s": 0}, MalformedMessage),
        ({"amount": 10_001}, BudgetExceeded),
        ({"amount": 2**80}, BudgetExceeded),
    ],
)
def test_what_is_not_allowed_is_not_paid(
    make: Make, sim: X402Sim, changes: dict[str, Any], error: type[AisaError]
) -> None:
    sim.changes = changes
    agent = make()
    with pytest.raises(error):
        agent.get(URL)
    assert (sim.payments, spent(agent)) == ([], 0)


def test_nothing_is_paid_unless_it_is_configured(make: Make, sim: X402Sim, tmp_path: Path) -> None:
    (tmp_path / "home" / "config.toml").write_text("")
    with pytest.raises(PaymentRequired, match=NETWORK) as told:
        make().get(URL)
    assert "agent.x402" in (told.value.hint or "")
    assert sim.payments == []


def test_limits_hold_before_anything_is_signed(make: Make, sim: X402Sim) -> None:
    agent = make(budget=Budget("0.00005 USDC", None, None))
    with pytest.raises(BudgetExceeded, match="per_call"):
        agent.get(URL)
    with pytest.raises(BudgetExceeded, match="price_max"):
        make().get(URL, price_max="0.00009 USDC")
    with pytest.raises(BudgetExceeded, match="price_max"):
        make().get(URL, price_max="1 aiUSD")
    other = make()
    for _ in range(4):
        other.get(URL)
    with pytest.raises(BudgetExceeded) as told:
        other.get(URL)
    assert told.value.facts["limit"] == "per_day"
    assert len(sim.payments) == 4


@pytest.mark.parametrize("url", ["http://other.test/paid", "http://seller.test/else", "http://["])
def test_a_bill_for_something_else_is_refused(make: Make, sim: X402Sim, url: str) -> None:
    sim.resource = url
    with pytest.raises((OriginRefused, InvalidRequest)):
        make().get(URL)
    assert sim.payments == []


@pytest.mark.parametrize("url", [None, URL, URL + "?a=1", "https://seller.test/paid"])
def test_a_bill_for_this_call_is_paid(make: Make, sim: X402Sim, url: str | None) -> None:
    sim.resource = url
    assert make().get(URL).status == 200


def test_another_address_is_the_owners_to_accept(make: Make, sim: X402Sim) -> None:
    agent = make()
    agent.get(URL)
    sim.pay_to = "0x" + "66" * 20
    with pytest.raises(OriginRefused, match="another address"):
        agent.get(URL)
    assert len(sim.payments) == 1
    assert agent.accept_payee(URL) == bytes.fromhex("66" * 20)
    assert agent.get(URL).status == 200


def test_a_quote_says_what_it_would_cost(make: Make, sim: X402Sim) -> None:
    sim.amount = 20_000
    quote = make().quote(URL)
    assert (str(quote.price), quote.networks, quote.node) == ("0.02 USDC", (NETWORK,), None)
    assert sim.payments == []


def test_a_refused_transfer_stays_counted_and_is_sent_again(
    make: Make, sim: X402Sim, clock: Clock
) -> None:
    sim.says = [refuse, refuse]
    agent = make()
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="nonce_already_used"):
            agent.get(URL)
    assert agent.get(URL).status == 200
    assert len(sim.nonces) == 3
    assert len(set(sim.nonces)) == 1
    assert spent(agent) == 100
    assert agent.get(URL).status == 200
    assert len(set(sim.nonces)) == 2


@pytest.mark.parametrize(
    ("status", "reason", "hint"),
    [
        (402, "insufficient_funds", "send tokens to 0x"),
        (412, "permit2_allowance_required", "aisa wallet approve"),
    ],
)
def test_a_refusal_says_what_is_missing(
    make: Make, sim: X402Sim, status: int, reason: str, hint: str
) -> None:
    sim.says = [answer(status, **{"payment-response": sim.word(success=False, reason=reason)})]
    agent = make()
    with pytest.raises(OutcomeUnknown, match=reason) as told:
        agent.get(URL)
    assert hint in (told.value.hint or "")
    assert agent.get(URL).status == 200
    assert len(set(sim.nonces)) == 1


def test_a_call_with_an_id_is_paid_once(make: Make, sim: X402Sim) -> None:
    agent = make()
    assert agent.get(URL, call_id="a").status == 200
    with pytest.raises(AnswerGone, match="paid for"):
        agent.get(URL, call_id="a")
    assert len(set(sim.nonces)) == 1
    assert spent(agent) == 100
    sim.says = [answer(200, b"kept")]
    again = agent.get(URL, call_id="a")
    assert again.content == b"kept"
    assert again.payment is not None
    assert again.payment.outcome is Outcome.SETTLED
    assert str(agent.spent) == "0.0001 USDC"
    with pytest.raises(IdempotencyMismatch):
        agent.get(URL + "?other", call_id="a")


def test_it_is_paid_once_though_the_seller_says_that_it_failed(make: Make, sim: X402Sim) -> None:
    sim.says = [take_and_refuse]
    agent = make()
    with pytest.raises(AnswerGone, match="gives no answer"):
        agent.get(URL, call_id="a")
    with pytest.raises(AnswerGone):
        agent.get(URL, call_id="a")
    assert (len(sim.used), spent(agent)) == (1, 100)
    assert agent.unknown_calls() == []
    sim.rpc_down = True
    sim.says = [take_and_refuse]
    with pytest.raises(OutcomeUnknown):
        agent.get(URL, call_id="b")
    with pytest.raises(OutcomeUnknown):
        agent.get(URL, call_id="b")
    assert len(sim.used) == 2
    (unknown,) = agent.unknown_calls()
    assert (unknown.call_id, unknown.units, unknown.currency) == ("b", 100, "USDC")


def test_a_call_that_was_lost_after_it_was_paid_is_made_anew(make: Make, sim: X402Sim) -> None:
    """Without an id; the chain proves that the first transfer is used, so a second one is safe."""

    def take_and_lose(sim: X402Sim, payment: PaymentPayload) -> Lost:
        settle(sim, payment)
        return Lost(is_sent=True, reason="cut")

    sim.says = [take_and_lose]
    agent = make()
    with pytest.raises(OutcomeUnknown):
        agent.post(URL, content=b"x")
    assert agent.post(URL, content=b"x").status == 200
    assert len(set(sim.nonces)) == 2
    assert (spent(agent), agent.unknown_calls()) == (200, [])


def test_a_dead_transfer_gives_its_units_back(make: Make, sim: X402Sim, clock: Clock) -> None:
    sim.says = [lose]
    agent = make()
    with pytest.raises(OutcomeUnknown):
        agent.post(URL, call_id="a")
    clock.now_ms += LATER_MS
    assert agent.post(URL, call_id="a").status == 200
    assert len(set(sim.nonces)) == 2
    assert (spent(agent), agent.unknown_calls()) == (100, [])


def test_dead_transfers_make_room_when_the_budget_is_full(
    make: Make, sim: X402Sim, clock: Clock
) -> None:
    sim.says = [lose] * 4
    agent = make()
    for n in range(4):
        with pytest.raises(OutcomeUnknown):
            agent.post(f"{URL}?n={n}")
    with pytest.raises(BudgetExceeded):
        agent.post(f"{URL}?n=9")
    clock.now_ms += LATER_MS
    sim.rpc_down = True
    with pytest.raises(BudgetExceeded):
        agent.post(f"{URL}?n=9")
    sim.rpc_down = False
    assert agent.post(f"{URL}?n=9").status == 200
    assert spent(agent) == 100


def test_an_expired_transfer_is_not_paid_again_without_proof(
    make: Make, sim: X402Sim, clock: Clock
) -> None:
    sim.says = [lose]
    agent = make()
    with pytest.raises(OutcomeUnknown):
        agent.post(URL, call_id="a")
    clock.now_ms += 400_000
    with pytest.raises(OutcomeUnknown, match="expired"):
        agent.post(URL, call_id="a")
    assert len(sim.payments) == 1


def test_what_never_left_is_not_counted(make: Make, sim: X402Sim) -> None:
    sim.says = [never_send] * 99
    agent = make()
    with pytest.raises(RailUnavailable, match="nothing was paid"):
        agent.get(URL, call_id="a", timeout_s=3)
    assert (spent(agent), agent.unknown_calls()) == (0, [])
    sim.says = []
    assert agent.get(URL, call_id="a").status == 200


def test_a_get_is_repeated_with_the_same_transfer(make: Make, sim: X402Sim) -> None:
    sim.says = [lose, never_send]
    assert make().get(URL).status == 200
    assert len(sim.nonces) == 3
    assert len(set(sim.nonces)) == 1


def test_a_crash_leaves_the_transfer_to_the_next_process(make: Make, sim: X402Sim) -> None:
    first = make()

    def crash(sim: X402Sim, payment: PaymentPayload) -> Reply:
        raise KeyboardInterrupt

    for call_id in (None, "a"):
        sim.says = [crash]
        with pytest.raises(KeyboardInterrupt):
            first.get(URL, call_id=call_id)
    die(first)
    second = make()
    assert len(second.unknown_calls()) == 2
    assert second.get(URL).status == 200
    assert second.get(URL, call_id="a").status == 200
    assert len(set(sim.nonces)) == 2
    assert (spent(second), second.unknown_calls()) == (200, [])


def test_calls_at_the_same_time_have_transfers_of_their_own(make: Make, sim: X402Sim) -> None:
    agent = make()

    def meanwhile(sim: X402Sim, payment: PaymentPayload) -> Reply:
        assert agent.get(URL).status == 200
        return settle(sim, payment)

    sim.says = [meanwhile]
    assert agent.get(URL).status == 200
    assert len(set(sim.nonces)) == 2


def test_threads_do_not_take_over_one_transfer_twice(make: Make, sim: X402Sim) -> None:
    agent = make(budget=UNLIMITED)
    agent._purse.x402 = tuple(replace(one, limits=Limits()) for one in agent._purse.x402)
    sim.says = [refuse]
    with pytest.raises(OutcomeUnknown):
        agent.get(URL)
    everyone = threading.Barrier(8, timeout=10)

    def together(sim: X402Sim, payment: PaymentPayload) -> Reply:
        everyone.wait()
        return settle(sim, payment)

    sim.says = [together] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: agent.get(URL), range(8)))
    assert {one.status for one in answers} == {200}
    assert (len(sim.nonces), len(set(sim.nonces))) == (9, 8)
    assert sim.nonces.count(sim.nonces[0]) == 2, "one of them took over what was refused"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_without_a_word_of_the_payment_is_unknown(
    make: Make, sim: X402Sim, status: int
) -> None:
    sim.says = [answer(status)]
    agent = make()
    got = agent.get(URL)
    assert got.status == status
    assert got.payment is not None
    assert (got.payment.outcome, spent(agent)) == (Outcome.UNKNOWN, 100)
    assert len(agent.unknown_calls()) == 1
    agent.get(URL)
    assert len(set(sim.nonces)) == (2 if status == 200 else 1)


@pytest.mark.parametrize("header", ["!", "e30="])
def test_a_word_that_cannot_be_read_is_none(make: Make, sim: X402Sim, header: str) -> None:
    sim.says = [answer(200, **{"payment-response": header})]
    got = make().get(URL)
    assert got.payment is not None
    assert got.payment.outcome is Outcome.UNKNOWN


def test_a_word_about_another_network_is_none(make: Make, sim: X402Sim) -> None:
    word = sim.word(success=True, network="eip155:1")
    sim.says = [answer(200, **{"payment-response": word})]
    got = make().get(URL)
    assert got.payment is not None
    assert got.payment.outcome is Outcome.UNKNOWN


def test_a_gateway_that_lost_the_seller_leaves_the_call_to_be_repeated(
    make: Make, sim: X402Sim
) -> None:
    sim.says = [answer(504)]
    agent = make()
    with pytest.raises(OutcomeUnknown, match="gateway"):
        agent.get(URL, call_id="a")
    assert agent.get(URL, call_id="a").status == 200
    assert len(set(sim.nonces)) == 1


def test_a_payment_is_not_carried_to_another_address(make: Make, sim: X402Sim) -> None:
    sim.says = [answer(302, location="http://other.test/")]
    agent = make()
    with pytest.raises(RedirectRefused):
        agent.get(URL)
    assert spent(agent) == 100
    assert len(agent.unknown_calls()) == 1


def test_a_long_answer_says_what_was_paid(make: Make, sim: X402Sim) -> None:
    def long(sim: X402Sim, payment: PaymentPayload) -> Reply:
        return Reply(200, {"payment-response": sim.word(success=True)}, b"", is_cut=True)

    sim.says = [long]
    with pytest.raises(AnswerTooLarge) as told:
        make().get(URL)
    assert (told.value.facts["outcome"], told.value.facts["charged_units"]) == ("settled", 100)


def test_a_channel_is_preferred_where_it_can_pay(
    make: Make, sim: X402Sim, seller: SellerSim
) -> None:
    def both(request: Any) -> Any:
        reply = seller.handle(request)
        if isinstance(reply, Reply) and reply.status == 402 and request.url == URL:
            return Reply(402, {**reply.headers, **sim.asks()}, reply.content, reply.challenges)
        return reply

    agent = make()
    agent._driver._send = both
    got = agent.get(URL)
    assert got.payment is not None
    assert (str(got.payment.charged), got.payment.network) == ("0.0001 aiUSD", "")


def test_a_transfer_pays_where_no_channel_can(
    make: Make, sim: X402Sim, seller: SellerSim, tmp_path: Path
) -> None:
    seller.hubs = tuple(Hub("hub:" + "A" * 43, 5000) for _ in range(1))
    sim.challenges = challenges_of(seller)
    agent = make()
    assert agent.get(URL).status == 200
    sim.changes = {"network": "eip155:1"}
    with pytest.raises(NoCommonNode):
        agent.get(URL)
    assert len(sim.payments) == 1


def challenges_of(seller: SellerSim) -> tuple[str, ...]:
    from aisa.sdk.step import Send

    reply = seller.handle(Send("GET", URL, {}, b"", 1))
    assert isinstance(reply, Reply)
    return reply.challenges


def test_packages_are_asked_for_when_they_are_needed(
    make: Make, sim: X402Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aisa.identity import evm_key
    from aisa.protocol import evm_address, keccak

    agent = make()
    asks = sim.asks()
    monkeypatch.setattr(sim, "asks", lambda: asks)
    for cached in (evm_key._coincurve, keccak._hash):
        cached.cache_clear()
    for cached in (evm_address.format_address, evm_address.parse_address):
        cached.cache_clear()
    from aisa.sdk import purse

    purse.agent_evm_key.cache_clear()
    monkeypatch.setitem(sys.modules, "coincurve", None)
    monkeypatch.setitem(sys.modules, "sha3", None)
    with pytest.raises(ExtraMissing, match="EVM") as told:
        agent.get(URL)
    assert told.value.hint
    assert sim.payments == []


def test_a_token_that_is_no_longer_allowed_is_not_signed_for(
    make: Make, sim: X402Sim, tmp_path: Path
) -> None:
    sim.says = [refuse]
    first = make()
    with pytest.raises(OutcomeUnknown):
        first.get(URL, call_id="a")
    (tmp_path / "home" / "config.toml").write_text("")
    with pytest.raises(ConfigInvalid, match="not allowed now"):
        make().get(URL, call_id="a")
    assert len(sim.payments) == 1


def test_a_budget_counts_in_its_currency_whatever_the_token_counts(make: Make) -> None:
    (asset,) = make()._purse.x402
    assert asset.units(100) == 100
    assert replace(asset, scale=18).units(10**12 + 1) == 2
    assert replace(asset, scale=2).units(3) == 30_000
