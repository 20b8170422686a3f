"""The rail suite over real token programs: LiteSVM behind HTTP in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from aisa.devnet.solana.genesis import Genesis
from aisa.devnet.solana.process import SolanaProcess
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.money import Token
from aisa.settlement import DepositRequest
from aisa.settlement.memory import MemoryDepositAddresses, MemoryJournal
from aisa.settlement.solana import SolanaRail, SolanaSettings
from aisa.settlement.solana.keys import token_account
from tests.contract.rail_suite import RailSuite, RailWorld

pytestmark = pytest.mark.network

# Slots pass only when a test lets them: a slot of an hour, and a pulse that warps.
GENESIS = Genesis(slot_ms=3_600_000, finalize_slots=2)
FAULTS = {
    "refuse": "land_with_error",
    "drop": "drop",
    "lose_answer": "lose_answer",
    "delay": "delay",
}
EXPIRY_SLOTS = 150 + 32 + 2 + 1


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class SolanaWorld(RailWorld):
    name = "solana"

    def __init__(self, devnet: SolanaProcess, wallet: SolanaWallet) -> None:
        self.devnet = devnet
        self.wallet = wallet
        self.mint = devnet.mints["aiUSD"]
        asset = f"{devnet.network}/token:{self.mint}"
        self.token = Token("aiUSD", "test", devnet.network, asset, 6, "aiUSD")
        self.seed = secrets.token_bytes(32)
        self.journal = MemoryJournal()
        self.addresses = MemoryDepositAddresses()
        self.rails: list[SolanaRail] = []
        self.is_frozen = False
        self.make(devnet.url)

    def make(self, url: str) -> None:
        self.rail = self.made(url, send_timeout_s=30.0)
        self.impatient = self.made(url, send_timeout_s=0.2)

    def made(self, url: str, **settings: float) -> SolanaRail:
        rail = SolanaRail(
            network=self.devnet.network,
            tokens=[self.token],
            rpc_urls=[url],
            seed=self.seed,
            journal=self.journal,
            addresses=self.addresses,
            clock=now_ms,
            settings=SolanaSettings(poll_s=0.02, rebroadcast_s=60.0, **settings),  # type: ignore[arg-type]
        )
        self.rails.append(rail)
        return rail

    async def open(self) -> None:
        await cast("SolanaRail", self.rail).check_network()
        treasury = cast("SolanaRail", self.rail).treasury
        await self.wallet.call("requestAirdrop", treasury, 1_000_000_000)

    async def close(self) -> None:
        for rail in self.rails:
            await rail.close()

    async def pulse(self) -> None:
        while True:
            if not self.is_frozen:
                await self.warp(1)
            await asyncio.sleep(0.03)

    async def warp(self, slots: int) -> None:
        await self.wallet.call("aisa_warp", {"slots": slots})

    async def restart(self) -> None:
        self.make(self.devnet.url)

    async def hold(self, units: int) -> None:
        treasury = cast("SolanaRail", self.rail).treasury
        wish = {"mint": self.mint, "owner": treasury, "units": str(units)}
        await self.wallet.call("aisa_mint", wish)
        await self.warp(2)

    def stranger(self) -> str:
        return str(Keypair().pubkey())

    async def units(self, address: str) -> int:
        account = token_account(Pubkey.from_string(address), Pubkey.from_string(self.mint))
        answer = await self.wallet.call(
            "getMultipleAccounts", [str(account)], {"encoding": "jsonParsed"}
        )
        found = answer["value"][0]  # type: ignore[index]
        if found is None:
            return 0
        return int(found["data"]["parsed"]["info"]["tokenAmount"]["amount"])

    async def pay_in(self, request: DepositRequest, units: int) -> str:
        await self.wallet.request_tokens(self.mint, units)
        if not self.is_frozen:
            await self.warp(1)  # a new blockhash: equal payments are different chain txs
        return await self.wallet.send_token(self.mint, request.address, units)

    def freeze_finality(self) -> None:
        self.is_frozen = True

    async def finalize(self) -> None:
        self.is_frozen = False
        await self.warp(2)

    async def expire(self) -> None:
        await self.warp(EXPIRY_SLOTS)

    async def disturb(self, fault: str) -> None:
        await self.wallet.call("aisa_fault", {"name": FAULTS[fault], "slots": 100})

    async def land_delayed(self) -> None:
        await self.warp(100)

    async def cut(self) -> None:
        self.make("http://127.0.0.1:9")

    async def bad_destinations(self) -> list[str]:
        usdc = self.devnet.mints["test-USDC"]
        holder = Keypair().pubkey()
        wish = {"mint": usdc, "owner": str(holder), "units": "1"}
        await self.wallet.call("aisa_mint", wish)
        usdc_account = token_account(holder, Pubkey.from_string(usdc))
        unmade_account = token_account(Keypair().pubkey(), Pubkey.from_string(self.mint))
        return [
            "",
            "nowhere",
            "0x" + "ab" * 20,
            self.mint,
            str(usdc_account),
            str(unmade_account),
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            cast("SolanaRail", self.rail).treasury,
            str(token_account(self.own_owner(), Pubkey.from_string(self.mint))),
        ]

    def own_owner(self) -> Pubkey:
        return Pubkey.from_string(cast("SolanaRail", self.rail).treasury)


@pytest.fixture(scope="module")
def devnet() -> Iterator[SolanaProcess]:
    with SolanaProcess(genesis=GENESIS) as process:
        yield process


@pytest.fixture
async def solana(devnet: SolanaProcess) -> AsyncIterator[SolanaWorld]:
    async with SolanaWallet(devnet.url, Keypair()) as wallet:
        await wallet.request_airdrop(1_000_000_000)
        world = SolanaWorld(devnet, wallet)
        await world.open()
        pulse = asyncio.create_task(world.pulse())
        yield world
        pulse.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pulse
        await world.close()


class TestSolanaRail(RailSuite):
    @pytest.fixture
    def world(self, solana: SolanaWorld) -> SolanaWorld:
        return solana
