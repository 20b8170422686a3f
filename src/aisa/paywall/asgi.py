"""The few ASGI types and messages that the paywall speaks; no framework is needed for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from aisa.errors import (
    AisaError,
    BodyTooLarge,
    BodyTooSlow,
    CapExceeded,
    RailUnavailable,
    RateLimited,
    SettlementPending,
    StoreUnavailable,
)
from aisa.protocol.problem import CONTENT_TYPE, problem_of

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"
HeaderList: TypeAlias = "list[tuple[bytes, bytes]]"

BODY_TIMEOUT_S: Final = 30.0
_WAIT: Final = (CapExceeded, RailUnavailable, RateLimited, SettlementPending, StoreUnavailable)
EXPOSED: Final = (
    b"access-control-expose-headers",
    b"WWW-Authenticate, Payment-Receipt, PAYMENT-REQUIRED, PAYMENT-RESPONSE, Retry-After",
)
ALLOWED: Final = (
    b"access-control-allow-headers",
    b"Content-Type, Payment-Tick, Payment-Voucher, Payment-Authorization, Accept-Payment,"
    b" PAYMENT-SIGNATURE",
)


class Disconnected(Exception):
    """The client went away while its request was being read."""


async def send_bytes(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: AisaError, headers: HeaderList) -> None:
    """Send an error as a problem; it is never to be cached."""
    own: HeaderList = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"cache-control", b"no-store"),
    ]
    if isinstance(error, _WAIT):
        own.append((b"retry-after", str(error.facts.get("retry_after_s", 1)).encode()))
    if isinstance(error, BodyTooSlow):
        own.append((b"connection", b"close"))
    await send_bytes(send, error.status, [*own, *headers], problem_of(error).encode())


async def read_body(
    receive: Receive, bytes_max: int, declared: bytes | None, timeout_s: float = BODY_TIMEOUT_S
) -> bytes:
    """Return the whole body of a request.

    Raises:
        BodyTooLarge: it is longer than `bytes_max`, or says so; the rest is not read.
        BodyTooSlow: it did not come within `timeout_s`; the rest is not read.
        Disconnected: the client went away.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise BodyTooLarge(f"the body is longer than {bytes_max} bytes")
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_parts(receive, bytes_max)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not come within {timeout_s:g} s") from error


async def _read_parts(receive: Receive, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise BodyTooLarge(f"the body is longer than {bytes_max} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if len(parts) > 1 else part


class ReadAgain:
    """Gives a body that was read once more to the application, and then what comes after it."""

    __slots__ = ("_body", "_receive")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the next message."""
        body = self._body
        if body is None:
            return await self._receive()
        self._body = None
        return {"type": "http.request", "body": body, "more_body": False}
