"""Every error leaves as a problem (RFC 9457), those of the framework too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aisa.errors import (
    AisaError,
    Internal,
    InvalidRequest,
    LedgerStopped,
    NotFound,
    Unauthenticated,
)
from aisa.protocol.problem import CONTENT_TYPE, Problem, problem_of

_log = logging.getLogger("aisa.node")


def install(app: FastAPI, on_ledger_stopped: Callable[[], None]) -> None:
    """Answer every error of the application with a problem, and tell of a ledger that stopped."""

    async def deliberate(request: Request, error: Exception) -> Response:
        if isinstance(error, LedgerStopped):
            on_ledger_stopped()
        return await _deliberate(request, error)

    app.add_exception_handler(AisaError, deliberate)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(Exception, _unforeseen)


async def _deliberate(request: Request, error: Exception) -> Response:
    assert isinstance(error, AisaError)
    if isinstance(error, Internal):
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return respond(error)


async def _invalid(_: Request, error: Exception) -> Response:
    first = cast("list[dict[str, Any]]", cast("RequestValidationError", error).errors())[0]
    field = str(first["loc"][-1])
    return respond(InvalidRequest(f"{field}: {first['msg']}", field=field))


async def _framework(request: Request, error: Exception) -> Response:
    failure = cast("HTTPException", error)
    if failure.status_code == 404:
        return respond(NotFound(f"there is no {request.url.path[:200]} here"))
    detail = str(failure.detail)
    problem = Problem("about:blank", detail, failure.status_code, f"{request.method}: {detail}")
    return _response(problem, dict(failure.headers or {}))


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return respond(Internal("the node failed in a way that nobody foresaw; it is logged"))


def respond(error: AisaError) -> Response:
    """Return the response that says this error."""
    headers: dict[str, str] = {}
    retry_after_s = error.facts.get("retry_after_s")
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Signature realm="aisa"'
    return _response(problem_of(error), headers)


def _response(problem: Problem, headers: dict[str, str]) -> Response:
    return Response(
        problem.encode(),
        problem.status,
        {**headers, "cache-control": "no-store"},
        CONTENT_TYPE,
    )
