"""The endpoint that fails on demand: every fault, on a real chain behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.proxy import RpcProxy

pytestmark = pytest.mark.network

TO = "0x2222222222222222222222222222222222222222"


@pytest.fixture
async def proxy(ethereum: EthereumDevnet) -> AsyncIterator[RpcProxy]:
    async with RpcProxy(ethereum.url) as proxy:
        yield proxy


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
        yield client


async def ask(
    client: httpx2.AsyncClient, proxy: RpcProxy, method: str, *params: object, timeout_s: float = 5
) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    response = await client.post(proxy.url, json=body, timeout=timeout_s)
    return response.raise_for_status().json()


def gift(ethereum: EthereumDevnet) -> dict[str, str]:
    return {"from": ethereum.card.roles["faucet"], "to": TO, "value": "0x5"}


def given(ethereum: EthereumDevnet) -> int:
    return ethereum.rpc.number("eth_getBalance", TO, "latest")


async def is_given(ethereum: EthereumDevnet, units: int) -> bool:
    """Wait for it: the chain answers a send before the block with it is made."""
    for _ in range(200):
        if given(ethereum) == units:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_it_passes_calls_on(
    ethereum: EthereumDevnet, proxy: RpcProxy, client: httpx2.AsyncClient
) -> None:
    for _ in range(2):
        assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x7a69"
    assert "error" in await ask(client, proxy, "eth_noSuchMethod")
    batch: list[dict[str, object]] = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": "b", "method": "eth_blockNumber", "params": []},
    ]
    proxy.lie("eth_blockNumber", lambda _: "0x99")
    answers = (await client.post(proxy.url, json=batch)).json()
    assert [one["result"] for one in answers] == ["0x7a69", "0x99"]
    assert proxy.calls == {"eth_chainId": 3, "eth_noSuchMethod": 1, "eth_blockNumber": 1}


async def test_a_dropped_send_never_reaches_the_chain(
    ethereum: EthereumDevnet, proxy: RpcProxy, client: httpx2.AsyncClient
) -> None:
    proxy.drop("eth_sendTransaction")
    with pytest.raises(httpx2.TransportError):
        await ask(client, proxy, "eth_sendTransaction", gift(ethereum))
    assert given(ethereum) == 0
    await ask(client, proxy, "eth_sendTransaction", gift(ethereum))
    assert await is_given(ethereum, 5)


@pytest.mark.parametrize("way", ["lose_answer", "cut_answer"])
async def test_a_send_whose_answer_is_lost_has_happened(
    ethereum: EthereumDevnet, proxy: RpcProxy, client: httpx2.AsyncClient, way: str
) -> None:
    getattr(proxy, way)("eth_sendTransaction")
    assert (await ask(client, proxy, "eth_blockNumber"))["result"]
    with pytest.raises(httpx2.TransportError):
        await ask(client, proxy, "eth_sendTransaction", gift(ethereum))
    assert await is_given(ethereum, 5)


@pytest.mark.parametrize(("carried_out", "units"), [(False, 0), (True, 5)])
async def test_a_call_that_hangs(
    ethereum: EthereumDevnet,
    proxy: RpcProxy,
    client: httpx2.AsyncClient,
    carried_out: bool,
    units: int,
) -> None:
    proxy.hang("eth_sendTransaction", carried_out=carried_out)
    with pytest.raises(httpx2.TimeoutException):
        await ask(client, proxy, "eth_sendTransaction", gift(ethereum), timeout_s=0.3)
    assert await is_given(ethereum, units)
    waiting = asyncio.create_task(ask(client, proxy, "eth_chainId"))
    proxy.hang("eth_chainId")
    await proxy.called("eth_chainId")
    proxy.disarm()
    with pytest.raises(httpx2.TransportError):
        await waiting


async def test_a_late_answer_is_the_right_one(proxy: RpcProxy, client: httpx2.AsyncClient) -> None:
    proxy.delay("eth_chainId", 0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x7a69"
    assert loop.time() - began >= 0.2


async def test_lies_about_chain_balance_and_receipt(
    ethereum: EthereumDevnet, proxy: RpcProxy, client: httpx2.AsyncClient
) -> None:
    tx = ethereum.faucet.give_native(TO, 5)
    proxy.lie("eth_chainId", lambda _: "0x1", count=1)
    proxy.lie("eth_getBalance", lambda told: hex(int(str(told), 16) + 1))
    proxy.lie("eth_getTransactionReceipt", lambda told: {**told, "status": "0x0"})  # type: ignore[dict-item]
    assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x1"
    assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x7a69"
    assert (await ask(client, proxy, "eth_getBalance", TO, "latest"))["result"] == "0x6"
    receipt = (await ask(client, proxy, "eth_getTransactionReceipt", tx))["result"]
    assert (receipt["status"], receipt["transactionHash"]) == ("0x0", tx)
    proxy.disarm()
    assert (await ask(client, proxy, "eth_getBalance", TO, "latest"))["result"] == "0x5"


async def test_refusals_and_statuses(proxy: RpcProxy, client: httpx2.AsyncClient) -> None:
    proxy.refuse("eth_chainId", "nonce too low", code=-32000)
    assert (await ask(client, proxy, "eth_chainId"))["error"] == {
        "code": -32000,
        "message": "nonce too low",
    }
    fault = proxy.answer_status(429, count=2)
    for _ in range(2):
        with pytest.raises(httpx2.HTTPStatusError, match="429"):
            await ask(client, proxy, "eth_chainId")
    assert fault.is_spent
    assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x7a69"


async def test_an_endpoint_that_dies_comes_up_at_the_same_place(
    proxy: RpcProxy, client: httpx2.AsyncClient
) -> None:
    await ask(client, proxy, "eth_chainId")
    url = proxy.url
    await proxy.go_down()
    with pytest.raises(httpx2.TransportError):
        await ask(client, proxy, "eth_chainId")
    await proxy.come_up()
    assert proxy.url == url
    assert (await ask(client, proxy, "eth_chainId"))["result"] == "0x7a69"
    with pytest.raises(httpx2.TransportError):
        await client.post(proxy.url, content=b"no json")
