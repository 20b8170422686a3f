"""A user's own client over an inner transport that is the simulated seller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.errors import AnswerTooLarge, BudgetExceeded, InvalidRequest, RailUnavailable
from aisa.sdk import Agent, AsyncAgent, AsyncPaymentTransport, PaymentTransport
from aisa.sdk.call import encode_content, prepare_headers
from aisa.sdk.place import locate
from aisa.sdk.step import Lost, Send
from tests.unit.sdk.market import ORIGIN, SellerSim

Make = Callable[..., Agent]


def inner(seller: SellerSim, seen: list[httpx2.Request] | None = None) -> httpx2.MockTransport:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        headers = dict(request.headers)
        names = {"payment-tick": "Payment-Tick", "payment-voucher": "Payment-Voucher"}
        said = {names.get(name, name): value for name, value in headers.items()}
        reply = seller.handle(Send(request.method, str(request.url), said, request.read(), 1.0))
        if isinstance(reply, Lost):
            raise (httpx2.ReadError if reply.is_sent else httpx2.ConnectError)(reply.reason)
        challenges = [("WWW-Authenticate", value) for value in reply.challenges]
        return httpx2.Response(
            reply.status, headers=[*reply.headers.items(), *challenges], content=reply.content
        )

    return httpx2.MockTransport(handle)


def test_requests_keep_their_headers_and_are_paid(make_agent: Make, seller: SellerSim) -> None:
    seen: list[httpx2.Request] = []
    transport = PaymentTransport(make_agent(), inner(seller, seen))
    with httpx2.Client(transport=transport, headers={"X-Mine": "1"}) as client:
        response = client.post(ORIGIN + "/x", json={"a": 1})
        assert response.status_code == 200
        assert response.extensions["aisa_payment"].charged.units == 100
        assert client.get(ORIGIN + "/free").extensions.get("aisa_payment") is None
    paid = next(request for request in seen if "payment-tick" in request.headers)
    assert (paid.headers["x-mine"], paid.headers["accept-encoding"]) == ("1", "identity")
    assert paid.headers["content-length"] == str(len(paid.content))


def test_of_a_long_answer_no_more_than_the_bound_is_read(
    make_agent: Make, seller: SellerSim
) -> None:
    transport = PaymentTransport(make_agent(answer_bytes_max=len(seller.answer) + 2), inner(seller))
    with httpx2.Client(transport=transport) as client:
        assert client.get(ORIGIN + "/x").status_code == 200
        seller.answer *= 2
        with pytest.raises(AnswerTooLarge):
            client.get(ORIGIN + "/x")


def test_a_lost_answer_is_repeated_through_the_inner_transport(
    make_agent: Make, seller: SellerSim
) -> None:
    transport = PaymentTransport(make_agent(), inner(seller))
    with httpx2.Client(transport=transport) as client:
        client.get(ORIGIN + "/x")
        seller.tricks = [lambda _: Lost(is_sent=True, reason="cut")]
        assert client.get(ORIGIN + "/x").status_code == 200
        seller.tricks = [lambda _: Lost(is_sent=False, reason="gone")] * 90
        with pytest.raises(RailUnavailable):
            client.get(ORIGIN + "/x", timeout=2)


def test_a_transport_has_a_price_of_its_own(make_agent: Make, seller: SellerSim) -> None:
    transport = PaymentTransport(make_agent(), inner(seller), price_max="0.00001 aiUSD")
    with httpx2.Client(transport=transport) as client, pytest.raises(BudgetExceeded):
        client.get(ORIGIN + "/x")


async def test_the_asynchronous_transport_pays_too(
    make_async_agent: Callable[..., AsyncAgent], seller: SellerSim
) -> None:
    async with make_async_agent() as agent:
        transport = AsyncPaymentTransport(agent, inner(seller), price_max="0.0001 aiUSD")
        async with httpx2.AsyncClient(transport=transport) as client:
            assert (await client.get(ORIGIN + "/x?a=b")).status_code == 200
            seller.tricks = [lambda _: Lost(is_sent=True, reason="cut")]
            assert (await client.get(ORIGIN + "/x")).status_code == 200


FOREIGN = """
import sys
import httpx2

# A stand-in with httpx's names: its modules, classes and errors are the same.
import types
module = types.ModuleType("httpx")
module.__dict__.update({name: getattr(httpx2, name) for name in httpx2.__all__})
class Request(httpx2.Request):
    pass
Request.__module__ = "httpx._models"
module.Request = Request
made = []
class Response(httpx2.Response):
    def __init__(self, *args, **kwargs):
        made.append(self)
        super().__init__(*args, **kwargs)
module.Response = Response
sys.modules["httpx"] = module

from aisa.sdk import Agent, PaymentTransport
class Inner(httpx2.BaseTransport):
    def handle_request(self, request):
        assert type(request) is Request
        return httpx2.Response(200, content=b"free")
with Agent(sys.argv[1], node="http://node.test") as agent:
    transport = PaymentTransport(agent, Inner())
    answer = transport.handle_request(Request("GET", "http://seller.test/free"))
    assert type(answer) is Response and answer.content == b"free"
"""


def test_a_client_of_httpx_gets_responses_of_httpx(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FOREIGN, str(tmp_path)], check=True, timeout=60)


def test_urls_are_digested_as_they_are_sent() -> None:
    place = locate("http://Seller.test:80/a b?q=ü|#part")
    assert (place.origin, place.path) == ("http://seller.test", "/a%20b")
    assert place.target == httpx2.URL("http://seller.test/a b?q=ü|").raw_path
    for bad in ("seller.test/x", "ftp://seller.test", "http://a:b@seller.test/"):
        with pytest.raises(InvalidRequest):
            locate(bad)


def test_aiohttp_sends_the_same_target() -> None:
    from aisa.sdk.async_agent import locate as locate_async

    for url in (ORIGIN, ORIGIN + "/a b/%2f?q=ü|&x", ORIGIN + "/x?"):
        place = locate_async(url)
        native: Any = place.native
        assert place.target == native.raw_path_qs.encode()
        assert place.origin == ORIGIN
    with pytest.raises(InvalidRequest):
        locate_async("nonsense")


def test_the_agent_sets_its_own_headers_alone() -> None:
    assert prepare_headers(None) == {"Accept-Encoding": "identity"}
    assert prepare_headers({"accept-encoding": "br"}) == {"accept-encoding": "br"}
    with pytest.raises(InvalidRequest, match="payment-tick"):
        prepare_headers({"Payment-Tick": "x"})


def test_content_is_bytes_text_or_json() -> None:
    assert encode_content(None, None) == (b"", "")
    assert encode_content("ü", None) == ("ü".encode(), "text/plain; charset=utf-8")
    assert encode_content(None, {"a": [1]}) == (b'{"a":[1]}', "application/json")
    for content, json in ((b"", {}), (None, object())):
        with pytest.raises(InvalidRequest):
            encode_content(content, json)
