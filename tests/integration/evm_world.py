"""A rail over a real anvil, with a wire in between that can be disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx2
import msgspec

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.money import Token
from aisa.protocol.evm_address import format_address, parse_address
from aisa.settlement import DepositRequest, Outgoing
from aisa.settlement.evm import EscrowSettings, EvmRail, EvmSettings
from aisa.settlement.evm.erc20 import balance_data, transfer_data
from aisa.settlement.memory import MemoryDepositAddresses, MemoryJournal
from tests.contract.rail_suite import RailWorld

CONFIRMATIONS = 3
REVERT = "0x60006000fd"
GAS_MONEY = 10**18


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Wire(httpx2.AsyncBaseTransport):
    """Passes requests on; `judge` may answer one itself, hold it or lose its answer."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self.judge: Callable[[str, dict[str, Any]], Any] | None = None
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        call = msgspec.json.decode(body)
        first = call[0] if isinstance(call, list) else call
        self.calls.append(first["method"])
        judged = self.judge and self.judge(str(request.url), first)
        if asyncio.iscoroutine(judged):
            judged = await judged
        if judged == "lose":
            await self._inner.handle_async_request(request)
            raise httpx2.ReadTimeout("the answer was lost")
        if isinstance(judged, Exception):
            raise judged
        if judged is not None:
            answer = {"jsonrpc": "2.0", "id": first["id"], **judged}
            return httpx2.Response(200, content=msgspec.json.encode(answer))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class EvmWorld(RailWorld):
    name = "node.evm"
    escrow_settings: EscrowSettings | None = None

    def __init__(self, devnet: EthereumDevnet, symbol: str = "aiUSD") -> None:
        self.devnet = devnet
        card = devnet.token(symbol)
        self.contract = card.address
        self.token = Token(symbol, "test", devnet.network, card.asset, card.scale, "aiUSD")
        self.seed = secrets.token_bytes(32)
        self.journal = MemoryJournal()
        self.addresses = MemoryDepositAddresses()
        self.wire = Wire()
        self.held: list[str] = []
        self.ahead_ms = 0
        self.rails: list[EvmRail] = []
        self.payer = EvmKey(secrets.token_bytes(32))
        self.is_frozen = False
        self.make([devnet.url])
        devnet.control.set_balance(self.treasury, GAS_MONEY)

    @property
    def treasury(self) -> str:
        return cast("EvmRail", self.rail).treasury

    def make(self, urls: list[str]) -> None:
        self.rail = self.made(urls)
        self.impatient = self.made(urls, send_timeout_s=0.2)

    def made(self, urls: list[str] | None = None, **settings: Any) -> EvmRail:
        pace = {"poll_s": 0.02, "repeat_s": 60.0, "send_timeout_s": 30.0, "rpc_timeout_s": 5.0}
        rail = EvmRail(
            network=self.devnet.network,
            tokens=[self.token],
            rpc_urls=urls or [self.devnet.url],
            seed=self.seed,
            journal=self.journal,
            addresses=self.addresses,
            clock=lambda: now_ms() + self.ahead_ms,
            settings=EvmSettings(**{"confirmations": CONFIRMATIONS, **pace, **settings}),
            escrow=self.escrow_settings,
            transport=self.wire,
        )
        self.rails.append(rail)
        return rail

    async def close(self) -> None:
        for rail in self.rails:
            await rail.close()

    async def pulse(self) -> None:
        while True:
            if not self.is_frozen:
                self.mine(1)
            await asyncio.sleep(0.03)

    @contextlib.asynccontextmanager
    async def pulsing(self) -> AsyncIterator[None]:
        """Let blocks come by themselves inside."""
        pulse = asyncio.create_task(self.pulse())
        try:
            yield
        finally:
            pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pulse

    def mine(self, blocks: int) -> None:
        self.devnet.control.mine(blocks)

    async def restart(self) -> None:
        self.make([self.devnet.url])

    async def hold(self, units: int) -> None:
        self.devnet.faucet.give_token(self.token.symbol, self.treasury, units)
        self.mine(CONFIRMATIONS)

    def stranger(self) -> str:
        return format_address(secrets.token_bytes(20))

    async def units(self, address: str) -> int:
        data = "0x" + balance_data(parse_address(address)).hex()
        wish = {"to": self.contract, "data": data}
        return self.devnet.rpc.number("eth_call", wish, "latest")

    async def pay_in(self, request: DepositRequest, units: int) -> str:
        giver = self.devnet.card.roles["faucet"]
        self.devnet.faucet.give_token(self.token.symbol, giver, units)
        data = "0x" + transfer_data(parse_address(request.address), units).hex()
        tx = {"from": giver, "to": self.contract, "data": data}
        hash_ = str(self.devnet.rpc.call("eth_sendTransaction", tx))
        self.devnet.rpc.wait_for(hash_)
        return hash_

    def freeze_finality(self) -> None:
        self.is_frozen = True

    async def finalize(self) -> None:
        self.is_frozen = False
        self.mine(CONFIRMATIONS)

    async def expire(self) -> None:
        """What waited for longer than the rail waits is cancelled, and that must be final."""
        self.ahead_ms += 7 * 3600 * 1000
        rail = cast("EvmRail", self.rail)
        await rail.look_up("out-1")
        self.mine(CONFIRMATIONS)

    async def disturb(self, fault: str) -> None:
        def judge(_: str, call: dict[str, Any]) -> object:
            if call["method"] != "eth_sendRawTransaction":
                return None
            raw = call["params"][0]
            if fault == "delay":
                self.held.append(raw)
                return {"result": "0x" + "00" * 32}
            self.wire.judge = None
            if fault == "drop":
                return {"result": "0x" + "00" * 32}
            if fault == "refuse":
                self.land_reverted(raw)
                return {"result": "0x" + "00" * 32}
            return "lose"

        self.wire.judge = judge

    def land_reverted(self, raw: str) -> None:
        """Let the token refuse everything while a chain tx lands."""
        code = str(self.devnet.rpc.call("eth_getCode", self.contract, "latest"))
        self.devnet.control.set_code(self.contract, REVERT)
        self.devnet.rpc.call("eth_sendRawTransaction", raw)
        self.mine(1)
        self.devnet.control.set_code(self.contract, code)
        self.mine(CONFIRMATIONS)  # so that the final state has the code again

    async def land_delayed(self) -> None:
        self.wire.judge = None
        for raw in set(self.held):
            self.devnet.rpc.call("eth_sendRawTransaction", raw)

    async def cut(self) -> None:
        self.make(["http://127.0.0.1:9"])

    async def bad_destinations(self) -> list[str]:
        good = format_address(bytes.fromhex("ab" * 20))
        return [
            "",
            "nowhere",
            "So11111111111111111111111111111111111111112",
            good[:-1],
            good.swapcase().replace("0X", "0x"),
            "0x" + "00" * 20,
            "0x" + "00" * 19 + "01",
            self.contract,
            self.treasury,
        ]


def out(world: EvmWorld, id: str, units: int, to: str) -> Outgoing:  # noqa: A002
    return Outgoing(id, world.token, units, to)
