"""The answer of a call that an x402 payment pays for: held back until the payment has settled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from aisa import faults
from aisa.channel.sale import SaleRow
from aisa.errors import AisaError
from aisa.paywall.answer import declared_size, is_charged, pack_answer
from aisa.paywall.asgi import HeaderList, Message, Send
from aisa.paywall.price import Price
from aisa.paywall.sale_desk import Unsettled

HELD_BYTES_MAX: Final = 1024 * 1024
_START: Final = "http.response.start"
_BODY: Final = "http.response.body"


class Conclude(Protocol):
    """Has the sale settled, or its answer written if it was paid before."""

    def __call__(self, status: int, answer: bytes, /) -> Awaitable[SaleRow]:
        """Return the sale as it is then."""
        ...


class HeldAnswer:
    """The `send` that the handler gets; `paid` is the sale if it settled before the handler ran.

    A whole answer of at most 1 MiB is written with the sale, and sent once that has settled. One
    that is longer, or comes in pieces without saying its length, has the sale settled when it
    starts, and is not kept. An answer that is not charged for passes through, and settles nothing.
    """

    def __init__(
        self,
        conclude: Conclude,
        refuse: Callable[[AisaError, HeaderList], Awaitable[None]],
        send: Send,
        price: Price,
        cors: HeaderList,
        paid: SaleRow | None,
    ) -> None:
        self._conclude = conclude
        self._refuse = refuse
        self._send = send
        self._price = price
        self._cors = cors
        self._paid = paid
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._room = -1
        self._passes = False
        self._swallows = False

    async def take(self, message: Message) -> None:
        """Take one message of the application."""
        if self._swallows:
            return
        kind = message["type"]
        if self._passes or (kind != _START and self._start is None):
            await self._send(message)  # without a start a broken application; the server says so
        elif kind == _START:
            await self._begin(message)
        elif kind == _BODY:
            await self._body(message)
        else:
            await self._stream(message)

    async def _begin(self, message: Message) -> None:
        if is_charged(message["status"], self._price):
            self._start = message
            return
        self._passes = True
        await self._send(self._out(message, self._paid))

    async def _body(self, message: Message) -> None:
        start = self._start
        assert start is not None
        body = message.get("body", b"")
        if message.get("more_body", False):
            if not self._parts:
                self._room = declared_size(start, HELD_BYTES_MAX)
            self._room -= len(body)
            if self._room < 0:
                await self._stream(message)
            else:
                self._parts.append(body)
        elif start.get("trailers"):
            await self._stream(message)
        else:
            await self._whole(start, b"".join((*self._parts, body)))

    async def _whole(self, start: Message, body: bytes) -> None:
        kept = b""
        headers = list(start.get("headers", ()))
        if len(body) <= HELD_BYTES_MAX:
            with suppress(TypeError):  # headers that no server can send either
                kept = pack_answer(start["status"], headers, body)
        row = await self._settled(start["status"], kept)
        if row is None:
            return
        self._passes = True
        faults.hit("seller.send.before")
        await self._send(self._out(start, row))
        await self._send({"type": _BODY, "body": body})
        faults.hit("seller.send.after")

    async def _stream(self, message: Message) -> None:
        start = self._start
        assert start is not None
        row = await self._settled(start["status"], b"")
        if row is None:
            return
        self._passes = True
        faults.hit("seller.send.before")
        await self._send(self._out(start, row))
        for part in self._parts:
            await self._send({"type": _BODY, "body": part, "more_body": True})
        await self._send(message)
        faults.hit("seller.send.after")

    async def _settled(self, status: int, kept: bytes) -> SaleRow | None:
        try:
            return await self._conclude(status, kept)
        except (Unsettled, AisaError) as error:
            self._swallows = True
            await self._refuse(*refusal(error))
            return None

    def _out(self, start: Message, row: SaleRow | None) -> Message:
        told = [] if row is None else [response_header(row.response)]
        return {**start, "headers": [*start.get("headers", ()), *told, *self._cors]}


def refusal(error: Unsettled | AisaError) -> tuple[AisaError, HeaderList]:
    """The problem of a payment that did not settle, and the header that goes with it."""
    if isinstance(error, Unsettled):
        headers = [response_header(error.response)] if error.response else []
        return error.error, headers
    return error, []


def response_header(response: str) -> tuple[bytes, bytes]:
    """The header `PAYMENT-RESPONSE`."""
    return b"payment-response", response.encode("ascii")
