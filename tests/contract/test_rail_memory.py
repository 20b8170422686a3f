from __future__ import annotations

import pytest

from aisa.money import Token
from aisa.settlement import DepositRequest
from aisa.settlement.memory import (
    MemoryDepositAddresses,
    MemoryJournal,
    MemoryNetwork,
    MemoryRail,
)
from tests.contract.rail_suite import RailSuite, RailWorld

NETWORK = "aisa:memory"
FINALITY_MS = 1_000


class MemoryWorld(RailWorld):
    name = "memory"

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000
        self.network = MemoryNetwork(lambda: self.now_ms, name=NETWORK)
        self.token = Token("aiUSD", "test", NETWORK, f"{NETWORK}/token:aiusd", 6, "aiUSD")
        self.journal = MemoryJournal()
        self.addresses = MemoryDepositAddresses()
        self.strangers = 0
        self.make()

    def make(self) -> None:
        self.rail = self.made(timeout_s=20)
        self.impatient = self.made(timeout_s=0.05)

    def made(self, timeout_s: float) -> MemoryRail:
        return MemoryRail(
            self.network,
            (self.token,),
            journal=self.journal,
            addresses=self.addresses,
            timeout_s=timeout_s,
        )

    async def restart(self) -> None:
        self.network.is_down = False
        self.make()

    async def hold(self, units: int) -> None:
        self.network.mint("memory:treasury", self.token, units)

    def stranger(self) -> str:
        self.strangers += 1
        return f"memory:stranger-{self.strangers}"

    async def units(self, address: str) -> int:
        return self.network.balance(address, self.token)

    async def pay_in(self, request: DepositRequest, units: int) -> str:
        self.network.mint("memory:payer", self.token, units)
        return self.network.pay("memory:payer", request.address, self.token, units)

    def freeze_finality(self) -> None:
        self.network.finality_ms = FINALITY_MS

    async def finalize(self) -> None:
        self.now_ms += FINALITY_MS
        self.network.finality_ms = 0

    async def expire(self) -> None:
        self.now_ms += self.network.validity_ms + 1

    async def disturb(self, fault: str) -> None:
        counter = {
            "refuse": "refusals",
            "drop": "drops",
            "lose_answer": "lost_answers",
            "delay": "delays",
        }[fault]
        setattr(self.network, counter, 1)

    async def land_delayed(self) -> None:
        self.network.land_delayed()

    async def cut(self) -> None:
        self.network.is_down = True

    async def bad_destinations(self) -> list[str]:
        return ["", "elsewhere", "memory:treasury", "memory:" + "x" * 100]


class TestMemoryRail(RailSuite):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
