"""One round of the standard job: money comes in, calls are paid, and everything goes out again.

Every round has an agent of its own: a new key, a new wallet, a new account, a new channel. It may
be interrupted by one kill of the target, which is then started again on the same files.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aisa.cli.seller_control import give_order
from aisa.cli.service import read_service
from aisa.errors import NodeUnavailable
from aisa.identity import SigningKey, derive_seed
from tests.drills.agent import Plan, persist, wait_for, withdraw_all
from tests.drills.part import KILLED, PartEnded
from tests.drills.world import World

CALLS: Final = 45
FUNDS_UNITS: Final = 70_000
HOARD_UNITS: Final = 150_000


@dataclass
class Round:
    """A round in a world; `target` is who may die in it, `calls` how many calls are paid.

    `then` arms the target's next life, so that it may die a second time while it recovers.
    """

    world: World
    number: int
    target: str
    calls: int = CALLS
    then: str = ""
    kills: int = 0
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.target}-{self.number}"

    @property
    def agent_home(self) -> Path:
        return self.world.home / "agents" / self.name

    @property
    def plan(self) -> Plan:
        return Plan(
            home=str(self.agent_home),
            node=self.world.node_url,
            seller=self.world.seller_url,
            asset=self.world.asset,
            outside=self.world.outside(self.name),
            name=self.name,
            calls=self.calls,
            is_disturbed=self.target == "agent",
        )

    async def play(self) -> None:
        """Play the round to its end.

        Raises:
            StepFailed, PartEnded, Wrong: something happened that no kill excuses.
        """
        async with self._watched():
            self.agent_home.mkdir(parents=True, exist_ok=True)
            address = str(await self._step("begin"))
            await self.world.pay_in(address, FUNDS_UNITS)
            await self._step("funded")
            hoard = asyncio.create_task(self._hoard()) if self.target == "node" else None
            try:
                if self.target == "node":
                    await self._step("orphan")
                await self._step("work")
                await self._redeem()
                await self._step("again")
                await self._step("close")
                self.facts["unknown_spends"] = await self._step("unknown")
                await self._redeem()
                await self._step("withdraw")
                await self._pay_seller()
                if hoard is not None:
                    await hoard
            finally:
                if hoard is not None:
                    hoard.cancel()

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Start the target again when its failpoint has killed it; the agent's steps do that."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self) -> None:
        others = [name for name in ("node", "seller") if name != self.target]
        watchers = [self._watch_one(name, may_die=False) for name in others]
        if self.target != "agent":
            watchers.append(self._watch_one(self.target, may_die=True))
        await asyncio.gather(*watchers)

    async def _watch_one(self, name: str, *, may_die: bool) -> None:
        while True:
            part = self.world.parts[name]
            code = await part.ended()
            if not may_die or not self._is_excused(code):
                raise PartEnded(f"the {name} ended with {code}: {part.last_words()}")
            await self._revive(name)

    async def _step(self, name: str) -> object:
        while True:
            try:
                return await self.world.step(name, self.plan)
            except PartEnded:
                if self.target != "agent" or not self._is_excused(self.world.parts["agent"].code):
                    raise
                await self._revive("agent")

    def _is_excused(self, code: int | None) -> bool:
        return code == KILLED and self.kills <= bool(self.then)

    async def _revive(self, name: str) -> None:
        self.kills += 1
        await self.world.start(name, self.then if self.kills == 1 else "")

    async def _redeem(self) -> None:
        """Order the seller to redeem, as its owner does."""

        async def order() -> None:
            service = read_service(self.world.home / "seller" / "seller.json")
            if service is None:
                raise NodeUnavailable("the seller does not run")
            await asyncio.to_thread(give_order, service, "redeem")

        await persist(order)

    async def _pay_seller(self) -> None:
        """Withdraw what the seller earned."""
        folder = self.agent_home / "seller"
        folder.mkdir(exist_ok=True)
        outside = self.world.outside("seller")
        async with self.world.client(self.world.payee) as client:
            paid = await withdraw_all(client, self.world.asset, outside, folder)
            self.facts["seller_out"] = paid

    async def _hoard(self) -> None:
        """Send deposits to an account until one is held by its cap; then make room, and leave.

        The node credits what it held when it looks again, in this round or in the next.
        """
        world, folder = self.world, self.agent_home / "hoard"
        folder.mkdir(exist_ok=True)
        key = SigningKey(derive_seed(hashlib.sha256(b"hoard").digest(), "account", "hoard"))
        async with world.client(key) as client:
            address = (await persist(lambda: client.deposit_address(world.asset))).address

            async def seen(count: int) -> bool | None:
                page = await client.deposits()
                rows = page.deposits
                while page.next_after:
                    page = await client.deposits(page.next_after)
                    rows += page.deposits
                return len(rows) >= count or None

            for _ in range(2 if not self.world.hoarded else 1):
                self.world.hoarded += 1
                await world.pay_in(address, HOARD_UNITS)
                count = self.world.hoarded
                await wait_for(lambda c=count: seen(c), "the hoard's deposit")
            await withdraw_all(client, world.asset, world.outside("hoard"), folder)
