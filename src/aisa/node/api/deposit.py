"""`/v1/deposit-addresses` and `/v1/deposits`: how money comes in."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aisa.client.message import (
    DepositAddress,
    DepositAddressRequest,
    DepositInfo,
    DepositPage,
)
from aisa.errors import NotFound
from aisa.node.exchange import (
    LIMIT_DEFAULT,
    After,
    Limit,
    caller_of,
    peer_of,
    reply,
    signed_message,
)
from aisa.node.openapi import described
from aisa.node.services import Services
from aisa.payment.deposits import StoredDeposit


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["deposit"])

    @routes.post(
        "/v1/deposit-addresses",
        summary="Where to pay an asset to; always the same address for one key",
        **described(DepositAddress, DepositAddressRequest),
    )
    async def deposit_address(request: Request) -> Response:
        key, wanted = await signed_message(services, request, DepositAddressRequest)
        rail = services.rail_of(wanted.asset)
        if rail is None:
            raise NotFound(f"no network of this node carries {wanted.asset}", field="asset")
        token = services.withdrawals.token_of(wanted.asset)
        given = await services.deposit_desk.give(rail, token, key, peer_of(request))
        return reply(DepositAddress(rail.network, token.asset, given.address))

    @routes.get("/v1/deposits", summary="What came in", **described(DepositPage))
    async def deposits(
        request: Request, after: After = None, limit: Limit = LIMIT_DEFAULT
    ) -> Response:
        key, _ = await caller_of(services, request)
        found, next_after = await services.deposits.page(key, after, limit)
        return reply(DepositPage(tuple(map(_deposit, found)), next_after))

    return routes


def _deposit(stored: StoredDeposit) -> DepositInfo:
    row = stored.row
    return DepositInfo(
        id=row.id,
        asset=row.asset,
        currency=row.currency,
        units=row.units,
        fee_units=row.fee_units,
        state=row.state,
        reference=row.reference,
        at_ms=stored.at_ms,
        reason=row.reason,
    )
