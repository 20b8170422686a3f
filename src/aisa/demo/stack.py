"""A whole devnet as processes: Solana in process, a node on it, and the demo's seller."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from aisa.demo.devnet_file import FORMAT, DevnetFile, Mintable, Running
from aisa.demo.port import LOOPBACK, Ports
from aisa.demo.process import Child, Family, ProcessId, began
from aisa.errors import NodeUnavailable

START_S_MAX: Final = 30.0
SELLER_APP: Final = "aisa.demo.seller:create_app"


class _Card(msgspec.Struct, frozen=True):
    """What the Solana devnet says of itself."""

    label: str
    url: str
    network: str
    mints: tuple[Mintable, ...]


@dataclass(slots=True)
class Stack:
    """Starts the parts of a devnet in `home`, each a child of `family`."""

    home: Path
    ports: Ports
    family: Family
    tell: Callable[[str], None]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def start(self, *, with_seller: bool) -> DevnetFile:
        """Start everything, and say what runs where.

        Raises:
            NodeUnavailable: a part did not start; its last words are in the hint.
        """
        card = self._start_solana()
        node_url = f"http://{LOOPBACK}:{self.ports.node}"
        network = self._start_node(card, node_url)
        seller_url = self._start_seller(node_url) if with_seller else None
        return DevnetFile(
            format=FORMAT,
            label=card.label,
            node=node_url,
            node_network=network,
            seller=seller_url,
            solana=card.url,
            solana_network=card.network,
            tokens=card.mints,
            processes=(
                Running("supervisor", os.getpid(), began(os.getpid())),
                *(self._running(child) for child in self.family.children),
            ),
        )

    def aisa(self, *words: str) -> list[str]:
        """The arguments that run a command of ours with this interpreter."""
        return [sys.executable, "-m", "aisa", *words]

    def variables(self) -> dict[str, str]:
        """The environment of every part: this home, and failpoints allowed."""
        return {**self.environ, "AISA_HOME": str(self.home), "AISA_DEVNET": "1"}

    def _start_solana(self) -> _Card:
        self.tell("starting Solana (SVM in process)")
        folder = self.home / "devnet"
        folder.mkdir(parents=True, exist_ok=True)
        ready = folder / "solana.json"
        ready.unlink(missing_ok=True)
        child = self.family.start(
            "solana",
            [
                *(sys.executable, "-m", "aisa.devnet.solana", "--port", str(self.ports.solana)),
                *("--state", str(folder / "solana.state"), "--ready-file", str(ready)),
            ],
            self.variables(),
        )
        child.wait_until(ready.exists, START_S_MAX)
        return msgspec.json.decode(ready.read_bytes(), type=_Card)

    def _start_node(self, card: _Card, url: str) -> str:
        self.tell("starting the node")
        child = self.family.start(
            "node",
            self.aisa("node", "up", "--devnet", "--port", str(self.ports.node)),
            {**self.variables(), "AISA_NODE_SOLANA": card.url},
        )
        child.wait_until(lambda: _is_healthy(url), START_S_MAX)
        return str(httpx2.get(f"{url}/v1/node", trust_env=False).json()["network"])

    def _start_seller(self, node_url: str) -> str:
        self.tell("starting the seller")
        url = f"http://{LOOPBACK}:{self.ports.seller}"
        child = self.family.start(
            "seller",
            self.aisa("seller", "up", SELLER_APP, "--port", str(self.ports.seller)),
            {**self.variables(), "AISA_NODE": node_url},
        )
        child.wait_until(lambda: _is_healthy(url), START_S_MAX)
        return url

    def _running(self, child: Child) -> Running:
        port = {"solana": self.ports.solana, "node": self.ports.node, "seller": self.ports.seller}
        known: ProcessId = child.id
        return Running(child.name, known.pid, known.began, port.get(child.name, 0))


def supervise(family: Family, pause: Callable[[float], None]) -> None:
    """Watch the children until Ctrl-C.

    Raises:
        NodeUnavailable: one of them ended by itself.
    """
    while (ended := family.ended()) is None:
        pause(0.2)
    raise NodeUnavailable(
        f"the {ended.name} ended with code {ended.process.poll()}", hint=ended.last_words()
    )


def _is_healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=2, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False
