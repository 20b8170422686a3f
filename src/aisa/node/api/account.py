"""`/v1/account`: balances and history of the key that signs. A key is an account from its first use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from aisa.client.message import (
    AccountInfo,
    BalanceInfo,
    Direction,
    TransferInfo,
    TransferPage,
    TransferReceipt,
)
from aisa.ledger import Entry
from aisa.node.exchange import LIMIT_DEFAULT, Limit, caller_of, reply
from aisa.node.openapi import described
from aisa.node.services import Services
from aisa.payment import names

Before = Annotated[int | None, Query(ge=0, lt=2**53, description="the last page's next_before")]


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/account", tags=["account"])

    @routes.get("", summary="Balances", **described(AccountInfo))
    async def account(request: Request) -> Response:
        key, _ = await caller_of(services, request)
        balances: list[BalanceInfo] = []
        for terms in services.terms.all:
            code = terms.currency.code
            balance = await services.store.balance(names.customer(key, code))
            balances.append(BalanceInfo(code, balance.units, balance.available))
        return reply(AccountInfo(key, tuple(balances)))

    @routes.get("/transfers", summary="History, newest first", **described(TransferPage))
    async def transfers(
        request: Request, currency: str, before: Before = None, limit: Limit = LIMIT_DEFAULT
    ) -> Response:
        key, _ = await caller_of(services, request)
        code = services.terms.of(currency).currency.code
        account = names.customer(key, code)
        entries = await services.store.history(account, before, limit)
        page = tuple(_transfer(entry, account) for entry in entries)
        return reply(TransferPage(page, entries[-1].seq if len(entries) == limit else None))

    @routes.get(
        "/transfers/{id}/receipt",
        summary="The node's signed word on one line of the history",
        **described(TransferReceipt),
    )
    async def receipt(
        request: Request,
        id: str,  # noqa: A002 - the path's word
        currency: str,
    ) -> Response:
        key, _ = await caller_of(services, request)
        return reply(await services.receipts.of(key, id, currency))

    return routes


def _transfer(entry: Entry, account: str) -> TransferInfo:
    comes_in = entry.credit == account
    return TransferInfo(
        seq=entry.seq,
        id=entry.id,
        kind=entry.kind.name.lower(),
        code=entry.code,
        currency=entry.currency,
        units=entry.units,
        direction=Direction.IN if comes_in else Direction.OUT,
        counterparty=entry.debit if comes_in else entry.credit,
        reference=entry.reference,
        at_ms=entry.at_ms,
    )
