"""Our server: the head is bounded before it is buffered; paid calls over real sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.paywall import Paywall, PaywallMiddleware, TrustedHub
from aisa.paywall.server import BoundedHeadProtocol, serve_async, server_config
from tests.integration.paying import (
    NETWORK,
    SELLER_SEED,
    Clock,
    FakeHub,
    Payer,
    answer,
    request_of,
)

pytestmark = pytest.mark.network


@asynccontextmanager
async def serving(app: Any, **more: Any) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    listens = asyncio.Event()
    # The collector's settings belong to a server's process, and these tests share one.
    thresholds = gc.get_threshold()
    task = asyncio.create_task(serve_async(app, sockets=[listener], listens=listens, **more))
    try:
        await asyncio.wait_for(listens.wait(), 10)
        yield listener.getsockname()[1]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def ok(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await answer(send, body=b"%d" % size)


async def exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(65_536), 10)
    finally:
        writer.close()


HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"


async def test_a_head_of_10_megabytes_is_431_and_never_buffered() -> None:
    seen = 0
    received = BoundedHeadProtocol.data_received

    def counting(self: Any, data: bytes) -> None:
        nonlocal seen
        seen = max(seen, self._head_bytes)
        received(self, data)

    async with serving(ok) as port:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BoundedHeadProtocol, "data_received", counting)
            got = await exchange(port, HEAD + b"x-long: ", *[b"x" * 100_000] * 100)
        assert got.startswith(b"HTTP/1.1 431 ")
        assert json.loads(got.split(b"\r\n\r\n")[1])["slug"] == "head-too-large"
        assert seen <= 16 * 1024
        assert (await exchange(port, HEAD + b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_head_that_drips_is_refused_at_the_same_size() -> None:
    async with serving(ok) as port:
        line = b"x-a: " + b"y" * 1000 + b"\r\n"
        assert (await exchange(port, HEAD, *[line] * 20)).startswith(b"HTTP/1.1 431 ")
        assert (await exchange(port, HEAD, *[line] * 14, b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_bodies_are_not_counted_as_heads() -> None:
    body = b"z" * 300_000
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n"
    async with serving(ok) as port:
        got = await exchange(port, head + body)
        assert got.endswith(b"300000")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(head + body)
            got = await asyncio.wait_for(reader.readuntil(b"300000"), 10)
            assert b" 200 " in got
        writer.write(HEAD + b"x-long: " + b"x" * 20_000)
        assert (await asyncio.wait_for(reader.read(100), 10)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_pipelined_requests_are_all_answered() -> None:
    async with serving(ok) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((HEAD + b"\r\n") * 30)
        got = b""
        while got.count(b"HTTP/1.1 200") < 30:
            got += await asyncio.wait_for(reader.read(65_536), 10)
        writer.close()


async def test_starting_freezes_the_collector() -> None:
    async with serving(ok):
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold() == (50_000, 20, 100)


def test_the_configuration_can_be_changed() -> None:
    config = server_config(ok, port=1, access_log=True)
    assert config.http is BoundedHeadProtocol
    assert config.access_log


async def test_32_parallel_paid_calls_over_sockets(tmp_path: Path) -> None:
    paywall = Paywall(
        tmp_path / "seller.sqlite",
        SELLER_SEED,
        origin="http://127.0.0.1:1",
        hubs=[TrustedHub("http://127.0.0.1:9", NETWORK)],
        client_of=lambda *_: FakeHub(),
    )
    app = PaywallMiddleware(ok, paywall, {"/paid": "0.0001 aiUSD"})
    payer = Payer()
    async with serving(app) as port:
        origin = paywall.origin = f"http://127.0.0.1:{port}"
        paywall.origin_bytes = origin.encode()
        async with httpx2.AsyncClient(base_url=origin, trust_env=False) as client:
            unpaid = await client.get("/paid")
            assert unpaid.status_code == 402
            value = unpaid.headers["www-authenticate"]
            answered = type("A", (), {"header": staticmethod(lambda _: value)})
            key = request_of(answered).payee_x25519  # type: ignore[arg-type]
            now_s = paywall.clock() // 1000
            action = payer.open_action(key, now_s)

            async def pay(seq: int, **more: str) -> int:
                target = f"/paid?q={seq}"
                tick = payer.tick(seq, target=target, origin=origin)
                got = await client.get(target, headers={"Payment-Tick": tick, **more})
                return got.status_code

            opening = {"Payment-Authorization": payer.credential(value, action)}
            assert await pay(1, **opening) == 200
            statuses = await asyncio.gather(*(pay(seq) for seq in range(2, 34)))
            assert set(statuses) == {200}
            assert paywall.till.find(payer.id).charged == 3300
    assert not paywall.is_started
    assert Clock()() > 0


async def test_trailers_of_a_body_are_not_buffered_without_end() -> None:
    chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    async with serving(ok) as port:
        assert (await exchange(port, chunked + b"x-t: 1\r\n\r\n")).endswith(b"5")
        with suppress(ConnectionError):
            assert b"200 OK" not in await exchange(port, chunked + b"x-t: ", *[b"x" * 50_000] * 40)


async def test_a_body_may_come_in_many_small_chunks() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with serving(ok) as port:
        assert (await exchange(port, head, *[b"1\r\nx\r\n" * 9000] * 3, b"0\r\n\r\n")).endswith(
            b"27000"
        )


async def test_a_head_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aisa.paywall.server.HEAD_S_MAX", 0.05)
    async with serving(ok) as port:
        assert await exchange(port) == b""
        assert await exchange(port, b"GET / HT") == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(HEAD + b"\r\n")
            assert b"200 OK" in await asyncio.wait_for(reader.read(1000), 10)
            await asyncio.sleep(0.15)
        writer.close()
