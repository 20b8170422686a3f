from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aisa.sdk import Agent, AsyncAgent
from tests.integration.hub_stub import HubBook
from tests.unit.sdk.market import AsyncHub, Clock, SellerSim, SyncHub

NODE = "http://node.test"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> HubBook:
    return HubBook(clock_s=lambda: clock.now_ms / 1000)


@pytest.fixture
def seller(hub: HubBook, clock: Clock) -> SellerSim:
    return SellerSim(hub, clock)


@pytest.fixture
def make_agent(
    tmp_path: Path, hub: HubBook, seller: SellerSim, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Agent]]:
    made: list[Agent] = []
    # Waiting costs no time here: the clock moves instead.
    monkeypatch.setattr(
        "aisa.sdk.sync_driver.time.sleep",
        lambda seconds: setattr(clock, "now_ms", clock.now_ms + int(seconds * 1000)),
    )

    def make(**options: Any) -> Agent:
        options = {"home": tmp_path / "home", "node": NODE, "clock": clock, **options}
        agent = Agent(hub=lambda _, signer: SyncHub(hub, signer), **options)
        agent._driver._send = seller.handle
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def make_async_agent(
    tmp_path: Path, hub: HubBook, seller: SellerSim, clock: Clock
) -> Callable[..., AsyncAgent]:
    def make(**options: Any) -> AsyncAgent:
        options = {"home": tmp_path / "home", "node": NODE, "clock": clock, **options}
        agent = AsyncAgent(hub=lambda _, signer: AsyncHub(hub, signer), **options)
        agent._driver._send = seller.send
        return agent

    return make
