"""What the public names are to a type checker; read by `make check`, never run."""

from __future__ import annotations

from typing import assert_type

from fastapi import Depends, FastAPI

from aisa.errors import AisaError, BudgetExceeded
from aisa.money import AIUSD, Amount, parse_amount
from aisa.paywall import Paywall, PaywallMiddleware, TrustedHub, charge, paid
from aisa.sdk import Agent, Answer, AsyncAgent, Budget, Outcome, Payment, Quote, Receipt


def an_agent_pays_for_a_call() -> None:
    with Agent(budget=Budget(per_call="0.001 aiUSD", per_day="1 aiUSD")) as agent:
        assert_type(agent, Agent)
        answer = agent.get("http://127.0.0.1:8402/", price_max="0.0002 aiUSD")
        assert_type(answer, Answer)
        assert_type(answer.status, int)
        assert_type(answer.content, bytes)
        assert_type(answer.payment, Payment | None)
        if answer.payment is not None:
            assert_type(answer.payment.outcome, Outcome)
        assert_type(agent.quote("http://127.0.0.1:8402/"), Quote)
        assert_type(agent.receipts(), list[Receipt])


async def an_async_agent_is_the_same() -> None:
    async with AsyncAgent() as agent:
        assert_type(agent, AsyncAgent)
        assert_type(await agent.post("http://127.0.0.1:8402/", json={"a": 1}), Answer)


def an_error_says_what_to_do(error: BudgetExceeded) -> None:
    parent: AisaError = error
    assert_type(parent.status, int)
    assert_type(parent.hint, str)


def an_amount_is_exact() -> None:
    assert_type(parse_amount("0.0001 aiUSD"), Amount)
    assert_type(Amount(1, AIUSD) + Amount(2, AIUSD), Amount)


def a_seller_guards_an_application(app: FastAPI, seed: bytes) -> PaywallMiddleware:
    @app.get("/rate", dependencies=[Depends(paid("0.0001 aiUSD"))])
    async def rate() -> dict[str, str]:
        charge("0.00005 aiUSD")
        return {}

    hub = TrustedHub("http://127.0.0.1:8401", "aisa:key")
    paywall = Paywall("seller.sqlite", seed, origin="https://api.example", hubs=[hub])
    return PaywallMiddleware(app, paywall, {"GET /other": "0.0001 aiUSD"})
