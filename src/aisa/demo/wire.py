"""What the demo and its agent's process say to each other, one line of JSON each."""

from __future__ import annotations

import msgspec

from aisa.demo.outcome import Job


class Plan(msgspec.Struct, frozen=True):
    """All that the agent's process must know; its first line of input."""

    home: str
    node: str
    seller: str
    rpc: str
    mint: str
    asset: str
    outside_seed: str
    calls: int


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the agent's output: how far a step is, or that it is done."""

    done: bool = False
    count: int = 0
    units: int = 0
    address: str = ""
    job: Job | None = None
    problem: str = ""
