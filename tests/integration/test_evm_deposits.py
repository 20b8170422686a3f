"""Deposits on a real EVM chain: finality, re-orgs, and servers that do not agree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.proxy import RpcProxy
from aisa.errors import ConfigInvalid, RailUnavailable
from aisa.protocol.eip712 import address_word, uint_word
from aisa.protocol.evm_address import parse_address
from aisa.settlement import DepositRequest
from aisa.settlement.evm.erc20 import call_data, transfer_data
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld

pytestmark = pytest.mark.network

ALICE = "aa" * 32
DEAD = "http://127.0.0.1:9"


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(ethereum)
    yield world
    await world.close()


@pytest.fixture
async def request_(world: EvmWorld) -> DepositRequest:
    return await world.rail.request(world.token, ALICE)


async def test_a_reorg_of_three_blocks_takes_back_only_what_was_not_told(
    world: EvmWorld, request_: DepositRequest
) -> None:
    deep = world.made(confirmations=4)
    kept = await world.pay_in(request_, 10)
    world.mine(4)
    told = await deep.incoming(b"")
    assert [one.reference for one in told.deposits] == [kept]
    await world.pay_in(request_, 500)
    world.mine(2)
    assert (await deep.incoming(told.cursor)).deposits == ()
    world.devnet.control.reorg(3)
    world.mine(6)
    assert (await deep.incoming(told.cursor)).deposits == ()
    assert (await deep.holdings())[world.token] == 10


async def test_a_deposit_that_moves_to_another_block_is_told_once(
    world: EvmWorld, request_: DepositRequest
) -> None:
    before = await world.rail.incoming(b"")
    hash_ = await world.pay_in(request_, 500)
    raw = str(world.devnet.rpc.call("eth_getRawTransactionByHash", hash_))
    # Another transfer before it in its new block, so that its log has another place there.
    giver = world.devnet.card.roles["issuer"]
    other = {"from": giver, "to": world.contract, "data": mint_data(world, giver)}
    world.mine(1)
    world.devnet.control.reorg(2, instead=[(0, other), (0, raw)])
    world.mine(CONFIRMATIONS)
    told = await world.rail.incoming(before.cursor)
    assert [(one.reference, one.units) for one in told.deposits] == [(hash_, 500)]
    assert (await world.rail.incoming(told.cursor)).deposits == ()


async def test_a_reorg_below_finality_is_walked_back_and_doubles_no_id(
    world: EvmWorld, request_: DepositRequest, caplog: pytest.LogCaptureFixture
) -> None:
    first = await world.pay_in(request_, 10)
    world.mine(CONFIRMATIONS)
    one = await world.rail.incoming(b"")
    hash_ = await world.pay_in(request_, 500)
    raw = str(world.devnet.rpc.call("eth_getRawTransactionByHash", hash_))
    world.mine(CONFIRMATIONS)
    two = await world.rail.incoming(one.cursor)
    assert [d.reference for d in (*one.deposits, *two.deposits)] == [first, hash_]
    world.devnet.control.reorg(CONFIRMATIONS + 1, instead=[(2, raw)])
    world.mine(CONFIRMATIONS)
    again = await world.rail.incoming(two.cursor)
    assert [d.id for d in again.deposits] == [two.deposits[0].id]
    assert "was taken back" in caplog.text
    assert (await world.rail.incoming(again.cursor)).deposits == ()


async def test_a_chain_that_got_shorter_is_waited_for(
    world: EvmWorld, request_: DepositRequest
) -> None:
    world.mine(10)
    told = await world.rail.incoming(b"")
    world.devnet.control.cut(5)
    assert await world.rail.incoming(told.cursor) == type(told)((), told.cursor)
    await world.pay_in(request_, 7)
    world.mine(12)
    assert [one.units for one in (await world.rail.incoming(told.cursor)).deposits] == [7]


async def test_finality_may_be_the_chains_own(world: EvmWorld, request_: DepositRequest) -> None:
    rail = world.made(confirmations=0)
    await world.pay_in(request_, 7)
    cursor = b""
    for blocks in range(3):
        found = await rail.incoming(cursor)
        assert len(found.deposits) == (blocks == 2), "anvil's finalized block is two back"
        cursor = found.cursor
        world.mine(1)
    assert (await rail.holdings())[world.token] == 7


async def test_only_listed_tokens_and_more_than_nothing_are_told(
    world: EvmWorld, request_: DepositRequest
) -> None:
    world.devnet.faucet.give_token("test-USDC", request_.address, 1_000)
    giver = world.devnet.card.roles["faucet"]
    data = world.devnet.rpc.call(
        "eth_sendTransaction",
        {"from": giver, "to": world.contract, "data": transfer_nothing(request_.address)},
    )
    world.devnet.rpc.wait_for(str(data))
    world.mine(CONFIRMATIONS)
    assert (await world.rail.incoming(b"")).deposits == ()


async def test_long_histories_are_read_in_pieces(world: EvmWorld, request_: DepositRequest) -> None:
    world.mine(200)
    await world.pay_in(request_, 5)
    world.mine(200)
    small = world.made(log_blocks_max=16)
    told: list[int] = []
    cursor = b""
    while True:
        found = await small.incoming(cursor)
        told += [one.units for one in found.deposits]
        if found.cursor == cursor:
            break
        cursor = found.cursor
    assert told == [5]
    assert world.wire.calls.count("eth_getLogs") >= 20
    assert len(cursor) < 2_500


async def test_a_server_that_limits_searches_is_asked_for_less(
    world: EvmWorld, request_: DepositRequest
) -> None:
    await world.pay_in(request_, 5)
    world.mine(100)

    def judge(_: str, call: dict[str, Any]) -> object:
        if call["method"] != "eth_getLogs":
            return None
        wish = call["params"][0]
        if int(wish["toBlock"], 16) - int(wish["fromBlock"], 16) >= 20:
            return {"error": {"code": -32005, "message": "query returns too much"}}
        return None

    world.wire.judge = judge
    assert [one.units for one in (await world.rail.incoming(b"")).deposits] == [5]


@pytest.mark.parametrize(
    ("method", "lie"),
    [
        ("eth_getLogs", lambda _: []),
        ("eth_getTransactionReceipt", lambda found: {**found, "gasUsed": "0x1"}),
        ("eth_getBlockByNumber", lambda found: {**found, "hash": "0x" + "ab" * 32}),
    ],
)
async def test_nothing_is_credited_while_servers_disagree(
    world: EvmWorld, request_: DepositRequest, method: str, lie: Any, caplog: Any
) -> None:
    start = await world.rail.incoming(b"")
    await world.pay_in(request_, 5)
    world.mine(CONFIRMATIONS)
    async with RpcProxy(world.devnet.url) as proxy:
        two = world.made([world.devnet.url, proxy.url])
        proxy.lie(method, lie)
        with pytest.raises(RailUnavailable, match="disagree"):
            await two.incoming(start.cursor)
        assert "RPC servers disagree" in caplog.text
        proxy.disarm()
        assert [one.units for one in (await two.incoming(start.cursor)).deposits] == [5]


async def test_a_lie_about_holdings_is_not_believed(world: EvmWorld) -> None:
    await world.hold(700)
    async with RpcProxy(world.devnet.url) as proxy:
        two = world.made([world.devnet.url, proxy.url])
        assert (await two.holdings())[world.token] == 700
        proxy.lie("eth_call", lambda _: "0x" + (10**9).to_bytes(32).hex())
        with pytest.raises(RailUnavailable, match="disagree"):
            await two.holdings()


async def test_two_of_three_servers_are_enough_and_one_is_not(
    world: EvmWorld, request_: DepositRequest
) -> None:
    await world.pay_in(request_, 5)
    world.mine(CONFIRMATIONS)
    three = world.made([DEAD, world.devnet.url, world.devnet.url])
    assert [one.units for one in (await three.incoming(b"")).deposits] == [5]
    two = world.made([DEAD, world.devnet.url])
    with pytest.raises(RailUnavailable, match="1 of 2 RPC servers"):
        await two.incoming(b"")
    lone = world.made([DEAD, world.devnet.url], agreeing_min=1)
    assert [one.units for one in (await lone.incoming(b"")).deposits] == [5]


async def test_a_server_that_comes_back_as_another_chain_is_not_asked(
    world: EvmWorld, request_: DepositRequest
) -> None:
    await world.rail.check_network()  # type: ignore[attr-defined]
    async with RpcProxy(world.devnet.url) as proxy:
        rail = world.made([proxy.url])
        await rail.check_network()
        cursor = (await rail.incoming(b"")).cursor
        proxy.drop()
        with pytest.raises(RailUnavailable):
            await rail.incoming(cursor)
        proxy.lie("eth_chainId", lambda _: "0x1")
        with pytest.raises(RailUnavailable, match="chain 1, not of 31337"):
            await rail.incoming(cursor)
        with pytest.raises(ConfigInvalid, match="chain 1"):
            await world.made([proxy.url]).check_network()


async def test_a_token_that_is_not_as_configured_stops_the_start(world: EvmWorld) -> None:
    right = world.token
    world.token = replace(right, scale=18)
    with pytest.raises(ConfigInvalid, match="6 digits"):
        await world.made().check_network()
    world.token = replace(right, asset=right.asset.lower()[:-4] + "0000")
    with pytest.raises(ConfigInvalid, match="no contract"):
        await world.made().check_network()


def mint_data(world: EvmWorld, to: str) -> str:
    words = address_word(parse_address(to)), uint_word(1)
    return "0x" + call_data("mint(address,uint256)", *words).hex()


def transfer_nothing(to: str) -> str:
    return "0x" + transfer_data(parse_address(to), 0).hex()
