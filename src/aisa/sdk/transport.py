"""The transport that lets a user's own httpx2 (or httpx) client pay.

`httpx2.Client(transport=PaymentTransport(agent))`: the client's redirects, cookies and hooks stay
its own. A request that is paid for is sent through `inner`, by default the library's own transport;
the response has the payment in `extensions["aisa_payment"]`.
"""

from __future__ import annotations

from typing import Any

import httpx2

from aisa.money import Amount
from aisa.sdk.agent import Agent
from aisa.sdk.bounded import read_chunks
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
        library = library_of(request)
        if self._inner is None:
            self._inner = library.HTTPTransport()
        call = call_of(request, request.read(), self._agent.clock(), self._price_max)

        def send(step: Send) -> Reply | Lost:
            try:
                response = self._inner.handle_request(request_of(library, step, request))
                try:
                    content = read_chunks(response.stream, self._agent.answer_bytes_max)
                finally:
                    response.close()
            except library.TransportError as error:
                return lost(library, error)
            return reply_of(response, content)

        return response_of(library, self._agent.perform(call, send))

    def close(self) -> None:
        """Close the inner transport."""
        if self._inner is not None:
            self._inner.close()
