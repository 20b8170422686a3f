"""Odd answers of JSON-RPC servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.settlement.evm import server as server_module
from aisa.settlement.evm.answer import LOGS, Block, data_bytes, quantity, word
from aisa.settlement.evm.rpc import EvmRpc

Reply = Callable[[str, list[dict[str, Any]]], Any]


class Fake(httpx2.AsyncBaseTransport):
    """Answers by a function of host and calls; bytes are sent as they are."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = msgspec.json.decode(await request.aread())
        calls = body if isinstance(body, list) else [body]
        host = request.url.host
        self.asked.append((host, calls[0]["method"]))
        if calls[0]["method"] == "eth_chainId":
            found: Any = {"jsonrpc": "2.0", "id": 0, "result": "0x7a69"}
        else:
            found = self.reply(host, calls)
        if asyncio.iscoroutine(found):
            found = await found
        if isinstance(found, Exception):
            raise found
        if isinstance(found, httpx2.Response):
            return found
        content = found if isinstance(found, bytes) else msgspec.json.encode(found)
        return httpx2.Response(200, content=content)


def rpc(reply: Reply, *hosts: str, **options: Any) -> EvmRpc:
    urls = [f"http://{host}.test" for host in hosts or ("one",)]
    options = {"timeout_s": 0.3, "transport": Fake(reply), **options}
    return EvmRpc(urls, 31337, **options)


def result(value: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 0, "result": value}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b'{"jsonrpc":"2.0","id":0,"result":7}',
        b'{"jsonrpc":"2.0","id":0}',
        httpx2.Response(503, content=b"{}"),
        httpx2.Response(429, content=b"{}"),
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("late"),
        {"jsonrpc": "2.0", "id": 0, "error": {"code": -32005, "message": "too often"}},
        {"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "header not found"}},
    ],
    ids=repr,
)
async def test_an_odd_answer_is_no_answer_and_the_next_server_is_asked(answer: Any) -> None:
    with pytest.raises(RailUnavailable):
        await rpc(lambda _host, _calls: answer).call(str, "eth_gasPrice")
    two = rpc(lambda host, _: answer if host == "one.test" else result("0x1"), "one", "two")
    assert await two.call(str, "eth_gasPrice") == "0x1"


@pytest.mark.parametrize(
    "problem",
    [
        {"code": 3, "message": "execution reverted"},
        {"code": -32000, "message": "execution reverted: paused"},
        {"code": -32601, "message": "no such method"},
    ],
)
async def test_a_refusal_is_told_and_not_asked_elsewhere(problem: Any) -> None:
    fake = rpc(lambda _host, _calls: {"jsonrpc": "2.0", "id": 0, "error": problem}, "one", "two")
    with pytest.raises(RailError) as caught:
        await fake.call(str, "eth_call")
    assert not isinstance(caught.value, RailUnavailable)


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ANSWER_BYTES_MAX", 1_000)
    with pytest.raises(RailUnavailable, match="without end"):
        await rpc(lambda _host, _calls: b" " * 2_000).call(str, "eth_call")


async def test_a_server_that_drips_is_given_up_in_time() -> None:
    async def drips() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.05)
            yield b" "

    def reply(_host: str, _calls: Any) -> httpx2.Response:
        return httpx2.Response(200, content=drips())

    with pytest.raises(RailUnavailable, match="does not answer"):
        await rpc(reply).call(str, "eth_call")


async def test_a_batch_is_put_in_order_and_must_be_whole() -> None:
    def reply(_host: str, calls: list[dict[str, Any]]) -> Any:
        return [{**result(one["params"][0]), "id": one["id"]} for one in reversed(calls)]

    asked = [[hex(number)] for number in range(120)]
    assert await rpc(reply).call_many(str, "eth_x", asked) == [one[0] for one in asked]
    with pytest.raises(RailUnavailable, match="whole batch"):
        await rpc(lambda _h, calls: reply(_h, calls)[1:]).call_many(str, "eth_x", asked)


async def test_a_server_that_failed_is_asked_last_for_a_while() -> None:
    fake = Fake(lambda host, _: b"" if host == "one.test" else result("0x1"))
    two = rpc(fake.reply, "one", "two", transport=fake)
    for _ in range(3):
        await two.call(str, "eth_gasPrice")
    asked = [host for host, method in fake.asked if method == "eth_gasPrice"]
    assert asked == ["one.test", "two.test", "two.test", "two.test"]


async def test_what_counts_must_be_said_by_enough_and_denied_by_none() -> None:
    answers = {"one.test": "0x1", "two.test": "0x1", "three.test": "0x2"}

    def reply(host: str, _: Any) -> Any:
        found = answers[host]
        return result(found) if isinstance(found, str) else found

    three = rpc(reply, "one", "two", "three")
    with pytest.raises(RailUnavailable, match="disagree") as caught:
        await three.agreed(str, "eth_x", [[]])
    assert caught.value.facts == {"disagree": True}
    answers["three.test"] = httpx2.ConnectError("down")  # type: ignore[assignment]
    assert await three.agreed(str, "eth_x", [[]]) == ["0x1"]
    answers["two.test"] = httpx2.ConnectError("down")  # type: ignore[assignment]
    with pytest.raises(RailUnavailable, match="1 of 3 RPC servers answer eth_x, 2 must agree"):
        await three.agreed(str, "eth_x", [[]])


async def test_a_block_that_one_server_does_not_have_yet_is_no_lie() -> None:
    block = {
        "number": "0x10",
        "hash": "0x" + "11" * 32,
        "timestamp": "0x1",
        "gasUsed": "0x0",
        "gasLimit": "0x1",
    }

    def reply(host: str, _: Any) -> Any:
        return result(None if host == "one.test" else block)

    three = rpc(reply, "one", "two", "three")
    (found,) = await three.agreed(Block, "eth_getBlockByNumber", [["0x10", False]])
    assert found.height == 16


async def test_a_server_behind_the_url_that_lags_hides_no_logs() -> None:
    """It finds no logs in blocks that it does not have, so it must show one with the answer."""
    has_block = False

    def reply(_host: str, calls: list[dict[str, Any]]) -> Any:
        found = {"eth_getLogs": [], "eth_getBlockByNumber": {} if has_block else None}
        return [{**result(found[one["method"]]), "id": one["id"]} for one in calls]

    one = rpc(reply)
    with pytest.raises(RailUnavailable, match="has no block 7 yet"):
        await one.agreed(LOGS, "eth_getLogs", [[{}]], having=7)
    has_block = True
    assert await one.agreed(LOGS, "eth_getLogs", [[{}]], having=7) == [()]


async def test_servers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigInvalid):
        EvmRpc([], 1, timeout_s=1)
    with pytest.raises(ConfigInvalid):
        EvmRpc(["http://one.test"], 1, timeout_s=1, agreeing_min=2)


@pytest.mark.parametrize("text", ["", "0x", "12", "0xzz", "0x" + "1" * 65, "-0x1", "0x1 "])
def test_a_number_that_is_none(text: str) -> None:
    with pytest.raises(RailUnavailable):
        quantity(text)


@pytest.mark.parametrize("text", ["", "00", "0x0", "0xzz", "0x" + "00" * 31])
def test_a_word_that_is_none(text: str) -> None:
    with pytest.raises(RailUnavailable):
        word(text)
    assert data_bytes("0x") == b""
