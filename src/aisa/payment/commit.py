"""Posting a command between two failpoints, so that drills can end the process on either side."""

from __future__ import annotations

from aisa import faults
from aisa.ledger.outcome import Command, Outcome
from aisa.ledger.store import Store


async def commit(store: Store, noun: str, command: Command) -> Outcome:
    """Post a command; the failpoints are `node.<noun>.before` and `.after`."""
    faults.hit(f"node.{noun}.before")
    outcome = await store.post(command)
    faults.hit(f"node.{noun}.after")
    return outcome
