"""Reserves: what a node owes against what it holds, and a devnet's supply against its mints."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aisa.client import SolvencyInfo, SyncNodeClient
from aisa.client.exchange import wall_clock_ms
from aisa.errors import RailUnavailable, SolvencyAlarm

_FRESH_S_MAX: Final = 5.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Reserve:
    """One comparison, in the token's own units."""

    what: str
    asset: str
    left: int
    right: int

    def document(self) -> dict[str, str | bool]:
        """As JSON."""
        return {
            "what": self.what,
            "asset": self.asset,
            "left": str(self.left),
            "right": str(self.right),
            "equal": self.left == self.right,
        }

    def sentence(self) -> str:
        """As a line for a person."""
        sign = "=" if self.left == self.right else "≠"
        return f"{self.what}: {self.left} {sign} {self.right} ({self.asset})"


def check_reserves(home: Path) -> list[Reserve]:
    """Ask the node, and the devnet's chain if there is one.

    The node compares once in a while; on a devnet every two seconds, by default every minute.

    Raises:
        SolvencyAlarm: a node owes more than it holds, or tokens exist that nobody recorded.
        NodeUnavailable: the node does not answer.
    """
    from aisa.cli.node_url import node_url
    from aisa.demo.devnet_file import read_devnet_file

    with SyncNodeClient(node_url(home)) as client:
        solvency = _fresh_solvency(client)
    found = [
        Reserve("owed and held by the node", one.asset, one.owed, one.held + one.outgoing)
        for one in solvency.holdings
    ]
    devnet = read_devnet_file(home)
    if devnet is not None and devnet.is_running:
        found += _supplies(devnet.solana)
    short = [one for one in found if one.left > one.right]
    unrecorded = [one for one in found if one.what.startswith("supply") and one.left != one.right]
    if short or unrecorded or not solvency.solvent:
        raise SolvencyAlarm("; ".join(one.sentence() for one in short + unrecorded) or "short")
    return found


def _fresh_solvency(client: SyncNodeClient) -> SolvencyInfo:
    """A comparison that the node made after we asked, if it makes one within five seconds."""
    asked_ms = wall_clock_ms()
    deadline = time.monotonic() + _FRESH_S_MAX
    while True:
        solvency = client.solvency()
        if solvency.checked_at_ms >= asked_ms or time.monotonic() > deadline:
            return solvency
        time.sleep(_POLL_S)


def _supplies(rpc_url: str) -> list[Reserve]:
    import httpx2

    body: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "aisa_mints", "params": []}
    try:
        answer = httpx2.post(rpc_url, json=body, timeout=10, trust_env=False).raise_for_status()
    except httpx2.HTTPError as error:
        raise RailUnavailable(f"the devnet at {rpc_url} does not answer") from error
    record: Any = answer.json()["result"]
    minted = Counter[str]()
    for one in record["minted"]:
        minted[one["mint"]] += int(one["units"])
    return [
        Reserve("supply and recorded mints", one["asset"], int(one["supply"]), minted[one["mint"]])
        for one in record["mints"]
    ]
