"""`GET /v1/node`, `/v1/solvency` and `/healthz`: what anyone may know."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from aisa.client.message import NodeInfo, SolvencyInfo
from aisa.errors import RailUnavailable
from aisa.node.exchange import reply
from aisa.node.openapi import described
from aisa.node.services import Services


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["node"])

    @routes.get("/v1/node", summary="Who this node is", **described(NodeInfo, signed=False))
    async def node() -> Response:
        return reply(services.info())

    @routes.get(
        "/v1/solvency",
        summary="The last comparison of what is owed with what is held",
        **described(SolvencyInfo, signed=False),
    )
    async def solvency() -> Response:
        last = services.solvency.last
        if last is None:
            raise RailUnavailable("holdings were not compared yet", hint="ask again in a moment")
        return reply(last)

    @routes.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return JSONResponse({"ok": True, "withdrawals_open": services.are_withdrawals_open})

    return routes
