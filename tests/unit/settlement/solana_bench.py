"""A Solana rail and its network in one process, where a test holds the clock and the wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from aisa.devnet.solana import instruction as ix
from aisa.devnet.solana.devnet import Devnet
from aisa.money import Token
from aisa.settlement.memory import MemoryDepositAddresses, MemoryJournal
from aisa.settlement.solana import SolanaRail, SolanaSettings

SEED = bytes(range(32))


class Wire(httpx2.AsyncBaseTransport):
    """Carries calls to the devnet in this process; a test may tamper with any answer."""

    def __init__(self, devnet: Devnet) -> None:
        self.devnet = devnet
        self.urls: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.tampers: dict[tuple[str, str], Callable[[Any], Any]] = {}
        self.bodies: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host.removesuffix(".test")
        body = await request.aread()
        self.urls.append(str(request.url))
        if self.statuses.get(host) == 0:
            raise httpx2.ConnectError("cut")
        if host in self.bodies or host in self.statuses:
            return httpx2.Response(self.statuses.get(host, 200), content=self.bodies.get(host, b""))
        asked = json.loads(body)
        answers = msgspec.json.decode(self.devnet.answer(body))
        pairs = zip(asked, answers, strict=True) if isinstance(asked, list) else [(asked, answers)]
        for call, answer in pairs:
            self.calls.append((host, call["method"]))
            for name in (host, "*"):
                tamper = self.tampers.get((name, call["method"]))
                if tamper is not None and "result" in answer:
                    answer["result"] = tamper(answer["result"])
        return httpx2.Response(200, content=msgspec.json.encode(answers))


class Bench:
    """A devnet whose slots pass on `pass_slots` alone, and rails on it."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000
        self.devnet = Devnet(clock=lambda: self.now_ms)
        self.wire = Wire(self.devnet)
        self.tokens = tuple(
            Token(
                spec.symbol,
                "test",
                self.devnet.genesis.network,
                self.devnet.genesis.asset(spec.address),
                spec.scale,
                "aiUSD",
            )
            for spec in self.devnet.genesis.mint_specs()
        )
        self.token, self.usdc = self.tokens
        self.mint = Pubkey.from_string(self.token.reference)
        self.journal = MemoryJournal()
        self.addresses = MemoryDepositAddresses()

    def rail(self, *, seed: bytes = SEED, hosts: str = "one", **settings: Any) -> SolanaRail:
        chosen = {"poll_s": 0.005, "rebroadcast_s": 60.0, "send_timeout_s": 0.05} | settings
        return SolanaRail(
            network=self.devnet.genesis.network,
            tokens=self.tokens,
            rpc_urls=[f"http://{host}.test" for host in hosts.split()],
            seed=seed,
            journal=self.journal,
            addresses=self.addresses,
            clock=lambda: self.now_ms,
            settings=SolanaSettings(**chosen),
            transport=self.wire,
        )

    def pass_slots(self, slots: int) -> None:
        self.now_ms += slots * self.devnet.genesis.slot_ms

    def fund(self, address: str, units: int, *, lamports: int = 1_000_000_000) -> None:
        if lamports:
            self.devnet.call("requestAirdrop", address, lamports)
        if units:
            wish = {"mint": self.token.reference, "owner": address, "units": str(units)}
            self.devnet.call("aisa_mint", wish)

    def units(self, owner: str, token: Token | None = None) -> int:
        mint = Pubkey.from_string((token or self.token).reference)
        account = ix.token_account(Pubkey.from_string(owner), mint)
        row = self.devnet.chain.svm.get_account(account)
        return 0 if row is None else int.from_bytes(row.data[64:72], "little")

    def carry_out(self, payer: Keypair, *steps: Any, skip_preflight: bool = False) -> str:
        latest: Any = self.devnet.call("getLatestBlockhash", {"commitment": "processed"})
        blockhash = Hash.from_string(latest["value"]["blockhash"])
        message = MessageV0.try_compile(payer.pubkey(), list(steps), [], blockhash)
        raw = bytes(VersionedTransaction(message, [payer]))
        options = {"encoding": "base64", "skipPreflight": skip_preflight}
        text = base64.b64encode(raw).decode()
        return str(self.devnet.call("sendTransaction", text, options))

    def payer(self, units: int) -> Keypair:
        payer = Keypair()
        self.fund(str(payer.pubkey()), units)
        return payer

    def pay(self, payer: Keypair, owner: str, units: int, token: Token | None = None) -> str:
        mint = Pubkey.from_string((token or self.token).reference)
        to = Pubkey.from_string(owner)
        return self.carry_out(
            payer,
            ix.create_token_account(payer.pubkey(), to, mint),
            ix.transfer_tokens(payer.pubkey(), mint, ix.token_account(to, mint), units, 6),
            ix.memo(Keypair().pubkey().__str__()),
        )
