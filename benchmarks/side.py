"""One side of a comparison: a seller and an agent, each a process of its own."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.worker import ROOT, Worker

PEER_PYTHON = ROOT / ".venv-peers" / "x402" / "bin" / "python"
PEERS = ROOT / "benchmarks" / "peers"
# eth-hash would choose pycryptodome, whose keccak is five times slower than safe-pysha3's.
PEER_ENV = {"ETH_HASH_BACKEND": "pysha3", "PYTHONPATH": ""}


@dataclass(frozen=True, slots=True)
class Load:
    """What the agents of a side do: `calls` in all, `in_flight` at a time, over all agents."""

    path: str
    calls: int
    in_flight: int = 1
    agents: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a load; times are per call as the agent saw it, `cpu_s` is the seller's."""

    served: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float

    @property
    def served_per_s(self) -> float:
        return self.served / self.seconds

    @property
    def cpu_s_per_call(self) -> float:
        return self.cpu_s / self.served


class Side:
    """Runs loads; every load has new connections and new channels, opened outside the clock."""

    def __init__(self, seller: Worker, agent: Worker) -> None:
        self._stack = ExitStack()
        self.seller = seller
        self.agent = agent

    def run(self, load: Load) -> Result:
        """Open, run and close one load."""
        self.agent.ask(
            {"do": "open", "path": load.path, "in_flight": load.in_flight, "agents": load.agents}
        )
        cpu_before = self.seller.cpu_s()
        answer = self.agent.ask({"do": "run", "calls": load.calls})
        cpu_s = self.seller.cpu_s() - cpu_before
        self.agent.ask({"do": "close"})
        return Result(**answer, cpu_s=cpu_s)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.seller)
        self._stack.enter_context(self.agent)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def x402_side(logs: Path) -> Side:
    """Return the official SDK's seller and agent, with its C libraries."""
    if not PEER_PYTHON.exists():
        raise RuntimeError("the SDK's environment is missing: run `make bench`, which installs it")
    seller = Worker("x402-seller", [PEER_PYTHON, PEERS / "x402_seller.py"], logs, PEER_ENV)
    url = f"http://127.0.0.1:{seller.read_line()}"
    agent = Worker(
        "x402-agent", [PEER_PYTHON, PEERS / "x402_agent.py", "--url", url], logs, PEER_ENV
    )
    return Side(seller, agent)


def module(name: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs one of our own processes."""
    return [sys.executable, "-m", f"benchmarks.ours.{name}", *arguments]
