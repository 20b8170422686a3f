"""A seller's client of facilitators: what each answer proves, and who is asked next."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from aisa.client.facilitator_client import (
    FacilitatorClient,
    FailedPayment,
    SettledPayment,
    TrustedFacilitator,
    UnknownPayment,
)
from aisa.errors import ConfigInvalid, RailUnavailable
from aisa.identity import SigningKey
from aisa.protocol.x402 import (
    FacilitatorRequest,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    Supported,
    SupportedKind,
    VerifyResponse,
)

NETWORK = "eip155:1"
WANTED = PaymentRequirements("exact", NETWORK, "0x12", 100, "0x34", 60)
REQUEST = FacilitatorRequest(PaymentPayload(WANTED, {"x": 1}), WANTED)
SETTLED = SettlementResponse(True, "0xfeed", NETWORK)
FAILED = SettlementResponse(False, "", NETWORK, error_reason="insufficient_funds")
PENDING = SettlementResponse(False, "0xaa", NETWORK, error_reason="settlement_pending")

Play = Callable[[httpx2.Request], httpx2.Response]


def says(status: int, body: bytes) -> Play:
    return lambda _: httpx2.Response(status, content=body)


def problem(status: int, slug: str) -> Play:
    document = {"type": "about:blank", "title": "x", "status": status, "detail": "x", "slug": slug}
    return says(status, json.dumps(document).encode())


def breaks(error: type[httpx2.TransportError]) -> Play:
    def play(request: httpx2.Request) -> httpx2.Response:
        raise error("broken", request=request)

    return play


UNREACHED = breaks(httpx2.ConnectError)
LOST = breaks(httpx2.ReadError)


def client(
    *plays: Play, keeps_keys: bool = True, **more: Any
) -> tuple[FacilitatorClient, list[Any]]:
    asked: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return plays[int(request.url.host[1:])](request)

    ones = [
        TrustedFacilitator(f"https://f{n}/x402/", keeps_keys, {"Authorization": "Bearer t"})
        for n in range(len(plays))
    ]
    return FacilitatorClient(ones, transport=httpx2.MockTransport(handle), **more), asked


async def settle(*plays: Play, is_repeat: bool = False, keeps_keys: bool = True) -> Any:
    one, asked = client(*plays, keeps_keys=keeps_keys)
    outcome = await one.settle(REQUEST, "key", is_repeat=is_repeat)
    await one.close()
    return outcome, len(asked)


async def test_a_question_is_x402s_own() -> None:
    one, asked = client(says(200, SETTLED.encode()), signer=SigningKey(bytes(32)))
    assert await one.settle(REQUEST, "key", is_repeat=False) == SettledPayment(SETTLED)
    (request,) = asked
    assert str(request.url) == "https://f0/x402/settle"
    assert FacilitatorRequest.parse(request.content) == REQUEST
    assert request.headers["idempotency-key"] == "key"
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["signature-input"]


@pytest.mark.parametrize(
    ("play", "outcome"),
    [
        (says(200, FAILED.encode()), FailedPayment(FAILED)),
        (says(400, FAILED.encode()), FailedPayment(FAILED)),
        (says(200, PENDING.encode()), UnknownPayment(PENDING)),
        (says(500, FAILED.encode()), UnknownPayment(FAILED)),
        (says(200, SettlementResponse(True, "0x", "eip155:2").encode()), None),
        (says(200, b"<html>"), UnknownPayment()),
        (says(502, b"<html>"), UnknownPayment()),
        (says(409, b"{}"), UnknownPayment()),
        (LOST, UnknownPayment()),
        (breaks(httpx2.ReadTimeout), UnknownPayment()),
        (says(200, b"x" * 5_000_000), UnknownPayment()),
    ],
)
async def test_who_took_the_question_decides(play: Play, outcome: Any) -> None:
    got, asked = await settle(play, says(200, SETTLED.encode()))
    assert isinstance(got, UnknownPayment) if outcome is None else got == outcome
    assert asked == 1


@pytest.mark.parametrize(
    "play",
    [
        UNREACHED,
        breaks(httpx2.ConnectTimeout),
        problem(503, "rail-unavailable"),
        problem(429, "rate-limited"),
        problem(401, "signature-invalid"),
        says(404, b"nothing here"),
    ],
)
async def test_who_did_not_take_it_is_passed_over(play: Play) -> None:
    assert await settle(play, says(200, SETTLED.encode())) == (SettledPayment(SETTLED), 2)
    with pytest.raises(RailUnavailable):
        await settle(play, play)
    got, _ = await settle(play, is_repeat=True)
    assert isinstance(got, UnknownPayment), "the first time it may have taken it"


async def test_a_name_that_was_used_before_has_failed() -> None:
    got, _ = await settle(problem(409, "idempotency-mismatch"))
    assert isinstance(got, FailedPayment)


@pytest.mark.parametrize(
    ("plays", "keeps_keys", "outcome"),
    [
        ([FAILED, SETTLED], True, SettledPayment),
        ([FAILED, SETTLED], False, SettledPayment),
        ([FAILED, FAILED], True, FailedPayment),
        ([FAILED, FAILED], False, UnknownPayment),
        ([PENDING, FAILED], True, UnknownPayment),
        ([FAILED, PENDING], True, UnknownPayment),
    ],
)
async def test_a_repeat_asks_all_of_them(
    plays: list[SettlementResponse], keeps_keys: bool, outcome: type[Any]
) -> None:
    told = [says(200, one.encode()) for one in plays]
    got, asked = await settle(*told, is_repeat=True, keeps_keys=keeps_keys)
    assert isinstance(got, outcome)
    assert asked == 2


async def test_verifying_goes_on_to_whoever_answers() -> None:
    good = says(200, VerifyResponse(True, payer="0x1").encode())
    for bad in (UNREACHED, LOST, says(500, b""), problem(503, "rail-unavailable")):
        one, asked = client(bad, good)
        assert (await one.verify(REQUEST)).is_valid
        assert len(asked) == 2
    one, _ = client(LOST)
    with pytest.raises(RailUnavailable):
        await one.verify(REQUEST)
    one, _ = client(says(400, VerifyResponse(False, "invalid_payload").encode()))
    assert (await one.verify(REQUEST)).invalid_reason == "invalid_payload"


async def test_supported_is_what_each_can_do() -> None:
    kinds = Supported((SupportedKind("exact", NETWORK),))
    one, _ = client(UNREACHED, says(200, kinds.encode()))
    assert await one.supported() == (kinds,)
    one, _ = client(UNREACHED)
    with pytest.raises(RailUnavailable):
        await one.supported()


@pytest.mark.parametrize("url", ["", "ftp://x", "https://", "https://x/?a=1", "x402.example"])
def test_a_url_must_be_one(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        FacilitatorClient([TrustedFacilitator(url)])


def test_there_must_be_one() -> None:
    with pytest.raises(ConfigInvalid):
        FacilitatorClient([])
