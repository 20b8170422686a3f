"""A whole node in this process: its application over a real ledger and the memory network."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from aisa.client import NodeClient
from aisa.identity import SigningKey
from aisa.ledger import Store
from aisa.node.app import create_app
from aisa.node.assemble import assembled
from aisa.node.config import NodeConfig, RailConfig, parse_config
from aisa.node.services import Services
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.protocol.aip import ChannelTerms, Voucher, open_bytes
from aisa.settlement.memory import MemoryNetwork, MemoryRail
from aisa.settlement.rail import Rail

ORIGIN = "http://node.test"
ASSET = "aisa:memory/token:aiusd"
SEED = b"\x11" * 32
ALICE = SigningKey(b"\x12" * 32)
BOB = SigningKey(b"\x13" * 32)
THIEF = SigningKey(b"\x14" * 32)
PAYER = SigningKey(b"\x15" * 32)

CONFIG = f"""
public_urls = ["{ORIGIN}"]
withdrawal_wait_ms = 200
reconcile_ms = 10
deposit_poll_ms = 10

[[currency]]
code = "aiUSD"
channel_fee_ppm = 1000
account_cap = "1000"

[[rail]]
kind = "memory"
network = "aisa:memory"

[[rail.token]]
symbol = "aiUSD"
issuer = "issuer"
asset = "{ASSET}"
scale = 6
currency = "aiUSD"
"""


class Time:
    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class House:
    services: Services
    network: MemoryNetwork
    time: Time
    app: Any
    stack: AsyncExitStack
    nonces: Any = field(default_factory=lambda: map("n{}".format, itertools.count()))

    def transport(self) -> httpx2.ASGITransport:
        return httpx2.ASGITransport(self.app, raise_app_exceptions=False)

    def client(self, key: SigningKey | None, url: str = ORIGIN) -> NodeClient:
        return NodeClient(
            url,
            key,
            clock=self.time,
            nonce=lambda: next(self.nonces),
            transport=self.transport(),
        )

    async def http(self) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(transport=self.transport(), base_url=ORIGIN)
        return await self.stack.enter_async_context(client)

    async def fund(self, key: SigningKey, units: int) -> None:
        async with self.client(key) as client:
            given = await client.deposit_address(ASSET)
        token = self.services.withdrawals.token_of(ASSET)
        self.network.mint("memory:outside", token, units)
        self.network.pay("memory:outside", given.address, token, units)
        assert await self.services.deposits.step(self.services.rails[0]) == 1

    def terms(self, salt: int = 1) -> ChannelTerms:
        return ChannelTerms(
            self.services.network,
            self.services.signer.public_key,
            PAYER.public_key,
            BOB.public_key,
            "aiUSD",
            salt.to_bytes(16),
        )


def signed_open(terms: ChannelTerms, key: SigningKey = ALICE) -> bytes:
    return PAYER.sign(open_bytes(terms.channel_id, key.public_key))


def voucher(channel: bytes, ceiling: int) -> Voucher:
    return Voucher(channel, ceiling, 0, PAYER.sign(Voucher(channel, ceiling).message()))


def memory_rails(network: MemoryNetwork) -> Callable[..., Rail]:
    def make(config: RailConfig, store: Store, seed: bytes, clock: Callable[[], int]) -> Rail:
        return MemoryRail(
            network,
            tuple(peg.token for peg in config.pegs),
            journal=RecordJournal(store),
            addresses=RecordAddresses(store, config.network),
            timeout_s=0.02,
        )

    return make


@asynccontextmanager
async def open_house(
    folder: Path,
    *,
    time: Time | None = None,
    network: MemoryNetwork | None = None,
    config: NodeConfig | None = None,
) -> AsyncIterator[House]:
    time = time or Time()
    network = network or MemoryNetwork(time)
    config = config or parse_config(CONFIG, {}, folder)
    async with (
        AsyncExitStack() as stack,
        assembled(
            config, SEED, clock=time, monotonic_ms=time, rail_maker=memory_rails(network)
        ) as services,
    ):
        services.authenticator.serve((ORIGIN,))
        await services.solvency.check()
        yield House(services, network, time, create_app(services), stack)
        await stack.aclose()
