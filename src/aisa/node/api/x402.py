"""`/x402/supported`, `/x402/verify`, `/x402/settle`: the facilitator that x402 sellers talk to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aisa.errors import InvalidRequest, NotAllowed, NotFound, RateLimited
from aisa.node.exchange import caller_of, peer_of, read_body
from aisa.node.services import Services
from aisa.payment.facilitator import KEY_CHARS_MAX
from aisa.paywall.limiter import peer_name
from aisa.protocol.x402 import FacilitatorRequest
from aisa.protocol.x402.batch import BATCH

IDEMPOTENCY_KEY: Final = "idempotency-key"


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["x402"])
    exact, batch = services.facilitator, services.batch_facilitator

    @routes.get(
        "/x402/supported",
        summary="Schemes and networks that payments are settled on",
        **_described(),
    )
    async def supported() -> Response:
        _check_offered(services)
        told = exact.supported()
        return _reply(replace(told, kinds=(*told.kinds, *batch.kinds())).encode())

    @routes.post(
        "/x402/verify", summary="Whether a payment would go through now", **_described(asks=True)
    )
    async def verify(request: Request) -> Response:
        asked = await _asked(services, request)
        facilitator = batch if asked.requirements.scheme == BATCH else exact
        return _reply((await facilitator.verify(asked)).encode())

    @routes.post(
        "/x402/settle",
        summary="Carry a payment out, once; Idempotency-Key makes it safe to repeat",
        **_described(asks=True),
    )
    async def settle(request: Request) -> Response:
        asked = await _asked(services, request)
        key = request.headers.get(IDEMPOTENCY_KEY, "")
        if len(key) > KEY_CHARS_MAX or not key.isprintable() or not key.isascii():
            raise InvalidRequest(f"Idempotency-Key is at most {KEY_CHARS_MAX} printed characters")
        facilitator = batch if asked.requirements.scheme == BATCH else exact
        return _reply((await facilitator.settle(asked, key)).encode())

    return routes


async def _asked(services: Services, request: Request) -> FacilitatorRequest:
    _check_offered(services)
    wait_s = services.facilitations.take(peer_name(peer_of(request)), services.clock())
    if wait_s:
        raise RateLimited("too many payments from this address", retry_after_s=wait_s)
    if services.config.facilitator == "open":
        body = await read_body(request, services.config.body_bytes_max)
    else:
        key, body = await caller_of(services, request)
        if not await services.authenticator.is_known(key):
            raise NotAllowed(
                "payments are settled for keys that have money or a channel here",
                hint="deposit something, or ask the operator to set facilitator = 'open'",
            )
    return FacilitatorRequest.parse(body)


def _check_offered(services: Services) -> None:
    if services.config.facilitator == "off" or not services.pulls:
        raise NotFound("this node settles no x402 payments", hint="it needs an evm rail for that")


def _reply(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


def _described(*, asks: bool = False) -> dict[str, Any]:
    """How the routes look in OpenAPI: their bodies are x402's own, so they are plain objects."""
    content = {"application/json": {"schema": {"type": "object"}}}
    extra: dict[str, Any] = {"security": []}
    if asks:
        extra["requestBody"] = {"required": True, "content": content}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "response_model": None,
        "openapi_extra": extra,
        "responses": {
            200: {"description": "x402's own object", "content": content},
            "default": {"description": "A problem", "content": problem},
        },
    }
