"""One agent pays a thousand times a second for a minute, over a real node on the devnet.

The money comes in as tokens on the chain and leaves on it. What the node has paid the seller in the
end is counted against the calls in the order in which they were due.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aisa.client import ChannelRole, ChannelState, SyncNodeClient, TokenInfo, WithdrawalState
from aisa.demo.devnet_file import DevnetFile
from aisa.demo.outside import Outside
from aisa.demo.port import usual_ports, with_free_ones
from aisa.demo.process import Family
from aisa.demo.stack import Stack
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.identity import SigningKey, derive_seed
from aisa.sdk.home import ensure_agent_seed
from benchmarks.bench import Bench, Group, claim, say
from benchmarks.claim import Claim, absolute
from benchmarks.ours.filled import PRICE_UNITS
from benchmarks.prices import SolanaPrices
from benchmarks.side import module
from benchmarks.worker import Worker

SETTLED = "thousand_per_s_for_60_s"
COST = "settlement_cost_share"
RATE = 1_000
SECONDS, SECONDS_QUICK = 60, 20
WINDOW_S = 10
FUNDS_UNITS = 10_000_000
USD_UNITS = 1_000_000
WAIT_S = 60


@dataclass(slots=True)
class Minute:
    """What came of the calls, what the node paid, and what the chain took."""

    windows: list[int]
    served: int
    refused: int
    p50_ms: float
    p99_ms: float
    redeemed_units: int = 0
    fee_units: int = 0
    withdrawn_units: int = 0
    chain_fees: list[int] = field(default_factory=list)

    def settled_shares(self) -> list[float]:
        """For each window, the share of its calls that were served in time and paid for."""
        due = RATE * WINDOW_S
        left = self.redeemed_units // PRICE_UNITS - 1  # one call opened the channel
        shares: list[float] = []
        for on_time in self.windows:
            shares.append(min(on_time, max(0, left)) / due)
            left -= due
        return shares


def measure(bench: Bench) -> list[Claim]:
    """Return both claims."""
    seconds = SECONDS_QUICK if bench.quick else SECONDS
    home = bench.folder / "minute"
    home.mkdir()
    with Family(home / "logs") as family:
        stack = Stack(home, with_free_ones(usual_ports()), family, say, dict(os.environ))
        devnet = stack.start(with_seller=False)
        minute = _run(bench, devnet, home, seconds)
    return _claims(minute, seconds)


def _run(bench: Bench, devnet: DevnetFile, home: Path, seconds: int) -> Minute:
    payee_seed = secrets.token_bytes(32)
    outside = Outside(devnet.solana, secrets.token_bytes(32))
    with SyncNodeClient(devnet.node) as stranger:
        token = stranger.info().tokens[0]
    agent_home = home / "agent"
    deposit_owner = _fund(devnet, token, agent_home, outside)
    command = module(
        "seller", "--store", home / "seller.sqlite", "--seed", payee_seed.hex(),
        "--hub-url", devnet.node, "--hub-network", devnet.node_network,
    )  # fmt: skip
    with Worker("minute-seller", command, bench.logs) as seller:
        url = f"http://127.0.0.1:{seller.read_line()}/paid"
        command = module("pacer", "--url", url, "--node", devnet.node, "--home", agent_home)
        with Worker("minute-agent", command, bench.logs) as agent:
            agent.ask({"do": "open"})
            say(f"paying {RATE:,} times a second for {seconds} s")
            answer = agent.ask({"do": "run", "rate": RATE, "seconds": seconds})
            agent.ask({"do": "close"})
            minute = _minute(answer)
            with SyncNodeClient(devnet.node, SigningKey(payee_seed)) as payee:
                _settle(minute, payee, token, outside.address)
                reference = _withdraw(minute, payee, token, outside.address)
    minute.chain_fees = asyncio.run(_chain_fees(devnet, token, outside, deposit_owner, reference))
    return minute


def _minute(answer: dict[str, Any]) -> Minute:
    return Minute(
        answer["windows"], answer["served"], answer["refused"], answer["p50_ms"], answer["p99_ms"]
    )


@contextmanager
def _agent_account(devnet: DevnetFile, agent_home: Path) -> Iterator[SyncNodeClient]:
    seed = derive_seed(ensure_agent_seed(agent_home), "account", devnet.node_network)
    with SyncNodeClient(devnet.node, SigningKey(seed)) as client:
        yield client


def _fund(devnet: DevnetFile, token: TokenInfo, agent_home: Path, outside: Outside) -> str:
    """Bring tokens in over the chain; return the address that they went to."""
    agent_home.mkdir()
    mint = next(one.mint for one in devnet.tokens if one.asset == token.asset)
    with _agent_account(devnet, agent_home) as client:
        address = client.deposit_address(token.asset).address
        asyncio.run(outside.mint_and_send(mint, address, FUNDS_UNITS))
        _wait(
            lambda: client.account().available(token.currency) >= FUNDS_UNITS, "the deposit arrives"
        )
    return address


def _settle(minute: Minute, payee: SyncNodeClient, token: TokenInfo, address: str) -> None:
    def channels():
        return payee.channels(ChannelRole.PAYEE).channels

    _wait(
        lambda: all(one.state is ChannelState.CLOSED for one in channels()),
        "the channels are closed",
    )
    minute.redeemed_units = sum(one.redeemed for one in channels())
    minute.fee_units = sum(one.fee_taken for one in channels())
    available = payee.account().available(token.currency)
    if available != minute.redeemed_units - minute.fee_units:
        raise RuntimeError(f"the node credited {available} units, not what was redeemed")


def _withdraw(minute: Minute, payee: SyncNodeClient, token: TokenInfo, address: str) -> str:
    """Take everything onto the chain; return the chain tx."""
    available = payee.account().available(token.currency)
    quote = payee.withdrawal_quote(token.asset, available, address)
    units = available - quote.fee_units
    name = f"wd_{secrets.token_hex(12)}"
    payee.withdraw(name, token.asset, units, address, quote.fee_units)
    _wait(
        lambda: payee.withdrawal(name).state is WithdrawalState.SETTLED, "the withdrawal is settled"
    )
    minute.withdrawn_units = units
    return payee.withdrawal(name).reference or ""


async def _chain_fees(
    devnet: DevnetFile, token: TokenInfo, outside: Outside, deposit_owner: str, withdrawal: str
) -> list[int]:
    """Return the lamports of every chain tx that brought the money in, moved it on or took it out."""
    options: dict[str, object] = {"commitment": "confirmed", "encoding": "json"}
    options["maxSupportedTransactionVersion"] = 0
    async with outside.open() as wallet:
        signatures = {withdrawal}
        for address in (deposit_owner, await _token_account(wallet, devnet, token, deposit_owner)):
            rows: Any = await wallet.call(
                "getSignaturesForAddress", address, {"commitment": "confirmed"}
            )
            signatures |= {row["signature"] for row in rows}
        found: list[Any] = [
            await wallet.call("getTransaction", one, options) for one in sorted(signatures)
        ]
    return [int(one["meta"]["fee"]) for one in found]


async def _token_account(
    wallet: SolanaWallet, devnet: DevnetFile, token: TokenInfo, owner: str
) -> str:
    mint = next(one.mint for one in devnet.tokens if one.asset == token.asset)
    options = {"encoding": "jsonParsed", "commitment": "confirmed"}
    rows: Any = await wallet.call("getTokenAccountsByOwner", owner, {"mint": mint}, options)
    return str(rows["value"][0]["pubkey"])


def _wait(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_S} s in vain until {what}")
        time.sleep(0.1)


def _claims(minute: Minute, seconds: int) -> list[Claim]:
    shares = minute.settled_shares()
    due = RATE * seconds
    return [
        claim(
            SETTLED,
            ">= 1",
            absolute(shares),
            unit="of all calls",
            note=f"windows of {WINDOW_S} s, {RATE:,} calls due in each second, started on time whether or"
            f" not others were answered; {minute.served:,} of {due:,} served, {minute.refused} refused,"
            f" p50 {minute.p50_ms:.1f} ms, p99 {minute.p99_ms:.1f} ms; the node paid the seller"
            f" {minute.redeemed_units:,} units less {minute.fee_units:,} of its fee, of which"
            f" {minute.withdrawn_units:,} left on the chain",
        ),
        _cost_claim(minute, shares),
    ]


def _cost_claim(minute: Minute, shares: Sequence[float]) -> Claim:
    prices = SolanaPrices.load()
    lamports = sum(minute.chain_fees) + prices.priority_lamports * len(minute.chain_fees)
    chain_usd = prices.usd_of(lamports)
    hub_share = minute.fee_units / max(1, minute.redeemed_units)
    costs: list[float] = []
    for share in shares:
        value_usd = share * RATE * WINDOW_S * PRICE_UNITS / USD_UNITS
        costs.append(chain_usd / value_usd + hub_share if value_usd else float("inf"))
    return claim(
        COST,
        "<= 0.01",
        absolute(costs),
        unit="of the value",
        note=f"as if every {WINDOW_S} s were brought in and taken out on Solana by themselves:"
        f" {len(minute.chain_fees)} chain txs, {lamports:,} lamports with tips, ${chain_usd:.4f} at an"
        f" assumed ${prices.usd_per_sol:g} for one SOL ({prices.assumed_on}), and the node's fee of"
        f" {hub_share:.2%}; in this run they were needed once for the whole minute",
    )


GROUP = Group("minute", (SETTLED, COST), measure)
