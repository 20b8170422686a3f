"""`/v1/withdrawals`: how money goes out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aisa.client.message import (
    WithdrawalInfo,
    WithdrawalPage,
    WithdrawalQuote,
    WithdrawalQuoteRequest,
    WithdrawalRequest,
)
from aisa.node.exchange import (
    LIMIT_DEFAULT,
    After,
    Limit,
    caller_of,
    reply,
    signed_message,
)
from aisa.node.openapi import described
from aisa.node.services import Services
from aisa.payment.withdrawal_row import StoredWithdrawal
from aisa.payment.withdrawals import WithdrawalOrder


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["withdrawal"])

    @routes.post(
        "/v1/withdrawal-quotes",
        summary="What a withdrawal would cost now",
        **described(WithdrawalQuote, WithdrawalQuoteRequest),
    )
    async def quote(request: Request) -> Response:
        _, wanted = await signed_message(services, request, WithdrawalQuoteRequest)
        found = await services.withdrawals.quote(wanted.asset, wanted.units, wanted.destination)
        return reply(WithdrawalQuote(wanted.asset, wanted.units, found.total_units, found.time_s))

    @routes.post(
        "/v1/withdrawals",
        summary="Send money out; idempotent by id",
        **described(WithdrawalInfo, WithdrawalRequest),
    )
    async def withdraw(request: Request) -> Response:
        key, wanted = await signed_message(services, request, WithdrawalRequest)
        order = WithdrawalOrder(
            wanted.id, wanted.asset, wanted.units, wanted.destination, wanted.fee_units_max
        )
        stored = await services.withdrawals.order(key, order)
        if stored.row.is_open:
            wait_s = services.config.withdrawal_wait_ms / 1000
            await services.reconciler.carry_out(stored.row.record_id, wait_s)
            stored = await services.withdrawals.get(key, wanted.id)
        return reply(_withdrawal(stored))

    @routes.get("/v1/withdrawals/{id}", summary="One withdrawal", **described(WithdrawalInfo))
    async def withdrawal(request: Request, id: str) -> Response:  # noqa: A002 - the path's word
        key, _ = await caller_of(services, request)
        return reply(_withdrawal(await services.withdrawals.get(key, id)))

    @routes.get("/v1/withdrawals", summary="Withdrawals", **described(WithdrawalPage))
    async def withdrawals(
        request: Request, after: After = None, limit: Limit = LIMIT_DEFAULT
    ) -> Response:
        key, _ = await caller_of(services, request)
        found, next_after = await services.withdrawals.page(key, after, limit)
        return reply(WithdrawalPage(tuple(map(_withdrawal, found)), next_after))

    return routes


def _withdrawal(stored: StoredWithdrawal) -> WithdrawalInfo:
    row = stored.row
    return WithdrawalInfo(
        id=row.id,
        state=row.state,
        asset=row.asset,
        currency=row.currency,
        units=row.units,
        fee_units=row.fee_units + row.network_fee_units,
        destination=row.destination,
        at_ms=stored.at_ms,
        reference=row.reference,
        reason=row.reason,
    )
