"""Transports that let a user's own httpx2 (or httpx) client pay.

`httpx2.Client(transport=PaymentTransport(agent))`: the client's redirects, cookies and hooks stay
its own. A request that is paid for is sent through `inner`, by default the library's own transport;
the response has the payment in `extensions["aisa_payment"]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

import httpx2

from aisa.money import Amount
from aisa.sdk.agent import Agent, place_of
from aisa.sdk.answer import Answer
from aisa.sdk.async_agent import AsyncAgent
from aisa.sdk.budget import amount_of
from aisa.sdk.call import Call, prepare_headers
from aisa.sdk.desk import TIMEOUT_S_DEFAULT
from aisa.sdk.step import Lost, Reply, Send

PAYMENT = "aisa_payment"


class PaymentTransport(httpx2.BaseTransport):
    """A transport for `httpx2.Client` or `httpx.Client` that pays with an agent's wallet.

    `price_max` is the most that one request may cost, below the agent's own budget. The agent is
    not closed with the transport.
    """

    def __init__(
        self,
        agent: Agent,
        inner: httpx2.BaseTransport | None = None,
        *,
        price_max: Amount | str | None = None,
    ) -> None:
        self._agent = agent
        self._inner: Any = inner
        self._price_max = None if price_max is None else amount_of(price_max)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and pay for it if the seller asks.

        Raises:
            AisaError: as `Agent.request`.
        """
        library = _library_of(request)
        if self._inner is None:
            self._inner = library.HTTPTransport()
        call = _call_of(request, request.read(), self._agent.clock(), self._price_max)

        def send(step: Send) -> Reply | Lost:
            try:
                response = self._inner.handle_request(_request_of(library, step, request))
                try:
                    content = b"".join(response.stream)
                finally:
                    response.close()
            except library.TransportError as error:
                return _lost(library, error)
            return _reply_of(response, content)

        return _response_of(library, self._agent.perform(call, send))

    def close(self) -> None:
        """Close the inner transport."""
        if self._inner is not None:
            self._inner.close()


class AsyncPaymentTransport(httpx2.AsyncBaseTransport):
    """A transport for `httpx2.AsyncClient` or `httpx.AsyncClient`; as `PaymentTransport`."""

    def __init__(
        self,
        agent: AsyncAgent,
        inner: httpx2.AsyncBaseTransport | None = None,
        *,
        price_max: Amount | str | None = None,
    ) -> None:
        self._agent = agent
        self._inner: Any = inner
        self._price_max = None if price_max is None else amount_of(price_max)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and pay for it if the seller asks.

        Raises:
            AisaError: as `AsyncAgent.request`.
        """
        library = _library_of(request)
        if self._inner is None:
            self._inner = library.AsyncHTTPTransport()
        call = _call_of(request, await request.aread(), self._agent.clock(), self._price_max)

        async def send(step: Send) -> Reply | Lost:
            try:
                sent = _request_of(library, step, request)
                response = await self._inner.handle_async_request(sent)
                try:
                    content = b"".join([chunk async for chunk in response.stream])
                finally:
                    await response.aclose()
            except library.TransportError as error:
                return _lost(library, error)
            return _reply_of(response, content)

        return _response_of(library, await self._agent.perform(call, send))

    async def aclose(self) -> None:
        """Close the inner transport."""
        if self._inner is not None:
            await self._inner.aclose()


def _library_of(request: httpx2.Request) -> Any:
    """Return the library that the caller's client is from; httpx is never imported before it is."""
    return importlib.import_module(type(request).__module__.partition(".")[0])


def _call_of(
    request: httpx2.Request, content: bytes, now_ms: int, price_max: Amount | None
) -> Call:
    # Content that is read is sent whole: its length replaces chunked coding.
    left_out = {"accept-encoding", "transfer-encoding"}
    headers = {n: v for n, v in request.headers.items() if n.lower() not in left_out}
    if content:
        headers["content-length"] = str(len(content))
    timeouts = cast("Mapping[str, float | None]", request.extensions.get("timeout", {}))
    seconds = timeouts.get("read") or TIMEOUT_S_DEFAULT
    return Call(
        request.method,
        place_of(request.url),
        prepare_headers(headers),
        content,
        now_ms + int(seconds * 1000),
        seconds,
        price_max,
    )


def _request_of(library: Any, step: Send, original: httpx2.Request) -> Any:
    extensions = {
        **original.extensions,
        "timeout": dict.fromkeys(("connect", "read", "write", "pool"), step.timeout_s),
    }
    return library.Request(
        step.method,
        step.native or step.url,
        headers=step.headers,
        content=step.content or None,
        extensions=extensions,
    )


def _lost(library: Any, error: Exception) -> Lost:
    never_sent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout)
    return Lost(is_sent=not isinstance(error, never_sent), reason=type(error).__name__)


def _reply_of(response: Any, content: bytes) -> Reply:
    challenges = tuple(response.headers.get_list("WWW-Authenticate"))
    return Reply(response.status_code, response.headers, content, challenges)


def _response_of(library: Any, answer: Answer) -> Any:
    extensions = {} if answer.payment is None else {PAYMENT: answer.payment}
    return library.Response(
        answer.status,
        headers=cast("Any", answer.headers),
        content=answer.content,
        extensions=extensions,
    )
