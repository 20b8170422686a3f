"""A seller's client of x402 facilitators: the three calls, and what their answers prove.

A facilitator that never took a question is passed over for the next one. Once one may have sent
something the outcome is its own to tell: it is asked again under the same key, never guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias
from urllib.parse import urlsplit

import httpx2

from aisa.client.exchange import (
    TRANSPORT_ERRORS,
    collect,
    is_loopback,
    random_nonce,
    wall_clock_ms,
)
from aisa.errors import (
    AisaError,
    ConfigInvalid,
    IdempotencyMismatch,
    MalformedMessage,
    RailUnavailable,
)
from aisa.identity import Signer
from aisa.protocol import base64url
from aisa.protocol.httpsig import SignatureParams, sign_request
from aisa.protocol.problem import error_of, parse_problem
from aisa.protocol.x402 import (
    FacilitatorRequest,
    SettlementResponse,
    Supported,
    VerifyResponse,
)

VERIFY_TIMEOUT_S: Final = 10.0
SETTLE_TIMEOUT_S: Final = 60.0
PENDING: Final = "settlement_pending"
IDENTIFIER_USED: Final = "payment_identifier_used"
_NOTHING_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
# Of these a seller does not know what was done before they were said.
_DOUBTFUL: Final = frozenset({408, 409, 425})
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class TrustedFacilitator:
    """A facilitator that a seller believes: the URL before `/verify`, `/settle` and `/supported`.

    `keeps_keys` says that it honours `Idempotency-Key`, as our node does: only then its "failed"
    to a repeated question proves that nothing was paid. `headers` are sent with every request.
    """

    url: str
    keeps_keys: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class SettledPayment:
    """The payment is on its network."""

    response: SettlementResponse


@dataclass(frozen=True, slots=True)
class FailedPayment:
    """It is proved that this payment was not made by this sale."""

    response: SettlementResponse


@dataclass(frozen=True, slots=True)
class UnknownPayment:
    """Something may have been sent: ask again; `response` if a facilitator said anything."""

    response: SettlementResponse | None = None


SettleOutcome: TypeAlias = "SettledPayment | FailedPayment | UnknownPayment"


class _NotTaken(Exception):
    """The facilitator did not take the question: nothing was sent."""


class _NoAnswer(Exception):
    """Nobody knows what the facilitator did."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    error: AisaError | None


class FacilitatorClient:
    """Asks `facilitators` in their order; requests are signed by `signer` for nodes that want it.

    Raises:
        ConfigInvalid: there is none, or a URL is not `http(s)://host/…` without a query.
    """

    def __init__(
        self,
        facilitators: Sequence[TrustedFacilitator],
        signer: Signer | None = None,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        nonce: Callable[[], str] = random_nonce,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if not facilitators:
            raise ConfigInvalid("x402 payments need at least one facilitator")
        self._all = tuple((_address(one.url), one) for one in facilitators)
        self._signer = signer
        self._clock = clock
        self._nonce = nonce
        self._https = {
            direct: httpx2.AsyncClient(trust_env=not direct, transport=transport)
            for direct in {is_loopback(url) for url, _ in self._all}
        }

    async def close(self) -> None:
        """Close the connections."""
        for http in self._https.values():
            await http.aclose()

    async def supported(self) -> tuple[Supported, ...]:
        """What each facilitator that answers can do.

        Raises:
            RailUnavailable: none of them answers.
        """
        told: list[Supported] = []
        for url, one in self._all:
            try:
                reply = await self._ask("GET", f"{url}/supported", one, b"", VERIFY_TIMEOUT_S)
                told.append(Supported.parse(reply.body))
            except (_NotTaken, _NoAnswer, MalformedMessage):
                continue
        return tuple(told) or _none_answers()

    async def verify(self, request: FacilitatorRequest) -> VerifyResponse:
        """What the first facilitator that answers says of a payment.

        Raises:
            RailUnavailable: none of them answers; nothing was sent.
        """
        body = request.encode()
        for url, one in self._all:
            try:
                reply = await self._ask("POST", f"{url}/verify", one, body, VERIFY_TIMEOUT_S)
                return VerifyResponse.parse(reply.body)
            except (_NotTaken, _NoAnswer, MalformedMessage):
                continue
        return _none_answers()

    async def settle(
        self, request: FacilitatorRequest, key: str, *, is_repeat: bool
    ) -> SettleOutcome:
        """Have a payment carried out; `is_repeat` says that it may have been asked for before.

        A repeat asks every facilitator, for any of them may have been asked: one "settled" settles
        it, and it failed only if all say so that keep keys.

        Raises:
            RailUnavailable: not a repeat, and no facilitator took it: nothing was sent.
        """
        body = request.encode()
        network = request.requirements.network
        failed: FailedPayment | None = None
        unknown: UnknownPayment | None = None
        for url, one in self._all:
            outcome = await self._settle_at(url, one, body, key, network)
            if isinstance(outcome, SettledPayment):
                return outcome
            if not is_repeat and outcome is not None:
                return outcome
            if isinstance(outcome, FailedPayment) and one.keeps_keys:
                failed = outcome
            elif is_repeat:
                response = None if outcome is None else outcome.response
                unknown = UnknownPayment(response)
        return unknown or failed or _none_answers()

    async def _settle_at(
        self, url: str, one: TrustedFacilitator, body: bytes, key: str, network: str
    ) -> SettleOutcome | None:
        """Return what one facilitator says; None if it did not take the question."""
        try:
            reply = await self._ask("POST", f"{url}/settle", one, body, SETTLE_TIMEOUT_S, key)
        except _NotTaken:
            return None
        except _NoAnswer:
            return UnknownPayment()
        try:
            response = SettlementResponse.parse(reply.body)
        except MalformedMessage:
            if isinstance(reply.error, IdempotencyMismatch):
                # The key is this payment's own: it is the payer's name for it that was used before.
                said = SettlementResponse(False, "", network, error_reason=IDENTIFIER_USED)
                return FailedPayment(said)
            if 400 <= reply.status < 500 and reply.status not in _DOUBTFUL:
                return None
            return UnknownPayment()
        if response.success:
            is_this = reply.status == 200 and response.network == network
            return SettledPayment(response) if is_this else UnknownPayment(response)
        if response.error_reason == PENDING or reply.status >= 500:
            return UnknownPayment(response)
        return FailedPayment(response)

    async def _ask(
        self,
        method: str,
        url: str,
        one: TrustedFacilitator,
        body: bytes,
        timeout_s: float,
        key: str = "",
    ) -> _Reply:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            **one.headers,
        }
        if key:
            headers["idempotency-key"] = key
        if self._signer is not None:
            keyid = base64url.encode(self._signer.public_key)
            params = SignatureParams(keyid, self._clock() // 1000, self._nonce())
            headers |= sign_request(method, url, body, params, self._signer.sign)
        received = bytearray()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._https[is_loopback(url)].stream(
                    method, url, headers=headers, content=body, timeout=timeout_s
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    collect((chunk,), received)
        except _NOTHING_SENT as error:
            raise _NotTaken from error
        except (*TRANSPORT_ERRORS, TimeoutError, MalformedMessage) as error:
            raise _NoAnswer from error
        return _checked(response.status_code, bytes(received))


def _checked(status: int, body: bytes) -> _Reply:
    """Return the reply, unless it says that the question was not taken.

    Raises:
        _NotTaken: so it says.
    """
    error: AisaError | None = None
    if status >= 400:
        with suppress(MalformedMessage):
            error = error_of(parse_problem(body, status=status))
        if isinstance(error, RailUnavailable) or status == _TOO_MANY:
            raise _NotTaken
    return _Reply(status, body, error)


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigInvalid(
            f"{url[:80]!r} is not the URL of a facilitator",
            hint="write what stands before /verify, such as https://node.example/x402",
        )
    return url.rstrip("/")


def _none_answers() -> NoReturn:
    raise RailUnavailable("no facilitator takes x402 payments now; nothing was paid")
