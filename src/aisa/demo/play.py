"""The play: money comes in on a chain, 10,000 calls are paid for, and it goes out on a chain.

Node, seller and agent are processes of their own; this one only starts them, lets the issuer mint,
and reads everything back at the end.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

from aisa.demo.agent_link import AgentLink
from aisa.demo.audit import Auditor, ChainView
from aisa.demo.conservation import asset_sums
from aisa.demo.devnet_file import DevnetFile, Mintable
from aisa.demo.invoice import sample_invoices
from aisa.demo.job import PRICE_UNITS
from aisa.demo.outcome import Books, Job, Outcome
from aisa.demo.outside import FEES_LAMPORTS, Outside
from aisa.demo.port import Ports, free_ports
from aisa.demo.process import Family
from aisa.demo.rates import RateBook
from aisa.demo.stack import Stack
from aisa.demo.wire import Event, Plan
from aisa.devnet.solana.genesis import Genesis
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.errors import RailError

SYMBOL: Final = "aiUSD"
_STEP_S_MAX: Final = 60.0
_CALL_S_MAX: Final = 0.05
_COMMAND_S_MAX: Final = 60.0

Tell = Callable[[str], None]
Count = Callable[[str, int, int], None]


@dataclass(slots=True)
class Play:
    """One run of the demo in a home of its own; `tell` hears what happens, `count` how far."""

    home: Path
    calls: int
    tell: Tell
    count: Count
    agent: Outside = field(init=False)
    seller: Outside = field(init=False)

    def run(self) -> Outcome:
        """Play it; every process that it started has ended when this returns or raises."""
        # Loaded first, so that a missing extra is told before anything is started.
        book = RateBook()
        with Family(self.home / "log") as family:
            stack = Stack(self.home, Ports(*free_ports(3)), family, self.tell)
            devnet = stack.start(with_seller=True)
            self.agent = Outside(devnet.solana, secrets.token_bytes(32))
            self.seller = Outside(devnet.solana, secrets.token_bytes(32))
            return asyncio.run(self._acts(stack, devnet, book))

    async def _acts(self, stack: Stack, devnet: DevnetFile, book: RateBook) -> Outcome:
        token = devnet.token(SYMBOL)
        async with self.agent.open() as wallet:
            auditor = self._auditor(wallet, stack, devnet, token)
            before = await auditor.read()
            known = {fee.tx for fee in before.fees}
            self.tell("the issuer mints aiUSD into the agent's own token account")
            await wallet.request_airdrop(FEES_LAMPORTS)
            await wallet.request_tokens(token.mint, self._purse_units())
            job = await self._agent_acts(stack, devnet, token, auditor)
            self.tell("everything is read back: the ledger, the accounts, the chain")
            after = await auditor.read()
            books = await self._books(stack, after, token)
        fees = [fee for fee in after.fees if fee.tx not in known]
        mints = after.minted[len(before.minted) :]
        outcome = Outcome(
            asset=token.asset,
            job=job,
            books=books,
            fee_units=books.fees_units,
            before=before.holdings,
            after=after.holdings,
            chain_fees=fees,
            sums=asset_sums(before.holdings, after.holdings, mints, fees, native=auditor.native),
            euro_sum_expected=self._expected(book),
        )
        return self._checked(outcome, token)

    async def _agent_acts(
        self, stack: Stack, devnet: DevnetFile, token: Mintable, auditor: Auditor
    ) -> Job:
        link = AgentLink(
            stack.family.start(
                "agent",
                [sys.executable, "-m", "aisa.demo.agent"],
                stack.variables(),
                piped=True,
            )
        )
        await link.open(self._plan(devnet, token))
        self.tell("the agent sends them on chain to its deposit address at the node")
        funded = await link.step("fund", _STEP_S_MAX)
        auditor.roles[funded.address] = "node"
        self.tell(f"the agent converts a year of invoices: {self.calls:,} lookups at $0.0001")
        worked = await link.step("work", _STEP_S_MAX + self.calls * _CALL_S_MAX, self._on_event)
        self.tell("the seller redeems its vouchers and withdraws on chain")
        await self._command(stack, "seller", "redeem")
        await self._command(stack, "seller", "withdraw", "all", "--to", self.seller.address)
        self.tell("the agent closes its channel and withdraws the rest on chain")
        await link.step("leave", _STEP_S_MAX)
        assert worked.job is not None
        return worked.job

    async def _books(self, stack: Stack, chain: ChainView, token: Mintable) -> Books:
        """Add the ledger's accounts up, and set them beside what the chain says the node holds."""
        verified = await self._command(stack, "ledger", "verify")
        listed = await self._command(stack, "ledger", "balance", "")
        owed = Counter[str]()
        for account in listed["accounts"]:
            if account["currency"] == SYMBOL:
                owed[account["account"].partition(":")[0]] += int(account["units"])
        fees, outside = owed.pop("fee", 0), owed.pop("network", 0)
        held = sum(
            one.units
            for one in chain.holdings
            if one.asset == token.asset and one.role not in {"agent", "seller"}
        )
        customers = owed.total()
        is_balanced = customers + fees + outside == 0
        return Books(bool(verified["ok"]) and is_balanced, customers, fees, held)

    def _on_event(self, event: Event) -> None:
        self.count("paid calls", event.count, self.calls)

    def _plan(self, devnet: DevnetFile, token: Mintable) -> Plan:
        assert devnet.seller is not None
        return Plan(
            home=str(self.home),
            node=devnet.node,
            seller=devnet.seller,
            rpc=devnet.solana,
            mint=token.mint,
            asset=token.asset,
            outside_seed=self.agent.seed.hex(),
            calls=self.calls,
        )

    def _purse_units(self) -> int:
        return max(2_000_000, 2 * self.calls * PRICE_UNITS)

    def _auditor(
        self, wallet: SolanaWallet, stack: Stack, devnet: DevnetFile, token: Mintable
    ) -> Auditor:
        genesis = Genesis()
        faucet, issuer = (str(genesis.keypair(role).pubkey()) for role in ("faucet", "issuer"))
        roles = {
            faucet: "faucet",
            issuer: "issuer",
            token.mint: "mint",
            self.agent.address: "agent",
            self.seller.address: "seller",
            **dict.fromkeys(stack.treasuries, "node"),
        }
        roots = (faucet, issuer, token.mint)
        return Auditor(wallet, devnet.solana_network, roots, roles)

    def _expected(self, book: RateBook) -> Decimal:
        return sum(
            (
                one.in_euro(book.rate(one.currency, one.day).rate)
                for one in sample_invoices(self.calls)
            ),
            Decimal(0),
        )

    def _checked(self, outcome: Outcome, token: Mintable) -> Outcome:
        job = outcome.job
        received = outcome.token_units("seller", token.asset)
        minted = self._purse_units()
        outcome.checks.update(
            {
                "every call was served": job.served == job.calls == self.calls,
                "every call was paid once": job.paid_units == self.calls * PRICE_UNITS,
                "the euro sum is the library's own": Decimal(job.euro_sum)
                == outcome.euro_sum_expected,
                "the seller has on chain what was paid, less the fee": received
                == job.paid_units - outcome.fee_units,
                "the agent has on chain what it did not pay": outcome.token_units(
                    "agent", token.asset
                )
                == minted - job.paid_units,
            }
        )
        return outcome

    async def _command(self, stack: Stack, *words: str) -> dict[str, Any]:
        """Run one of our own commands in this home, and return its JSON."""
        process = await asyncio.create_subprocess_exec(
            *stack.aisa(*words, "--json"),
            env=stack.variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_COMMAND_S_MAX):
                answer, complaint = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise RailError(
                f"aisa {' '.join(words)} ended with code {process.returncode}",
                hint=complaint.decode("utf-8", "replace").strip()[-1000:],
            )
        return cast("dict[str, Any]", json.loads(answer))


@contextmanager
def passing_home(keep: bool) -> Generator[Path]:
    """A home that is deleted at the end, unless it is to be kept."""
    home = Path(tempfile.mkdtemp(prefix="aisa-demo-"))
    try:
        yield home
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
