"""`POST /v1/redemptions`: payees take what vouchers allow, in batches."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aisa.client.message import RedemptionClaim, RedemptionClaims, RedemptionResult
from aisa.node.exchange import reply, signed_message
from aisa.node.openapi import described
from aisa.node.services import Services


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["redemption"])
    results = tuple[RedemptionResult, ...]

    @routes.post(
        "/v1/redemptions",
        summary="Redeem vouchers; idempotent by channel and total, answers in order",
        **described(results, RedemptionClaims),
    )
    async def redeem(request: Request) -> Response:
        shape = cast("type[tuple[RedemptionClaim, ...]]", RedemptionClaims)
        key, claims = await signed_message(services, request, shape)
        return reply(await services.redemptions.redeem(key, claims))

    return routes
