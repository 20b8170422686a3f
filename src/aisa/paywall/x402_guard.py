"""Calls that bring an x402 payment: read, checked, served and settled, in the order of the offer."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from aisa.channel.sale import SaleRow, SaleState
from aisa.errors import AisaError, RateLimited
from aisa.paywall.answer import send_kept
from aisa.paywall.asgi import App, Disconnected, HeaderList, ReadAgain, Receive, Send, read_body
from aisa.paywall.held_answer import HeldAnswer, refusal, response_header
from aisa.paywall.incoming import Incoming
from aisa.paywall.paid import CURRENT, PaidCall
from aisa.paywall.price import Price
from aisa.paywall.sale_desk import Claim, SaleDesk, Unsettled
from aisa.paywall.x402_payment import X402Payment, read_payment
from aisa.protocol.aip import request_digest
from aisa.protocol.aip.tick import EMPTY_BODY_DIGEST
from aisa.protocol.x402.token import UPFRONT

if TYPE_CHECKING:
    from aisa.paywall.seller import Paywall

SIGNATURE_HEADER: Final = b"payment-signature"


class Refuse(Protocol):
    """Answers with a problem and fresh offers."""

    async def __call__(
        self,
        request: Incoming,
        price: Price,
        send: Send,
        error: AisaError,
        *,
        is_unpaid: bool,
        more: HeaderList,
    ) -> None:
        """Send the answer; `is_unpaid` counts it for the sender's address."""
        ...


class X402Guard:
    """Stands before `app` for one paywall; `units_of` is the price of a request."""

    def __init__(
        self,
        app: App,
        paywall: Paywall,
        refuse: Refuse,
        units_of: Callable[[Incoming, Price], int],
    ) -> None:
        self._app = app
        self._paywall = paywall
        self._refuse = refuse
        self._units_of = units_of

    async def serve(self, request: Incoming, price: Price, receive: Receive, send: Send) -> None:
        """Answer one request; every deliberate error becomes its problem."""
        desk = self._paywall.sales
        is_read = False
        claim: Claim | None = None
        try:
            units = self._units_of(request, price)
            payment = self._read(request, price, units)
            is_read = True
            self._count(request)
            digest, receive, is_verified = await self._digest(request, price, payment, receive)
            claim = await desk.claim(payment)
            row = await desk.resume(payment, digest, claim)
            if row is None:
                if payment.token.offer.flow == UPFRONT:
                    row = await desk.pay(payment, digest, units, claim)
                elif not is_verified:
                    await desk.verify(payment)
        except Disconnected:
            return
        except (Unsettled, AisaError) as error:
            if claim is not None:
                claim.release()
            told, more = refusal(error)
            await self._refuse(request, price, send, told, is_unpaid=not is_read, more=more)
            return
        except BaseException:
            if claim is not None:
                claim.release()
            raise
        try:
            if row is not None and row.state is SaleState.SOLD:
                headers = [response_header(row.response), *request.cors()]
                await send_kept(send, row.answer, headers)
            else:
                sale = _Sale(desk, payment, digest, units, claim, row)
                await self._run(request, price, sale, receive, send)
        finally:
            claim.release()

    def _read(self, request: Incoming, price: Price, units: int) -> X402Payment:
        paywall = self._paywall
        assert paywall.x402 is not None
        header = request.found[SIGNATURE_HEADER].decode("latin-1")
        return read_payment(
            header, paywall.x402, price, units, takes_identifier=paywall.takes_identifier
        )

    def _count(self, request: Incoming) -> None:
        """Count it before anybody else is asked about it: whether it holds is not known here."""
        paywall = self._paywall
        wait_s = paywall.limiter.take(request.peer, paywall.clock())
        if wait_s:
            raise RateLimited("too many payments from this address", retry_after_s=wait_s)

    async def _digest(
        self, request: Incoming, price: Price, payment: X402Payment, receive: Receive
    ) -> tuple[bytes, Receive, bool]:
        """The request's digest, what gives its body again, and whether the payment was checked."""
        paywall = self._paywall
        is_verified, body_digest = False, EMPTY_BODY_DIGEST
        if request.has_body:
            if not paywall.sales.is_known(payment):
                await paywall.sales.verify(payment)  # strangers' bodies are not read
                is_verified = True
            declared = request.found.get(b"content-length")
            body = await read_body(receive, price.body_bytes_max, declared, paywall.body_timeout_s)
            receive = ReadAgain(body, receive)
            body_digest = sha256(body).digest()
        digest = request_digest(
            request.method.encode(), paywall.origin_bytes, request.target(), body_digest
        )
        return digest, receive, is_verified

    async def _run(
        self, request: Incoming, price: Price, sale: _Sale, receive: Receive, send: Send
    ) -> None:
        async def refuse(error: AisaError, more: HeaderList) -> None:
            await self._refuse(request, price, send, error, is_unpaid=False, more=more)

        answer = HeldAnswer(sale.conclude, refuse, send, price, request.cors(), sale.paid)
        token = CURRENT.set(PaidCall(price, sale.payer, sale.units))
        try:
            await self._app(request.scope, receive, answer.take)
        finally:
            CURRENT.reset(token)


class _Sale:
    """One sale while its handler runs; `paid` is its row if it settled before."""

    def __init__(
        self,
        desk: SaleDesk,
        payment: X402Payment,
        digest: bytes,
        units: int,
        claim: Claim,
        paid: SaleRow | None,
    ) -> None:
        self._desk = desk
        self._payment = payment
        self._digest = digest
        self._claim = claim
        self.units = units
        self.payer = payment.payer
        self.paid = paid

    async def conclude(self, status: int, answer: bytes) -> SaleRow:
        """Settle it with its answer, or write the answer of what was paid before."""
        if self.paid is not None:
            return await self._desk.serve(self.paid, status, answer)
        return await self._desk.pay(
            self._payment, self._digest, self.units, self._claim, status=status, answer=answer
        )
