"""The reverse proxy: what the server behind it sees, what comes back, and what is charged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.errors import ConfigInvalid
from aisa.paywall import FREE, PaywallMiddleware, ReverseProxy
from tests.integration.paying import ORIGIN, Answer, Payer, Shop, act, call

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nX-Kept: a\r\n\r\nhello"


class Upstream:
    """A server that writes the bytes it is told to, and keeps every request as it came."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.default = OK
        self.requests: list[bytes] = []
        self.is_slow = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> tuple[str, dict[str, str], bytes]:
        """The request line, headers and body of the newest request."""
        head, _, body = self.requests[-1].partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        return line, {k.lower(): v for k, v in (one.split(": ", 1) for one in fields)}, body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = b""
            if b"content-length: " in head.lower():
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
            self.requests.append(head + body)
            if self.is_slow:
                await asyncio.sleep(5)
            writer.write(self.answers.pop(0) if self.answers else self.default)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[Upstream]:
    made = Upstream()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running() as made:
        yield made


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[ReverseProxy]:
    made = ReverseProxy(upstream.url, origin=ORIGIN, timeout_s=2)
    yield made
    await made.close()


@asynccontextmanager
async def shop_of(
    folder: Path, proxy: ReverseProxy, prices: dict[str, Any]
) -> AsyncIterator[tuple[Shop, Payer]]:
    async with Shop(folder) as shop:
        shop.app = PaywallMiddleware(proxy, shop.paywall, prices)
        payer = Payer()
        first = await shop.open(payer)
        assert first.status == 200, first.body
        yield shop, payer


async def test_a_request_goes_on_as_it_came(upstream: Upstream, proxy: ReverseProxy) -> None:
    headers = {"Accept": "text/*", "Authorization": "Bearer own", "X-Forwarded-For": "6.6.6.6"}
    got = await call(proxy, "/a%2Fb/c", query="x=1&x=%20", headers=headers)
    assert (got.status, got.body, got.header("x-kept")) == (200, b"hello", "a")
    line, seen, _ = upstream.last
    assert line == "GET /a%2Fb/c?x=1&x=%20 HTTP/1.1"
    assert (seen["accept"], seen["authorization"]) == ("text/*", "Bearer own")
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert seen["host"] == f"127.0.0.1:{upstream.port}"
    assert seen["x-forwarded-host"] == "whatever.example"
    assert not {"user-agent", "accept-encoding", "transfer-encoding"} & set(seen)


async def test_payment_and_connection_headers_stay_here(
    upstream: Upstream, proxy: ReverseProxy
) -> None:
    headers = {
        "Payment-Tick": "t", "Payment-Voucher": "v", "Payment-Authorization": "a",
        "PAYMENT-SIGNATURE": "s", "Accept-Payment": "aisa", "Aisa-Payer": "f" * 64,
        "Connection": "close, X-Hop", "X-Hop": "1", "TE": "trailers", "Upgrade": "h2c",
    }  # fmt: skip
    await call(proxy, headers=headers)
    _, seen, _ = upstream.last
    assert set(seen) <= {
        "host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "connection",
    }  # fmt: skip
    assert seen.get("connection", "keep-alive") == "keep-alive"


async def test_a_body_goes_on_whole(upstream: Upstream, proxy: ReverseProxy) -> None:
    await call(proxy, method="POST", chunks=[b"one ", b"two"])
    line, seen, body = upstream.last
    assert (line, seen["content-length"], body) == ("POST /paid HTTP/1.1", "7", b"one two")


async def test_the_servers_path_comes_first_and_its_redirects_name_us(upstream: Upstream) -> None:
    proxy = ReverseProxy(f"{upstream.url}/api/", origin=ORIGIN)
    moved = b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n"
    own = upstream.url.encode()
    for sent, told in [
        (own + b"/api/new?a=1", f"{ORIGIN}/new?a=1"),
        (own, ORIGIN),
        (b"/relative", "/relative"),
        (own + b"0.evil.example/", f"{upstream.url}0.evil.example/"),
        (b"https://elsewhere.example/", "https://elsewhere.example/"),
    ]:
        upstream.answers = [moved % sent]
        got = await call(proxy, "/old")
        assert (got.status, got.header("location")) == (302, told)
        assert upstream.last[0] == "GET /api/old HTTP/1.1"
    await proxy.close()


async def test_an_answer_comes_back_as_it_was_written(
    upstream: Upstream, proxy: ReverseProxy
) -> None:
    packed = b"\x1f\x8b not really gzip"
    upstream.answers = [
        b"HTTP/1.1 404 Not Found\r\ncontent-encoding: gzip\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"
        b"connection: close, x-own\r\nx-own: 1\r\nkeep-alive: timeout=5\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(packed), packed)
    ]
    got = await call(proxy)
    assert (got.status, got.body) == (404, packed)
    names = [name for name, _ in got.headers]
    assert names.count(b"set-cookie") == 2
    assert not {b"connection", b"x-own", b"keep-alive"} & set(names)


async def test_a_streamed_answer_comes_in_pieces(upstream: Upstream, proxy: ReverseProxy) -> None:
    upstream.answers = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n4\r\n two\r\n0\r\n\r\n"
    ]
    got = await call(proxy)
    assert (got.status, got.body, got.header("transfer-encoding")) == (200, b"one two", None)


async def test_no_answer_is_said_so(upstream: Upstream, proxy: ReverseProxy) -> None:
    upstream.answers = [b""]
    cut = await call(proxy)
    assert (cut.status, cut.slug) == (503, "upstream-unavailable")
    slow = ReverseProxy(upstream.url, timeout_s=0.2)
    upstream.is_slow = True
    late = await call(slow)
    assert (late.status, late.slug, late.header("retry-after")) == (
        503,
        "upstream-unavailable",
        "1",
    )
    await slow.close()
    nobody = ReverseProxy("http://127.0.0.1:9")
    assert (await call(nobody)).slug == "upstream-unavailable"
    await nobody.close()


async def test_an_answer_that_breaks_off_is_no_whole_one(
    upstream: Upstream, proxy: ReverseProxy
) -> None:
    upstream.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"]
    with pytest.raises(httpx2.RemoteProtocolError):
        await call(proxy)


@pytest.mark.parametrize(
    "url", ["api.example", "ftp://api.example", "http://", "http://h/?q=1", "http://u@h/"]
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        ReverseProxy(url)


async def test_websockets_are_refused(proxy: ReverseProxy) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await proxy({"type": "websocket", "path": "/"}, receive, send)
    assert [one["type"] for one in sent] == ["websocket.close"]


async def test_a_paid_call_is_charged_once_and_the_server_learns_who_paid(
    upstream: Upstream, proxy: ReverseProxy, tmp_path: Path
) -> None:
    prices = {"GET /health": FREE, "/{path:path}": "0.0001 aiUSD"}
    async with shop_of(tmp_path, proxy, prices) as (shop, payer):
        assert upstream.last[1]["aisa-payer"] == payer.key.public_key.hex()
        first = await shop.pay(payer, 2)
        again = await shop.pay(payer, 2)
        assert (first.status, first.body) == (again.status, again.body) == (200, b"hello")
        assert first.header("payment-receipt") == again.header("payment-receipt")
        assert len(upstream.requests) == 2
        assert shop.channel(payer).charged == 200
        assert (await call(shop.app, "/anything")).status == 402
        free = await call(shop.app, "/health")
        assert (free.status, free.header("payment-receipt")) == (200, None)
        assert "aisa-payer" not in upstream.last[1]


async def test_a_channel_is_opened_under_a_price_for_everything(
    proxy: ReverseProxy, tmp_path: Path
) -> None:
    async with shop_of(tmp_path, proxy, {"/{path:path}": "0.0001 aiUSD"}) as (shop, payer):
        raised = await act(shop.app, payer.raise_to(60_000))
        assert (raised.status, raised.json()["ceiling"]) == (200, "60000")


async def test_what_failed_is_not_charged(
    upstream: Upstream, proxy: ReverseProxy, tmp_path: Path
) -> None:
    async with shop_of(tmp_path, proxy, {"/{path:path}": "0.0001 aiUSD"}) as (shop, payer):
        for said in (b"", b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"):
            upstream.answers = [said]
            failed = await shop.pay(payer, 2)
            assert failed.status in {500, 503}
            assert shop.channel(payer).charged == 100
        assert (await shop.pay(payer, 2)).status == 200
        assert shop.channel(payer).charged == 200


@pytest.mark.parametrize(
    "path",
    [
        "/free/../paid", "/free//../paid", "/free/./x", "/free/..;/paid", "/free/..\\paid",
        "/free/x\n", "/any\nthing", "/any\n",
    ],
)  # fmt: skip
async def test_a_free_path_is_no_way_around(
    upstream: Upstream, proxy: ReverseProxy, tmp_path: Path, path: str
) -> None:
    prices = {"/free/{rest:path}": FREE, "/{path:path}": "0.0001 aiUSD"}
    async with shop_of(tmp_path, proxy, prices) as (shop, _):
        asked = len(upstream.requests)
        assert (await call(shop.app, "/free/really")).status == 200
        assert len(upstream.requests) == asked + 1
        got: Answer = await call(shop.app, path)
        assert got.status == 402
        assert len(upstream.requests) == asked + 1
