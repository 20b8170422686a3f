"""Sales that one signed transfer pays for: each written, settled and answered exactly once.

The row is durable before a facilitator is asked to settle, with the answer if there is one already,
and is finished after that. A settlement whose outcome is not known is asked for again under the
same key: by the payer's repeat, and by a worker in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from aisa import faults
from aisa.channel.sale import SaleRow, SaleState, SaleStore
from aisa.client.facilitator_client import (
    PENDING,
    FacilitatorClient,
    FailedPayment,
    SettledPayment,
    UnknownPayment,
)
from aisa.errors import (
    AisaError,
    AnswerGone,
    IdempotencyMismatch,
    MalformedMessage,
    RailUnavailable,
    SettlementPending,
    StoreUnavailable,
)
from aisa.money import Currency
from aisa.paywall.gatherer import Gatherer
from aisa.paywall.till import ANSWER_KEPT_MS
from aisa.paywall.x402_offer import OfferedToken
from aisa.paywall.x402_payment import X402Payment, check_time, refused
from aisa.protocol.evm_address import format_address
from aisa.protocol.frame import frame
from aisa.protocol.x402 import FacilitatorRequest, SettlementResponse, format_settlement
from aisa.protocol.x402.exact import EXACT

PAUSES_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""How long a payer is kept waiting for a settlement that is not decided at once."""
FINISH_EVERY_S: Final = 5.0
FINISH_EVERY_S_MAX: Final = 600.0
GIVEN_UP_AFTER_S: Final = 24 * 3600
_ROWS_AT_ONCE: Final = 64
_STOP_TIMEOUT_S: Final = 10.0
_MESSAGE_CHARS_MAX: Final = 200

logger = logging.getLogger("aisa.paywall")


class Unsettled(Exception):
    """A payment did not settle: why, and the `PAYMENT-RESPONSE` that says so, or an empty text."""

    def __init__(self, error: AisaError, response: str) -> None:
        super().__init__(error.detail)
        self.error = error
        self.response = response


class Claim:
    """The right to work on a payment; others with the same one wait until it is given back."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self.work: asyncio.Task[SaleRow] | None = None

    def release(self) -> None:
        """Give it back, once what was begun under it is done."""
        if self.work is None or self.work.done():
            self._give_back()
        else:
            self.work.add_done_callback(lambda _: self._give_back())


@dataclass(slots=True)
class _Retry:
    at_ms: int
    pause_s: float


class SaleDesk:
    """Sales over one store; `clients` settle what is offered, `clock` gives unix milliseconds."""

    def __init__(
        self,
        store: SaleStore,
        gatherer: Gatherer,
        clients: Mapping[OfferedToken, FacilitatorClient],
        currency: Currency,
        clock: Callable[[], int],
        *,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._store = store
        self._gatherer = gatherer
        self._clients = clients
        self._currency = currency
        self._clock = clock
        self._pauses_s = tuple(pauses_s)
        self._claimed: dict[bytes | str, asyncio.Future[None]] = {}
        self._retries: dict[bytes, _Retry] = {}
        self._work: set[asyncio.Task[SaleRow]] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to finish what a crash or a slow network left, and look whether offers can settle."""
        self._workers = [
            asyncio.create_task(self._finish(), name="finish sales"),
            asyncio.create_task(self._look(), name="look at facilitators"),
        ]

    async def stop(self) -> None:
        """Stop; what is not settled then is settled after the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._work:
            await asyncio.wait(self._work, timeout=_STOP_TIMEOUT_S)
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for client in self._clients.values():
            await client.close()

    def is_known(self, payment: X402Payment) -> bool:
        """Whether the payment was used here before, or is being used."""
        row = self._store.find(payment.sale)
        return payment.sale in self._claimed or (
            row is not None and row.fingerprint == payment.fingerprint
        )

    async def claim(self, payment: X402Payment) -> Claim:
        """Wait until nobody works on the payment, or on another of the same name, and take it."""
        return await self._claim({payment.sale, payment.identifier or payment.sale})

    async def verify(self, payment: X402Payment) -> None:
        """Check with a facilitator that a new payment would settle.

        Raises:
            PaymentInvalid: it would not.
            RailUnavailable: no facilitator answers.
        """
        check_time(payment, self._clock() // 1000)
        verified = await self._clients[payment.token].verify(payment.asked)
        if not verified.is_valid:
            reason = verified.invalid_reason or "unexpected_verify_error"
            raise refused(reason, verified.invalid_message or "the payment does not hold")

    async def resume(self, payment: X402Payment, digest: bytes, claim: Claim) -> SaleRow | None:
        """Return the sale that the payment has made before, settled; None if it is new.

        Raises:
            PaymentInvalid: it was used for another request, or too long ago.
            IdempotencyMismatch: its name was used for another payment.
            AnswerGone: the call was served, and its answer is not kept.
            Unsettled: it is still not decided, or has failed after all.
        """
        row = self._known(payment)
        if row is None:
            return None
        if row.request != digest:
            raise refused("payment_already_used", "the payment was used for another request")
        if row.state is SaleState.SETTLING:
            return await self._do(self._settle(row, payment.token, is_repeat=True), claim)
        if row.state is SaleState.SOLD:
            if self._clock() - row.at_ms > ANSWER_KEPT_MS:
                raise refused("payment_already_used", "the payment was used 10 minutes ago")
            if not row.answer:
                raise AnswerGone(
                    "the call was served; its answer is not kept", charged=str(row.units)
                )
        return row

    async def pay(
        self,
        payment: X402Payment,
        digest: bytes,
        units: int,
        claim: Claim,
        *,
        status: int = 0,
        answer: bytes = b"",
    ) -> SaleRow:
        """Write a sale and settle it; with a status it is served, else it is only paid.

        Raises:
            Unsettled: it failed, or is not decided yet.
            RailUnavailable: no facilitator took it; nothing was paid.
            StoreUnavailable: it could not be made durable; nothing was paid, or a repeat finds it.
        """
        row = SaleRow(
            id=payment.sale,
            state=SaleState.SETTLING,
            at_ms=self._clock(),
            network=payment.token.offer.network,
            payer=payment.payer,
            currency=self._currency.code,
            units=units,
            request=digest,
            fingerprint=payment.fingerprint,
            identifier=payment.identifier,
            valid_until_s=payment.valid_until_s,
            asked=payment.asked.encode(),
            status=status,
            answer=answer,
        )
        return await self._do(self._begin(row, payment.token), claim)

    async def serve(self, row: SaleRow, status: int, answer: bytes) -> SaleRow:
        """Write the answer of a sale that was paid before it was served.

        Raises:
            StoreUnavailable: that failed; a repeat runs the handler again.
        """
        served = replace(
            row, state=SaleState.SOLD, at_ms=self._clock(), status=status, answer=answer
        )
        await self._gatherer.run(lambda: self._store.put(served))
        return served

    def _known(self, payment: X402Payment) -> SaleRow | None:
        if payment.identifier:
            named = self._store.find_identifier(payment.identifier)
            if named is not None and named.fingerprint != payment.fingerprint:
                raise IdempotencyMismatch("the payment's identifier was used for another payment")
        row = self._store.find(payment.sale)
        if row is not None and row.fingerprint != payment.fingerprint:
            raise refused("payment_already_used", "another payment used this nonce")
        return row

    async def _claim(self, names: set[bytes | str]) -> Claim:
        while busy := next((self._claimed[n] for n in names if n in self._claimed), None):
            await asyncio.shield(busy)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._claimed.update(dict.fromkeys(names, done))

        def give_back() -> None:
            for name in names:
                del self._claimed[name]
            done.set_result(None)

        return Claim(give_back)

    async def _do(self, work: Coroutine[Any, Any, SaleRow], claim: Claim) -> SaleRow:
        """Do it to its end, even if who asked for it goes away."""
        task = claim.work = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[SaleRow]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked was told; if nobody is left, the row says the same

    async def _begin(self, row: SaleRow, token: OfferedToken) -> SaleRow:
        await self._gatherer.run(lambda: self._store.put(row))
        return await self._settle(row, token, is_repeat=False)

    async def _settle(
        self,
        row: SaleRow,
        token: OfferedToken,
        *,
        is_repeat: bool,
        pauses_s: Sequence[float] | None = None,
    ) -> SaleRow:
        asked = FacilitatorRequest.parse(row.asked)
        key = sha256(frame(row.id, sha256(row.asked).digest())).hexdigest()
        pauses = iter(self._pauses_s if pauses_s is None else pauses_s)
        while True:
            faults.hit("seller.settle.before")
            try:
                outcome = await self._clients[token].settle(asked, key, is_repeat=is_repeat)
            except RailUnavailable:
                await self._gatherer.run(lambda: self._store.forget(row.id))
                raise
            faults.hit("seller.settle.after")
            match outcome:
                case SettledPayment(response):
                    return await self._settled(row, asked, response)
                case FailedPayment(response):
                    await self._gatherer.run(lambda: self._store.forget(row.id))
                    raise _failed(response)
                case UnknownPayment(response):
                    is_repeat = True
                    pause = next(pauses, None)
                    if pause is None:
                        raise _pending(row, response)
                    await asyncio.sleep(pause)

    async def _settled(
        self, row: SaleRow, asked: FacilitatorRequest, response: SettlementResponse
    ) -> SaleRow:
        told = SettlementResponse(
            success=True,
            transaction=response.transaction,
            network=response.network,
            payer=response.payer or format_address(row.payer),
            amount=asked.requirements.amount,
        )
        done = replace(
            row,
            state=SaleState.SOLD if row.status else SaleState.PAID,
            at_ms=self._clock(),
            response=format_settlement(told),
            reference=response.transaction,
        )
        await self._gatherer.run(lambda: self._store.put(done))
        return done

    async def _look(self) -> None:
        for token, client in self._clients.items():
            network = token.offer.network
            try:
                told = await client.supported()
            except RailUnavailable:
                logger.warning("no facilitator of the x402 offer on %s answers", network)
                continue
            kinds = {(kind.scheme, kind.network) for one in told for kind in one.kinds}
            if (EXACT, network) not in kinds:
                logger.warning("no facilitator of the x402 offer on %s settles there", network)

    async def _finish(self) -> None:
        while True:
            try:
                await self._finish_some()
            except StoreUnavailable as error:
                logger.warning("sales could not be finished: %s", error)
            await asyncio.sleep(FINISH_EVERY_S)

    async def _finish_some(self) -> None:
        after = b""
        while rows := self._store.settling(after, _ROWS_AT_ONCE):
            after = rows[-1].id
            for row in rows:
                if row.id not in self._claimed and self._is_due(row):
                    await self._finish_one(row)

    def _is_due(self, row: SaleRow) -> bool:
        now_ms = self._clock()
        if row.at_ms // 1000 + GIVEN_UP_AFTER_S < now_ms // 1000:
            return False  # for the owner to look up; a repeat of its payer still asks
        retry = self._retries.setdefault(row.id, _Retry(0, FINISH_EVERY_S))
        if retry.at_ms > now_ms:
            return False
        retry.at_ms = now_ms + int(retry.pause_s * 1000)
        retry.pause_s = min(2 * retry.pause_s, FINISH_EVERY_S_MAX)
        return True

    async def _finish_one(self, row: SaleRow) -> None:
        token = self._token_of(row)
        if token is None:
            logger.warning("a sale on %s is not settled, and not offered any more", row.network)
            return
        claim = await self._claim({row.id})
        try:
            if self._store.find(row.id) != row:
                return  # its payer was faster
            await self._do(self._settle(row, token, is_repeat=True, pauses_s=()), claim)
            self._retries.pop(row.id, None)
        except Unsettled as unsettled:
            if not isinstance(unsettled.error, SettlementPending):
                self._retries.pop(row.id, None)
            logger.warning("a sale to 0x%s: %s", row.payer.hex(), unsettled)
        except AisaError as error:
            logger.warning("a sale to 0x%s: %s", row.payer.hex(), error)
        finally:
            claim.release()

    def _token_of(self, row: SaleRow) -> OfferedToken | None:
        wanted = FacilitatorRequest.parse(row.asked).requirements
        for token in self._clients:
            if token.is_of(wanted):
                return token
        return None


def _failed(response: SettlementResponse) -> Unsettled:
    reason = response.error_reason or "unexpected_settle_error"
    detail = response.error_message or "the payment did not settle"
    return Unsettled(refused(reason, detail), _told(response, reason))


def _pending(row: SaleRow, response: SettlementResponse | None) -> Unsettled:
    error = SettlementPending(
        "the payment was sent and is not decided; send the same one again", retry_after_s=2
    )
    said = response or SettlementResponse(False, "", row.network)
    return Unsettled(error, _told(said, PENDING))


def _told(response: SettlementResponse, reason: str) -> str:
    told = SettlementResponse(
        success=False,
        transaction=response.transaction,
        network=response.network,
        payer=response.payer,
        error_reason=reason,
        error_message=(response.error_message or "")[:_MESSAGE_CHARS_MAX] or None,
    )
    try:
        return format_settlement(told)
    except MalformedMessage:
        return ""
