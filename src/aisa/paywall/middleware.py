"""The paywall as pure ASGI: what a request costs, who pays it, and only then the application.

A free request costs one look-up. A paid one is read on bytes: one loop over its headers, one MAC,
one reservation in memory, and after the handler one commit that it shares with its neighbours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from aisa.channel.payee import PayeeCall, Repeat
from aisa.channel.store import StoredCharge
from aisa.errors import (
    AisaError,
    AnswerGone,
    CapExceeded,
    HeadTooLarge,
    LaneClosed,
    MalformedMessage,
    NotFound,
    PaymentRequired,
    PriceAboveTick,
    RateLimited,
    TickRefused,
    VoucherRefused,
    VoucherRequired,
)
from aisa.money import Amount
from aisa.paywall.answer import PaidAnswer, send_kept
from aisa.paywall.asgi import (
    App,
    Disconnected,
    HeaderList,
    ReadAgain,
    Receive,
    Scope,
    Send,
    read_body,
    send_bytes,
    send_problem,
)
from aisa.paywall.incoming import Incoming
from aisa.paywall.limiter import peer_name
from aisa.paywall.page import HEADERS, page, wants_page
from aisa.paywall.paid import CURRENT, Paid, PaidCall
from aisa.paywall.price import FREE, Price, RequestFacts, check_currency
from aisa.paywall.pricelist import PriceList, add_marked_routes, price_list
from aisa.paywall.seller import Paywall
from aisa.paywall.till import ANSWER_KEPT_MS
from aisa.paywall.x402_guard import SIGNATURE_HEADER, X402Guard
from aisa.paywall.x402_offer import url_of
from aisa.paywall.x402_payment import reason_of
from aisa.protocol.aip import Tick, Voucher, request_digest
from aisa.protocol.aip.tick import EMPTY_BODY_DIGEST

HEAD_BYTES_MAX: Final = 16 * 1024
# These come only after a good MAC: a payer that must raise its ceiling is not a stranger.
_PROVEN: Final = (AnswerGone, CapExceeded, LaneClosed, PriceAboveTick, VoucherRequired)


class PaywallMiddleware:
    """Stands before `app`, and serves what has a price only to those who pay it.

    Prices come from `prices` (`{"GET /rates": "0.0001 aiUSD"}`) and from endpoints of a Starlette
    or FastAPI application that are marked with `paid`. It starts and stops the paywall with the
    application's lifespan, or at the first request where the server runs none.
    """

    def __init__(
        self,
        app: App,
        paywall: Paywall,
        prices: Mapping[str, str | Amount | Price | Paid] | None = None,
    ) -> None:
        self.app = app
        self.paywall = paywall
        self._listed = price_list(prices or {})
        self._prices: PriceList | None = None
        self._x402 = X402Guard(app, paywall, self._refuse, self._units_max)
        self._session_path = paywall.session_path
        self._receipts_path = paywall.session_path + "/receipts"
        # FastAPI puts its own root path into the scope only after us.
        own_root: Any = getattr(app, "root_path", "")
        self._own_root: str = own_root if isinstance(own_root, str) else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        if kind != "http":
            if kind == "lifespan":
                await self._live(scope, receive, send)
            elif kind == "websocket":
                await self._serve_websocket(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        prices = self._prices
        if prices is None:
            prices = await self._prepare(scope)
        path = self._path(scope)
        method: str = scope["method"]
        price = prices.find(path, method)
        if price is not None:
            await self._guard(Incoming(scope, method, path), price, receive, send)
        elif path.startswith(self._session_path) and path in (
            self._session_path,
            self._receipts_path,
        ):
            client = scope.get("client")
            peer = peer_name(client[0]) if client else "unknown"
            await self.paywall.sessions.serve(scope, receive, send, peer)
        elif (plain := prices.find_disguised(path, method)) is not None:
            error = NotFound("there is nothing under this spelling", hint=f"ask for {plain[:200]}")
            await send_problem(send, error, [])
        else:
            await self.app(scope, receive, send)

    def _path(self, scope: Scope) -> str:
        """The path that the application's router sees."""
        path: str = scope["path"]
        root = self._own_root or scope.get("root_path")
        return _route_path(path, root) if root else path

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a websocket on a priced path: nothing in it could be paid for."""
        prices = self._prices or await self._prepare(scope)
        path = self._path(scope)
        if prices.find(path, "GET") is None and prices.find_disguised(path, "GET") is None:
            await self.app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "paid by HTTP calls only"})

    async def _guard(self, request: Incoming, price: Price, receive: Receive, send: Send) -> None:
        """Answer a request to a priced route; every deliberate error becomes its problem."""
        paywall = self.paywall
        if request.head_bytes > HEAD_BYTES_MAX:
            error = HeadTooLarge(f"the head is longer than {HEAD_BYTES_MAX} bytes")
            await send_problem(send, error, [(b"connection", b"close"), *request.cors()])
            return
        if b"payment-tick" not in request.found:
            if SIGNATURE_HEADER in request.found and paywall.x402 is not None:
                await self._x402.serve(request, price, receive, send)
                return
            if not self._is_free(request, price):
                await self._refuse(request, price, send, PaymentRequired(), is_unpaid=True)
                return
            await self._serve_free(request, price, receive, send)
            return
        try:
            tick = _tick(request)
            if request.has_body:
                self._check_payer(request, tick)
                declared = request.found.get(b"content-length")
                body = await read_body(
                    receive, price.body_bytes_max, declared, paywall.body_timeout_s
                )
                receive = ReadAgain(body, receive)
                body_digest = sha256(body).digest()
            else:
                body_digest = EMPTY_BODY_DIGEST
            digest = request_digest(
                request.method.encode(), paywall.origin_bytes, request.target(), body_digest
            )
            units_max = self._units_max(request, price)
            outcome = self._admit(request, tick, digest, units_max)
            while isinstance(outcome, Repeat):
                if outcome.running is not None:
                    await paywall.till.wait(outcome.running)
                outcome = self._admit(request, tick, digest, units_max)
        except Disconnected:
            return
        except AisaError as error:
            is_unpaid = not isinstance(error, _PROVEN)
            await self._refuse(request, price, send, error, is_unpaid=is_unpaid)
            return
        if isinstance(outcome, PayeeCall):
            await self._serve(request, price, outcome, receive, send)
        else:
            headers = [(b"payment-receipt", paywall.till.receipt(tick, outcome)), *request.cors()]
            await send_kept(send, outcome.charge.answer, headers)

    def _check_payer(self, request: Incoming, tick: Tick) -> None:
        """Check, before a body is read, that it may be paid for: strangers' bodies are not read."""
        credential = request.text(b"payment-authorization")
        if credential is None:
            self.paywall.till.find(tick.channel)
        else:
            self.paywall.desk.read_open(credential, self.paywall.clock() // 1000)

    def _admit(
        self, request: Incoming, tick: Tick, digest: bytes, units: int
    ) -> PayeeCall | Repeat | StoredCharge:
        """Return the admitted call, the charge that its repeat is told again, or whom to wait for."""
        paywall, till = self.paywall, self.paywall.till
        now_ms = paywall.clock()
        credential = request.text(b"payment-authorization")
        if credential is not None:
            action = paywall.desk.read_open(credential, now_ms // 1000)
            if action.terms.channel_id != tick.channel:
                raise TickRefused("the tick is for another channel than the credential")
            till.open(action, now_ms)
        raises = request.text(b"payment-voucher")
        while True:
            try:
                outcome = till.admit(tick, digest, units, now_ms)
            except VoucherRequired:
                # The tick's MAC was good; only now is the voucher worth a signature check.
                if raises is None or not till.find(tick.channel).accept_voucher(_voucher(raises)):
                    raise
                raises = None
                continue
            if isinstance(outcome, Repeat):
                return self._kept(tick, digest) if outcome.running is None else outcome
            if raises is not None:
                try:
                    outcome.channel.accept_voucher(_voucher(raises))
                except PaymentRequired:
                    till.release(outcome)
                    raise
            return outcome

    def _kept(self, tick: Tick, digest: bytes) -> StoredCharge:
        stored = self.paywall.till.stored(tick)
        if stored is None:
            raise TickRefused("the tick's seq is behind the lane's window; take a new one")
        if stored.charge.request != digest:
            raise TickRefused("the tick was used for another request")
        if self.paywall.clock() - stored.at_ms > ANSWER_KEPT_MS:
            raise TickRefused("the tick was used more than 10 minutes ago")
        if not stored.charge.answer:
            charged = 0 if stored.voided else stored.charge.units
            raise AnswerGone("the call was served; its answer is not kept", charged=str(charged))
        return stored

    async def _serve(
        self, request: Incoming, price: Price, call: PayeeCall, receive: Receive, send: Send
    ) -> None:
        paywall = self.paywall
        payer = call.channel.payer
        paid = PaidCall(price, payer, call.units)
        free = price.free
        if free is not None and free.per_payer:
            now_ms = paywall.clock()
            if paywall.quota.take(id(price), payer, free.calls_per_day, now_ms):
                paid.units = paid.units_max = 0
        answer = PaidAnswer(paywall.till, call, paid, send, request.cors())
        token = CURRENT.set(paid)
        paywall.till.serving += 1
        try:
            if paywall.till.serving > 1:
                # What came together is admitted together and then served together: an interpreter
                # is quicker at what it has just done.
                await asyncio.sleep(0)
            await self.app(request.scope, receive, answer.take)
        except Exception:
            await answer.leave()
            await answer.fail()
            raise
        finally:
            paywall.till.serving -= 1
            CURRENT.reset(token)
            answer.release()
        await answer.leave()

    async def _serve_free(
        self, request: Incoming, price: Price, receive: Receive, send: Send
    ) -> None:
        token = CURRENT.set(PaidCall(price, b"", 0))
        try:
            await self.app(request.scope, receive, send)
        finally:
            CURRENT.reset(token)

    def _is_free(self, request: Incoming, price: Price) -> bool:
        free = price.free
        return (
            free is not None
            and not free.per_payer
            and self.paywall.quota.take(
                id(price), request.peer, free.calls_per_day, self.paywall.clock()
            )
        )

    def _units_max(self, request: Incoming, price: Price) -> int:
        if price.compute is None:
            return price.units_max
        scope = request.scope
        query: bytes = scope.get("query_string") or b""
        facts = RequestFacts.of(request.method, request.path, query, scope["headers"], request.peer)
        return price.units_of(price.compute(facts))

    def _units_offered(self, request: Incoming, price: Price) -> int:
        """The price to name in a 402: the route's maximum if it cannot be computed yet."""
        try:
            return self._units_max(request, price)
        except Exception:  # noqa: BLE001 - whatever the function of the seller raises
            # The seller's own function on what a stranger sent: whoever only asks is told the most
            # that it costs, and a paid call hears what is wrong with it.
            return price.units_max

    async def _refuse(
        self,
        request: Incoming,
        price: Price,
        send: Send,
        error: AisaError,
        *,
        is_unpaid: bool,
        more: HeaderList | None = None,
    ) -> None:
        paywall = self.paywall
        now_ms = paywall.clock()
        headers = [*(more or ()), *request.cors()]
        wait_s = paywall.limiter.take(request.peer, now_ms) if is_unpaid else 0
        if wait_s:
            limited = RateLimited("too many requests without payment", retry_after_s=wait_s)
            await send_problem(send, limited, headers)
            return
        if error.status in (401, 402):
            accept = request.text(b"accept-payment")
            units = self._units_offered(request, price)
            headers += paywall.desk.headers(units, price.description, accept, now_ms // 1000)
            if paywall.x402 is not None:
                url = url_of(paywall.origin, request.target())
                required = paywall.x402.header(price, units, url, reason_of(error))
                if required is not None:
                    headers.append((b"payment-required", required))
            if type(error) is PaymentRequired and wants_page(
                request.method, request.text(b"accept")
            ):
                body = self._page(request, price, units)
                await send_bytes(send, error.status, [*HEADERS, *headers], body)
                return
        await send_problem(send, error, headers)

    def _page(self, request: Incoming, price: Price, units: int) -> bytes:
        return page(
            url_of(self.paywall.origin, request.target()),
            Amount(units, price.currency),
            is_most=price.is_stated_later
            or (price.compute is not None and units == price.units_max),
            description=price.description,
            payee=self.paywall.signer.public_key,
            takes_x402=self.paywall.x402 is not None and not price.is_stated_later,
        )

    async def _prepare(self, scope: Scope) -> PriceList:
        """Collect the prices once all routes are known, and start what a lifespan did not."""
        marked: Any = scope.get("app") or self.app
        add_marked_routes(self._listed, marked)
        # Where payers open channels is free, also under a price for everything.
        for path in (self._session_path, self._receipts_path):
            self._listed.add(path, FREE)
        for price in self._listed.prices():
            check_currency(price, self.paywall.currency)
            if self.paywall.x402 is not None:
                self.paywall.x402.check(price)
        await self.paywall.start()
        self._prices = self._listed
        return self._listed

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_start() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.paywall.start()
            return message

        async def stop_and_send(message: Any) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.paywall.stop()
            await send(message)

        await self.app(scope, receive_and_start, stop_and_send)


def _tick(request: Incoming) -> Tick:
    try:
        return Tick.decode(request.found[b"payment-tick"].decode("latin-1"))
    except MalformedMessage as error:
        raise TickRefused(f"the tick cannot be read: {error.detail}") from error


def _voucher(text: str) -> Voucher:
    try:
        return Voucher.decode(text)
    except MalformedMessage as error:
        raise VoucherRefused(f"the voucher cannot be read: {error.detail}") from error


def _route_path(path: str, root: str) -> str:
    if path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path
