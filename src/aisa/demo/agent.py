"""The agent as a process of its own: takes steps by line of JSON, tells events by line of JSON.

`fund` brings its tokens from its own token account to the node, `work` converts the invoices, and
`leave` closes its channels and takes the rest back onto the chain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from aisa import faults
from aisa.channel.payer import CALLS_PER_STEP
from aisa.client import ChannelRole, ChannelState, NodeClient, TokenInfo, WithdrawalState
from aisa.demo.invoice import sample_invoices
from aisa.demo.job import PRICE_UNITS, Conversion
from aisa.demo.outcome import Job
from aisa.demo.outside import Outside
from aisa.demo.wire import Event, Plan
from aisa.errors import AisaError, OutcomeUnknown, RailError
from aisa.identity import SigningKey, derive_seed
from aisa.money import AIUSD, Amount
from aisa.paywall.server import loop_factory
from aisa.sdk import AsyncAgent, Budget
from aisa.sdk.home import ensure_agent_seed

_POLL_S: Final = 0.05
_TELL_EVERY_S: Final = 0.2
_WAIT_S_MAX: Final = 60.0


def _tell(event: Event) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


async def fund(plan: Plan, client: NodeClient) -> Event:
    """Send every token that the agent has outside to its deposit address; wait for the credit."""
    token = await _token(client, plan.asset)
    address = await client.deposit_address(token.asset)
    async with Outside(plan.rpc, bytes.fromhex(plan.outside_seed)).open() as wallet:
        units = await wallet.token_units(plan.mint)
        await wallet.send_token(plan.mint, address.address, units)
    await _until(lambda: _has(client, token.currency, units), "the deposit is not credited")
    return Event(done=True, units=units, address=address.address)


async def work(plan: Plan, agent: AsyncAgent) -> Job:
    """Convert the invoices, telling how far it is."""
    conversion = Conversion(agent, plan.seller, list(sample_invoices(plan.calls)))
    ticker = asyncio.create_task(_tell_count(lambda: conversion.count))
    try:
        return await conversion.run(lambda: _paid_units(agent))
    finally:
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker


async def leave(plan: Plan, client: NodeClient, agent: AsyncAgent) -> int:
    """Close the channels, wait for what comes back, and withdraw it onto the chain."""
    await agent.close_channels()
    await _until(lambda: _all_closed(client), "a channel is not closed")
    token = await _token(client, plan.asset)
    address = Outside(plan.rpc, bytes.fromhex(plan.outside_seed)).address
    available = (await client.account()).available(token.currency)
    if not available:
        return 0
    quote = await client.withdrawal_quote(token.asset, available, address)
    units = available - quote.fee_units
    request = f"wd_{secrets.token_hex(12)}"
    found = await client.withdraw(request, token.asset, units, address, quote.fee_units)
    async with asyncio.timeout(_WAIT_S_MAX):
        while found.state in {WithdrawalState.PENDING, WithdrawalState.UNKNOWN}:
            await asyncio.sleep(_POLL_S)
            found = await client.withdrawal(request)
    if found.state is WithdrawalState.FAILED:
        raise RailError(f"the withdrawal failed: {found.reason}")
    return units


def _paid_units(agent: AsyncAgent) -> int:
    return sum(amount.units for amount in agent.spent.amounts)


async def _token(client: NodeClient, asset: str) -> TokenInfo:
    tokens = (await client.info()).tokens
    return next(one for one in tokens if one.asset == asset)


async def _has(client: NodeClient, currency: str, units: int) -> bool:
    return (await client.account()).available(currency) >= units


async def _all_closed(client: NodeClient) -> bool:
    page = await client.channels(ChannelRole.OPENER)
    return all(one.state is ChannelState.CLOSED for one in page.channels)


async def _until(check: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S_MAX
    while not await check():
        if time.monotonic() > deadline:
            raise OutcomeUnknown(f"{what} after {_WAIT_S_MAX:.0f} s")
        await asyncio.sleep(_POLL_S)


async def _tell_count(count: Callable[[], int]) -> None:
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        _tell(Event(count=count()))


def _budget(plan: Plan) -> Budget:
    """Ten times the price for one call, and twice the job in a day: the owner's limits, set once."""
    return Budget(
        per_call=Amount(10 * PRICE_UNITS, AIUSD),
        per_day=Amount(2 * PRICE_UNITS * max(plan.calls, CALLS_PER_STEP), AIUSD),
    )


async def _serve(plan: Plan, root: bytes) -> None:
    async with NodeClient(plan.node) as stranger:
        network = (await stranger.info()).network
    key = SigningKey(derive_seed(root, "account", network))
    async with (
        NodeClient(plan.node, key) as client,
        AsyncAgent(Path(plan.home), node=plan.node, budget=_budget(plan)) as agent,
    ):
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            try:
                _tell(await _step(msgspec.json.decode(line, type=str), plan, client, agent))
            except AisaError as error:
                _tell(Event(problem=str(error)))


async def _step(name: str, plan: Plan, client: NodeClient, agent: AsyncAgent) -> Event:
    match name:
        case "fund":
            return await fund(plan, client)
        case "work":
            return Event(done=True, job=await work(plan, agent))
        case "leave":
            return Event(done=True, units=await leave(plan, client, agent))
        case _:
            return Event(problem=f"there is no step {name!r}")


def main() -> int:
    """Read the plan, then take steps until the input ends."""
    faults.arm(os.environ)
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(plan, ensure_agent_seed(Path(plan.home))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
