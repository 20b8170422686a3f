"""The transport that lets a user's own asynchronous httpx2 (or httpx) client pay."""

from __future__ import annotations

from typing import Any

import httpx2

from aisa.money import Amount
from aisa.sdk.async_agent import AsyncAgent
from aisa.sdk.bounded import read_chunks_async
from aisa.sdk.budget import amount_of
from aisa.sdk.foreign_client import (
    call_of,
    library_of,
    lost,
    reply_of,
    request_of,
    response_of,
)
from aisa.sdk.step import Lost, Reply, Send


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
        library = library_of(request)
        if self._inner is None:
            self._inner = library.AsyncHTTPTransport()
        call = call_of(request, await request.aread(), self._agent.clock(), self._price_max)

        async def send(step: Send) -> Reply | Lost:
            try:
                sent = request_of(library, step, request)
                response = await self._inner.handle_async_request(sent)
                try:
                    bytes_max = self._agent.answer_bytes_max
                    content = await read_chunks_async(response.stream, bytes_max)
                finally:
                    await response.aclose()
            except library.TransportError as error:
                return lost(library, error)
            return reply_of(response, content)

        return response_of(library, await self._agent.perform(call, send))

    async def aclose(self) -> None:
        """Close the inner transport."""
        if self._inner is not None:
            await self._inner.aclose()
