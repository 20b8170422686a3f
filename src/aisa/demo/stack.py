"""A whole devnet as processes: Solana in process, a node on it, and the demo's seller."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import msgspec
from solders.keypair import Keypair

from aisa.demo.devnet_file import FORMAT, DevnetFile, Mintable, Running
from aisa.demo.outside import FEES_LAMPORTS
from aisa.demo.port import LOOPBACK, Ports
from aisa.demo.process import Child, Family, ProcessId, began
from aisa.devnet.solana.wallet import SolanaWallet
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
    treasuries: tuple[str, ...] = ()

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
        environ = {**self.variables(), "AISA_NODE_SOLANA": card.url}
        self.treasuries = self._init_node(environ)
        asyncio.run(_give_sol(card.url, self.treasuries))
        words = self.aisa("node", "up", "--port", str(self.ports.node))
        child = self.family.start("node", words, environ)
        child.wait_until(lambda: _is_healthy(url), START_S_MAX)
        return str(httpx2.get(f"{url}/v1/node", trust_env=False).json()["network"])

    def _init_node(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Make the node where there is none, and return the addresses that pay its chain fees."""
        words = self.aisa("node", "init", "--devnet", "--json")
        done = subprocess.run(words, env=environ, capture_output=True, check=False)
        if done.returncode:
            complaint = done.stderr.decode("utf-8", "replace").strip()
            raise NodeUnavailable("the node could not be made", hint=complaint)
        document: dict[str, Any] = msgspec.json.decode(done.stdout)
        return tuple(str(one["address"]) for one in document["treasuries"])

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


async def _give_sol(rpc_url: str, addresses: Sequence[str]) -> None:
    """Let the faucet fill up the accounts that pay chain fees."""
    async with SolanaWallet(rpc_url, Keypair()) as anyone:
        for address in addresses:
            answer = cast("dict[str, int]", await anyone.call("getBalance", address))
            if answer["value"] < FEES_LAMPORTS // 2:
                await anyone.call("requestAirdrop", address, FEES_LAMPORTS)


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
