"""The answer of a paid call: held back until its charge is durable, and kept for repeats."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import Final

import msgspec

from aisa import faults
from aisa.channel.payee import PayeeCall
from aisa.channel.receipts import receipt_header
from aisa.errors import StoreUnavailable
from aisa.paywall.asgi import HeaderList, Message, Send, send_problem
from aisa.paywall.gatherer import Entry
from aisa.paywall.paid import PaidCall
from aisa.paywall.price import Price
from aisa.paywall.till import Till
from aisa.protocol.aip import ReceiptLeaf
from aisa.protocol.aip.receipt import NO_DIGEST

KEPT_BYTES_MAX: Final = 64 * 1024
_START: Final = "http.response.start"
_BODY: Final = "http.response.body"


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Kept)


class PaidAnswer:
    """The `send` that a paid handler gets.

    A whole answer of at most 64 KiB is charged, kept and then sent. One that is longer, or comes in
    pieces without saying its length, is charged when it starts, and is not kept. An answer that is
    not charged for passes through.

    The application does not wait while a whole answer is charged: it returns, and the few frames
    around it wait. Of one that goes on, as with a task in the background, the answer is sent aside.
    """

    __slots__ = (
        "_aside",
        "_body_bytes",
        "_call",
        "_charging",
        "_cors",
        "_digest",
        "_is_left",
        "_out",
        "_paid",
        "_parts",
        "_passes",
        "_room",
        "_send",
        "_start",
        "_swallows",
        "_till",
        "_voidable",
        "is_decided",
    )

    def __init__(
        self, till: Till, call: PayeeCall, paid: PaidCall, send: Send, cors: HeaderList
    ) -> None:
        self._till = till
        self._call = call
        self._paid = paid
        self._send = send
        self._cors = cors
        self._start: Message | None = None
        self._parts: list[bytes] | None = None
        self._room = 0
        self._passes = False
        self._swallows = False
        self._voidable = 0
        self._body_bytes = b""
        self._digest = b""
        self._out: Message | None = None
        self._charging: asyncio.Future[StoreUnavailable | None] | None = None
        self._aside: asyncio.Task[None] | None = None
        self._is_left = False
        self.is_decided = False

    async def take(self, message: Message) -> None:
        """Take one message of the application."""
        if self._passes:
            await self._pass(message)
            return
        kind = message["type"]
        if kind == _START:
            if is_charged(message["status"], self._paid.price):
                self._start = message
                return
            self.release()
            self._passes = True
            await self._send(message)
        elif self._swallows:
            return
        elif kind == _BODY:
            await self._body(message)
        elif self._start is not None:
            await self._stream(message)
        else:
            await self._send(message)

    def release(self) -> None:
        """Charge nothing."""
        if not self.is_decided:
            self.is_decided = True
            self._till.release(self._call)

    async def fail(self) -> None:
        """The handler failed in the middle of an answer that is charged: take the charge back."""
        units, self._voidable = self._voidable, 0
        if units:
            await self._till.void(self._call, units)

    async def _body(self, message: Message) -> None:
        body = message.get("body", b"")
        if self._start is None:  # a broken application; the server says so
            await self._send(message)
            return
        if not message.get("more_body", False):
            if self._parts is not None:
                body = b"".join((*self._parts, body))
                self._parts = None
            if self._start.get("trailers"):
                await self._stream({**message, "body": body})
            else:
                self._whole(self._start, body)
            return
        if self._parts is None:
            self._parts = []
            self._room = declared_size(self._start, KEPT_BYTES_MAX)
        self._room -= len(body)
        if self._room < 0:
            await self._stream(message)
        else:
            self._parts.append(body)

    def _whole(self, start: Message, body: bytes) -> None:
        # What a broken application may have given wrong raises here, in its own face: an error in
        # `seal` would be everybody's.
        self._digest = sha256(body).digest()
        self._out = {**start, "headers": list(start.get("headers", ()))}
        self._body_bytes = body
        self.is_decided = True
        self._swallows = True
        self._charging = self._till.gatherer.charge_soon(self, len(body))

    def seal(self, at_ms: int) -> Entry:
        """Make the receipt and what is kept of a whole answer."""
        out, body, digest = self._out, self._body_bytes, self._digest
        assert out is not None
        status: int = out["status"]
        kept = b""
        if len(body) <= KEPT_BYTES_MAX:
            with suppress(TypeError):  # headers that no server can send either
                kept = pack_answer(status, out["headers"], body)
        self._add_receipt(out, digest, at_ms)
        return Entry(self._call, self._paid.units, status, digest, kept)

    def decided(self) -> None:
        """The charge is durable, or failed; an application that still runs need not be waited for."""
        if not self._is_left:
            self._aside = asyncio.get_running_loop().create_task(self._deliver())

    async def leave(self) -> None:
        """The application has returned: see that its whole answer is sent."""
        self._is_left = True
        if self._aside is not None:
            await self._aside
        elif self._charging is not None:
            await self._deliver()

    async def _deliver(self) -> None:
        charging, out = self._charging, self._out
        assert charging is not None
        assert out is not None
        failed = await charging
        if failed is not None:
            await send_problem(self._send, StoreUnavailable(failed.detail), [])
            return
        if len(self._body_bytes) > KEPT_BYTES_MAX:
            self._voidable = self._paid.units
        faults.hit("seller.send.before")
        try:
            await self._send(out)
            await self._send({"type": _BODY, "body": self._body_bytes})
        except Exception:
            await self.fail()
            raise
        faults.hit("seller.send.after")
        self._voidable = 0

    async def _stream(self, message: Message) -> None:
        start = self._start
        assert start is not None
        out = {**start, "headers": list(start.get("headers", ()))}
        self._add_receipt(out, NO_DIGEST, self._till.clock())
        if not await self._charge(start["status"], NO_DIGEST, b""):
            return
        self._voidable = self._paid.units
        faults.hit("seller.send.before")
        await self._pass(out)
        for part in self._parts or ():
            await self._pass({"type": _BODY, "body": part, "more_body": True})
        await self._pass(message)
        faults.hit("seller.send.after")

    async def _pass(self, message: Message) -> None:
        try:
            await self._send(message)
        except Exception:
            await self.fail()
            raise
        if message["type"] == _BODY and not message.get("more_body", False):
            self._voidable = 0

    async def _charge(self, status: int, digest: bytes, kept: bytes) -> bool:
        self.is_decided = True
        try:
            await self._till.gatherer.charge(self._call, self._paid.units, status, digest, kept)
        except StoreUnavailable as error:
            self._swallows = True
            await send_problem(self._send, error, [])
            return False
        self._passes = True
        return True

    def _add_receipt(self, out: Message, digest: bytes, at_ms: int) -> None:
        call = self._call
        leaf = ReceiptLeaf(
            call.channel.id,
            call.lane.number,
            call.seq,
            self._paid.units,
            call.digest,
            out["status"],
            digest,
        )
        receipt = receipt_header(leaf, call.lane.receipt_key, at_ms)
        out["headers"].append((b"payment-receipt", receipt))
        out["headers"] += self._cors


def is_charged(status: int, price: Price) -> bool:
    """Whether an answer of this status is paid for."""
    # A redirect serves nothing, and a payment is not carried on to where it points.
    if 100 <= status < 300 or status == 304:
        return True
    return 400 <= status < 500 and price.charge_client_errors


def pack_answer(status: int, headers: HeaderList, body: bytes) -> bytes:
    """Return an answer as `send_kept` reads it; raises TypeError for headers that are none."""
    return _encoder.encode((status, headers, body))


async def send_kept(send: Send, packed: bytes, headers: HeaderList) -> None:
    """Send an answer again as it was sent before; `headers` are those that were not kept."""
    kept = _decoder.decode(packed)
    await send({"type": _START, "status": kept.status, "headers": kept.headers + headers})
    await send({"type": _BODY, "body": kept.body})


def declared_size(start: Message, bytes_max: int) -> int:
    """How much may be held back: the declared length, if it is at most `bytes_max`."""
    for name, value in start.get("headers", ()):
        if name.lower() == b"content-length" and value.isdigit() and len(value) <= 9:
            size = int(value)
            return size if size <= bytes_max else 0
    return 0
