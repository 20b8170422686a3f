"""The client's messages, its signing and what it makes of a node's answers."""

from __future__ import annotations

import json

import httpx2
import pytest

from aisa.client import (
    ChannelRole,
    ChannelState,
    NodeClient,
    RedemptionClaim,
    RedemptionStatus,
    SyncNodeClient,
    origin_of,
)
from aisa.client.call import ANSWER_BYTES_MAX
from aisa.client.message import OpenChannelRequest, RedemptionClaims, WithdrawalRequest
from aisa.client.shape import decode, encode
from aisa.errors import (
    ConfigInvalid,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    MalformedMessage,
    NodeUnavailable,
    NotFound,
    RedirectRefused,
)
from aisa.identity import SigningKey, verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import ChannelTerms, DepositStatement, Voucher, hub_network
from aisa.protocol.httpsig import verify_request
from aisa.protocol.problem import problem_of

KEY = SigningKey(b"\x01" * 32)
NODE = SigningKey(b"\x02" * 32)
NETWORK = hub_network(NODE.public_key)
TERMS = ChannelTerms(NETWORK, NODE.public_key, KEY.public_key, b"\x04" * 32, "aiUSD", b"\x05" * 16)
NOW_MS = 1_800_000_000_000

VIEW = {
    "channel": base64url.encode(TERMS.channel_id),
    "network": NETWORK,
    "payer": base64url.encode(TERMS.payer),
    "payee": base64url.encode(TERMS.payee),
    "currency": "aiUSD",
    "salt": base64url.encode(TERMS.salt),
    "state": "open",
    "deposit": "1000000",
    "redeemed": "0",
    "fee_taken": "0",
    "fee_ppm": 1000,
    "a_member_of_a_later_version": {"x": 1},
}


def client(answer: httpx2.Response | Exception, seen: list[httpx2.Request]) -> SyncNodeClient:
    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SyncNodeClient(
        "http://node.test:8080/",
        KEY,
        clock=lambda: NOW_MS,
        nonce=lambda: "nonce-1",
        transport=httpx2.MockTransport(handle),
    )


def ok(value: object) -> httpx2.Response:
    return httpx2.Response(200, json=value)


def test_a_call_is_signed_over_its_whole_target() -> None:
    seen: list[httpx2.Request] = []
    page = {"channels": [VIEW], "next_after": "ff"}
    answer = client(ok(page), seen).channels(ChannelRole.PAYEE, ChannelState.CLOSING)
    assert answer.channels[0].deposit == 1_000_000
    assert answer.channels[0].channel == TERMS.channel_id
    assert answer.next_after == "ff"
    (request,) = seen
    url = "http://node.test:8080/v1/channels?role=payee&state=closing&limit=100"
    assert str(request.url) == url
    params = verify_request(
        "GET",
        url,
        b"",
        {name.lower(): value for name, value in request.headers.items()},
        key_of=lambda keyid: base64url.decode_exact(keyid, "keyid", 32),
        verify=verify_signature,
        now_s=NOW_MS // 1000,
    )
    assert params.nonce == "nonce-1"
    assert params.keyid == base64url.encode(KEY.public_key)


def test_opening_sends_the_terms_and_reads_the_statement() -> None:
    statement = DepositStatement(TERMS.channel_id, 1_000_000, 1000, 1_800_000_000, b"\x09" * 64)
    body = json.loads(encode(statement))
    assert body["deposit"] == "1000000"
    seen: list[httpx2.Request] = []
    answer = {"channel": VIEW, "statement": body}
    opened = client(ok(answer), seen).open_channel("op-1", TERMS, 1_000_000, b"\x07" * 64)
    assert opened.statement == statement
    sent = decode(OpenChannelRequest, seen[0].content, "body", bytes_max=65536)
    assert sent.terms == TERMS
    assert (sent.id, sent.deposit) == ("op-1", 1_000_000)


def test_claims_go_as_a_list_and_come_back_in_order() -> None:
    voucher = Voucher(TERMS.channel_id, 500, 0, b"\x08" * 64)
    claims = (
        RedemptionClaim(TERMS.channel_id, 500, voucher),
        RedemptionClaim(TERMS.channel_id, 500, final=True),
    )
    channel = base64url.encode(TERMS.channel_id)
    seen: list[httpx2.Request] = []
    results = client(
        ok(
            [
                {"channel": channel, "status": "applied", "redeemed": "500", "fee": "1"},
                {
                    "channel": channel,
                    "status": "refused",
                    "redeemed": "0",
                    "fee": "0",
                    "problem": {"slug": "insufficient-funds", "detail": "no"},
                },
            ]
        ),
        seen,
    ).redeem(claims)
    assert decode(RedemptionClaims, seen[0].content, "body", bytes_max=65536) == claims
    assert [result.status for result in results] == [
        RedemptionStatus.APPLIED,
        RedemptionStatus.REFUSED,
    ]
    assert results[1].problem is not None
    assert isinstance(results[1].problem.error(), InsufficientFunds)


@pytest.mark.parametrize("units", ["9223372036854775808", "NaN", "1e-7", "-1", "", "0", "01", 5])
def test_an_amount_that_is_none_is_refused_by_name(units: object) -> None:
    body = {"id": "w", "asset": "a", "units": units, "destination": "d", "fee_units_max": "0"}
    with pytest.raises(InvalidRequest, match=r"body\.units") as caught:
        decode(WithdrawalRequest, json.dumps(body).encode(), "body", bytes_max=4096)
    assert isinstance(caught.value, InvalidAmount)
    assert caught.value.facts["field"] == "body.units"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": None}, "body.id"),
        ({"id": "no spaces"}, "body.id"),
        ({"extra": 1}, "body.extra"),
        ({"asset": 7}, "body.asset"),
        ({"destination": ""}, "body.destination"),
    ],
)
def test_a_request_of_another_shape_is_refused_by_name(
    change: dict[str, object], named: str
) -> None:
    body = {"id": "w", "asset": "a", "units": "1", "destination": "d", "fee_units_max": "0"}
    with pytest.raises(MalformedMessage, match=named):
        decode(WithdrawalRequest, json.dumps(body | change).encode(), "body", bytes_max=4096)


def test_a_problem_becomes_its_error_again() -> None:
    error = InsufficientFunds("the account holds 5", currency="aiUSD")
    answer = httpx2.Response(422, content=problem_of(error).encode())
    with pytest.raises(InsufficientFunds, match="holds 5") as caught:
        client(answer, []).withdraw("w", "asset", 7, "there", 0)
    assert caught.value.facts == {"currency": "aiUSD"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.ConnectError("refused"), NodeUnavailable),
        (httpx2.ReadTimeout("slow"), NodeUnavailable),
        (httpx2.RemoteProtocolError("cut"), NodeUnavailable),
        (httpx2.Response(502, content=b"<html>"), NodeUnavailable),
        (httpx2.Response(404, content=b"{}"), NotFound),
        (httpx2.Response(307, headers={"location": "http://thief.test/"}), RedirectRefused),
        (httpx2.Response(200, content=b"{"), MalformedMessage),
        (httpx2.Response(200, content=b" " * (ANSWER_BYTES_MAX + 1)), MalformedMessage),
    ],
)
def test_what_is_no_answer_raises(
    answer: httpx2.Response | Exception, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client(answer, []).account()


async def test_the_asynchronous_client_sends_the_same_request() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return ok({"key": base64url.encode(KEY.public_key), "balances": []})

    async with NodeClient(
        "http://node.test:8080",
        KEY,
        clock=lambda: NOW_MS,
        nonce=lambda: "nonce-1",
        transport=httpx2.MockTransport(handle),
    ) as node:
        asynchronous = await node.account()
    with client(ok({"key": base64url.encode(KEY.public_key), "balances": []}), seen) as synchronous:
        assert synchronous.account() == asynchronous
    assert asynchronous.available("aiUSD") == 0
    assert seen[0].headers["signature"] == seen[1].headers["signature"]
    assert str(seen[0].url) == str(seen[1].url)


async def test_a_silent_node_is_unavailable() -> None:
    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectTimeout("nothing")

    async with NodeClient("http://node.test", KEY, transport=Silent()) as node:
        with pytest.raises(NodeUnavailable, match=r"node\.test"):
            await node.account()


def test_a_signed_call_needs_a_key() -> None:
    with SyncNodeClient("http://node.test") as node, pytest.raises(ConfigInvalid):
        node.account()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://NODE.test:80/", "http://node.test"),
        ("https://node.test:443", "https://node.test"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_url_has_one_origin(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url", ["", "node.test", "ftp://node.test", "http://a@b", "http://a/b", "http://a:99999"]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        origin_of(url)
