"""The drills' agent as a process: takes one step of the job at a time, each as often as it is asked.

A step that was cut off by a kill is asked for again, of this process or of its successor; nothing
that it did before may happen a second time.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar

from aisa import faults
from aisa.client import ChannelRole, ChannelState, DepositState, NodeClient, WithdrawalState
from aisa.errors import AisaError
from aisa.identity import SigningKey, derive_seed
from aisa.protocol.aip import (
    ChannelTerms,
    CloseLaneAction,
    close_bytes,
    close_lane_bytes,
    key_of_hub_network,
    open_bytes,
)
from aisa.sdk import UNLIMITED, AsyncAgent
from aisa.sdk.exchange import post_action
from aisa.sdk.home import ensure_agent_seed
from tests.drills.seller import answer_of

IN_FLIGHT: Final = 8
DEPOSIT_MAX: Final = "0.012 aiUSD"
CEILING_STEP: Final = "0.004 aiUSD"
ORPHAN_UNITS: Final = 700
PATIENCE_S: Final = 240.0
CURRENCY: Final = "aiUSD"
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """One job: where everyone is, and what to do."""

    home: str
    node: str
    seller: str
    asset: str
    outside: str
    name: str
    calls: int
    is_disturbed: bool = False


class Wrong(Exception):
    """Something that may never happen, happened."""


async def persist(work: Callable[[], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
    """Repeat what fails, as a person would who waits for a server to come back."""
    deadline = time.monotonic() + patience_s
    pause_s = 0.05
    while True:
        try:
            return await work()
        except AisaError as error:
            if time.monotonic() > deadline:
                raise Wrong(f"still failing: {type(error).__name__}: {error}") from error
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.0)


async def wait_for(check: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := await persist(check)) is None:
        if time.monotonic() > deadline:
            raise Wrong(f"waited in vain for {what}")
        await asyncio.sleep(0.05)
    return found


class Job:
    """One plan's steps."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = Path(plan.home)
        self.root = ensure_agent_seed(self.home)

    async def begin(self) -> str:
        """Return the address that this agent is funded at."""
        async with self.client() as client:
            found = await persist(lambda: client.deposit_address(self.plan.asset))
            return found.address

    async def funded(self) -> None:
        """Wait until the deposit is credited."""
        async with self.client() as client:

            async def credited() -> bool | None:
                page = await client.deposits()
                return any(one.state is DepositState.CREDITED for one in page.deposits) or None

            await wait_for(credited, "the deposit")

    async def work(self) -> int:
        """Make every call: by an agent that vanishes, one that leaves in order, and its heir."""
        names = [f"{self.plan.name}-{number}" for number in range(self.plan.calls)]
        third = len(names) // 3
        async with self.agent(vanishes=True) as agent:
            await self.calls(agent, names[:third])
            await agent.receipts()
        async with self.agent() as agent:
            await self.calls(agent, names[third : 2 * third])
            if self.plan.is_disturbed:
                await self.close_lane_of(agent)
                await self.calls(agent, names[2 * third : 2 * third + 6])
                await self.close()
                await self.calls(agent, names[2 * third + 6 : 2 * third + 9])
        async with self.agent() as agent:
            await self.calls(agent, names[2 * third :])
        return len(names)

    async def close_lane_of(self, agent: AsyncAgent) -> None:
        """Have the seller close the lane that an agent pays on, as one does who thinks it is dead."""
        purse = agent._purse
        # An agent that only repeated known calls has not met the seller yet.
        till = next((seller.till for seller in purse.sellers.values()), None)
        if till is None:
            return
        name, lane = till.channel, till.meter.lane
        payer = purse.payer_key(till.terms.network, till.terms.payee)
        action = CloseLaneAction(name, lane, payer.sign(close_lane_bytes(name, lane)))
        url = f"{self.plan.seller}/aisa/session"
        await persist(lambda: agent._driver.drive(post_action(agent.clock, url, action)))

    async def again(self) -> None:
        """Ask for a few calls again that were answered long ago."""
        async with self.agent() as agent:
            await self.calls(agent, [f"{self.plan.name}-{number}" for number in (0, 1, 2)])

    async def unknown(self) -> int:
        """Return how many spends the wallet cannot explain."""
        async with self.agent() as agent:
            return len(await agent.unknown_calls())

    async def orphan(self) -> None:
        """Open a channel to a payee that nobody serves, close it, and wait for the money."""
        async with self.client() as client:
            network = await self.network()
            payer = SigningKey(derive_seed(self.root, "orphan-payer", self.plan.name))
            payee = SigningKey(derive_seed(self.root, "orphan-payee", self.plan.name))
            terms = ChannelTerms(
                network,
                key_of_hub_network(network),
                payer.public_key,
                payee.public_key,
                CURRENCY,
                sha256(self.plan.name.encode()).digest()[:16],
            )
            name = terms.channel_id
            agreed = payer.sign(open_bytes(name, self.account_key(network).public_key))
            request = f"orphan-{self.plan.name}"
            await persist(lambda: client.open_channel(request, terms, ORPHAN_UNITS, agreed))
            await persist(lambda: client.top_up(name, f"more-{self.plan.name}", 300))
            await persist(lambda: client.close_channel(name, payer.sign(close_bytes(name))))

    async def close(self) -> None:
        """Close every channel."""
        async with self.agent() as agent:
            await persist(lambda: agent.close_channels(wait_s=30))
            async with self.client() as client:

                async def all_closed() -> bool | None:
                    await agent.close_channels(wait_s=30)
                    page = await client.channels(ChannelRole.OPENER)
                    return all(one.state is ChannelState.CLOSED for one in page.channels) or None

                await wait_for(all_closed, "closed channels")

    async def withdraw(self) -> int:
        """Take everything out to the chain, by as many orders as it takes."""
        async with self.client() as client:
            return await withdraw_all(client, self.plan.asset, self.plan.outside, self.home)

    async def calls(self, agent: AsyncAgent, names: list[str]) -> None:
        queue = iter(names)

        async def some() -> None:
            for name in queue:
                await self.call(agent, name)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(some())

    async def call(self, agent: AsyncAgent, name: str) -> None:
        url = f"{self.plan.seller}/hash/{name}"
        answer = await persist(lambda: agent.get(url, call_id=name, timeout_s=60))
        if answer.status != 200 or answer.json() != {"hash": answer_of(name)}:
            raise Wrong(f"{name} was answered {answer.status} {answer.content[:200]!r}")
        payment = answer.payment
        if payment is None or payment.outcome.value != "settled":
            raise Wrong(f"{name} was answered with the payment {payment}")
        self.acknowledge(
            {
                "call": name,
                "channel": payment.channel.hex(),
                "lane": payment.lane,
                "seq": payment.seq,
                "units": payment.charged.units,
            }
        )

    def acknowledge(self, row: dict[str, object]) -> None:
        """Write down, durably, that the agent's owner has seen this answer."""
        with (self.home / "acked.log").open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    async def network(self) -> str:
        path = self.home / "network"
        if not path.exists():
            async with NodeClient(self.plan.node) as stranger:
                info = await persist(stranger.info)
            path.write_text(info.network)
        return path.read_text()

    def account_key(self, network: str) -> SigningKey:
        return SigningKey(derive_seed(self.root, "account", network))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[NodeClient]:
        async with NodeClient(self.plan.node, self.account_key(await self.network())) as client:
            yield client

    @asynccontextmanager
    async def agent(self, *, vanishes: bool = False) -> AsyncIterator[AsyncAgent]:
        """An agent on the wallet; one that vanishes lets go of its files as a dead process does."""
        agent = AsyncAgent(
            self.home,
            node=self.plan.node,
            budget=UNLIMITED,
            deposit_max=DEPOSIT_MAX,
            ceiling_step=CEILING_STEP,
        )
        try:
            yield agent
        finally:
            if vanishes:
                await agent._driver.settle(20.0)
                agent._purse.wallet.close()
                agent._purse.fault = AisaError("vanished")
            await agent.close()


async def withdraw_all(client: NodeClient, asset: str, outside: str, folder: Path) -> int:
    """Withdraw what is there, in one order that is written down before it is given."""
    attempt = 0
    while True:
        path = folder / f"order-{attempt}.json"
        if not path.exists():
            available = (await persist(client.account)).available(CURRENCY)
            if not available:
                return 0
            quote = await persist(lambda a=available: client.withdrawal_quote(asset, a, outside))
            order = {
                "id": f"out-{attempt}-{os.urandom(8).hex()}",
                "units": available - quote.fee_units,
                "fee": quote.fee_units,
            }
            _write_durably(path, json.dumps(order).encode())
        order = json.loads(path.read_bytes())

        async def decided(order: dict[str, object] = order) -> WithdrawalState | None:
            found = await client.withdraw(
                str(order["id"]), asset, int(str(order["units"])), outside, int(str(order["fee"]))
            )
            is_open = found.state in {WithdrawalState.PENDING, WithdrawalState.UNKNOWN}
            return None if is_open else found.state

        if await wait_for(decided, f"withdrawal {order['id']}") is WithdrawalState.SETTLED:
            return int(order["units"])
        # It failed for good, and the money is back: another order, under another name.
        attempt += 1


def _write_durably(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


async def _serve(link: Connection) -> None:
    while True:
        try:
            step, plan = await asyncio.to_thread(link.recv)
        except (EOFError, OSError):
            return
        try:
            answer: object = await getattr(Job(plan), step)()
        except Exception as error:  # noqa: BLE001 - this process's top: whatever it was is told
            answer = error
        link.send(_told(answer))


def _told(answer: object) -> tuple[bool, object]:
    if isinstance(answer, ExceptionGroup):
        return False, "; ".join(f"{type(one).__name__}: {one}" for one in answer.exceptions)
    if isinstance(answer, BaseException):
        return False, f"{type(answer).__name__}: {answer}"
    return True, answer


def main(arguments: list[str], link: Connection | None) -> int:
    assert link is not None
    faults.arm(os.environ)
    asyncio.run(_serve(link))
    return 0
