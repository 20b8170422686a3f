"""A whole answer is sent once its charge is durable, whatever the application does meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aisa.errors import StoreUnavailable
from tests.integration.paying import Payer, Shop, answer, call


async def _send_nothing(message: Any) -> None:
    return


async def test_an_application_that_goes_on_does_not_hold_up_its_answer(tmp_path: Path) -> None:
    finish = asyncio.Event()
    has_gone_on: list[bool] = []

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"first")
        has_gone_on.append(True)
        await finish.wait()

    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        shop.handle = handle
        sent: list[Any] = []
        arrived = asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                arrived.set()

        paying = asyncio.create_task(_raw(shop, payer, 2, send))
        async with asyncio.timeout(5):
            await arrived.wait()
        assert has_gone_on
        assert not paying.done()
        assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
        assert sent[1]["body"] == b"first"
        finish.set()
        await paying
        assert len(sent) == 2
        assert shop.channel(payer).charged == 200


async def test_an_application_that_fails_after_its_answer_has_still_answered(
    tmp_path: Path,
) -> None:
    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"done")
        raise ValueError("too late")

    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        shop.handle = handle
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(ValueError, match="too late"):
            await _raw(shop, payer, 2, send)
        assert sent[0]["status"] == 200
        assert sent[1]["body"] == b"done"
        assert shop.channel(payer).charged == 200


async def test_a_commit_that_fails_is_a_problem_and_no_charge(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        store = shop.paywall.till.store
        commit = store.commit

        def fails(batch: Any) -> None:
            raise StoreUnavailable("the disk is full")

        store.commit = fails  # type: ignore[method-assign]
        refused = await shop.pay(payer, 2)
        store.commit = commit  # type: ignore[method-assign]
        assert refused.status == 503
        assert shop.channel(payer).charged == 100
        assert (await shop.pay(payer, 2)).status == 200
        assert shop.channel(payer).charged == 200


@pytest.mark.parametrize("body", ["text", None, 7])
async def test_a_body_that_is_no_bytes_fails_its_own_call_only(tmp_path: Path, body: Any) -> None:
    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        good = shop.handle
        shop.handle = handle
        with pytest.raises((TypeError, AttributeError)):
            await _raw(shop, payer, 2, _send_nothing)
        shop.handle = good
        assert (await shop.pay(payer, 3)).status == 200
        assert shop.channel(payer).charged == 200


async def test_trailers_pass_behind_a_charged_answer(tmp_path: Path) -> None:
    async def handle(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
        await send(start)
        await send({"type": "http.response.body", "body": b"ok"})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"y")]})

    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        shop.handle = handle
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message["type"].removeprefix("http.response."))

        await _raw(shop, payer, 2, send)
        assert sent == ["start", "body", "trailers"]
        assert shop.channel(payer).charged == 200


async def _raw(shop: Shop, payer: Payer, seq: int, send: Any) -> None:
    """Make a paid call whose messages the test sees as they come."""
    await call(shop.app, headers={"Payment-Tick": payer.tick(seq, 100, 0)}, send=send)
