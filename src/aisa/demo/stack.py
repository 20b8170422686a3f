"""A whole devnet as processes: its networks, a node on them, and the demo's seller."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import httpx2
import msgspec
from solders.keypair import Keypair

from aisa.demo.devnet_file import FORMAT, DevnetFile, Mintable, Running
from aisa.demo.outside import FEES_LAMPORTS
from aisa.demo.port import LOOPBACK, Ports
from aisa.demo.process import Child, Family, ProcessId, began
from aisa.devnet.ethereum.canonical import PERMIT2_PACKAGE
from aisa.devnet.ethereum.card import ChainCard, read_card
from aisa.devnet.ethereum.faucet import Faucet
from aisa.devnet.ethereum.rpc import Rpc
from aisa.devnet.ethereum.setting import LABEL, SETTINGS, Setting
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.devnet.toolchain import EVM_PACKAGES, npm_folder
from aisa.errors import NodeUnavailable
from aisa.node.config import load_config
from aisa.node.initialise import CONFIG_NAME, DevnetChain, DevnetMint, add_chains

START_S_MAX: Final = 60.0
GAS_WEI: Final = 100 * 10**18
_KEPT_VARIABLES: Final = ("AISA_FAULTS", "AISA_DEBUG", "AISA_TOOLS")
SOLVENCY_S: Final = "2"
"""Somebody who tries things out looks at the sums at once."""
ARTIFACTS: Final = Path(__file__).parents[1] / "settlement" / "evm" / "artifacts"
"""Our compiled contracts; a devnet does not know the room that keeps them."""
EVM_CHAIN_PACKAGES: Final = (EVM_PACKAGES, PERMIT2_PACKAGE)
SELLER_APP: Final = "aisa.demo.seller:create_app"


class _Card(msgspec.Struct, frozen=True):
    """What the Solana devnet says of itself."""

    label: str
    url: str
    network: str
    mints: tuple[Mintable, ...]


class _Node(msgspec.Struct, frozen=True):
    """What a node that runs says of itself in its home."""

    pid: int
    url: str
    network: str
    treasuries: tuple[str, ...]


@dataclass(slots=True)
class Stack:
    """Starts the parts of a devnet in `home`, each a child of `family`."""

    home: Path
    ports: Ports
    family: Family
    tell: Callable[[str], None]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    treasuries: tuple[str, ...] = ()

    def start(
        self,
        *,
        with_seller: bool,
        chains: Sequence[Setting] = (),
        real_pace: bool = False,
    ) -> DevnetFile:
        """Start everything, and say what runs where.

        Args:
            with_seller: also the demo's seller.
            chains: EVM chains that run beside Solana; those that this home's node has used before
                run too, since its ledger has money there.
            real_pace: their blocks come as on the networks that they stand for, not at once.

        Raises:
            ExtraMissing: an EVM chain needs Node.js, and there is none.
            RailUnavailable: its programs could not be installed.
            NodeUnavailable: a part did not start; its last words are in the hint.
        """
        known = self._chains_of_the_node()
        chains = [one for one in SETTINGS if one in chains or one.network in known]
        begun = self._begin_chains(chains, real_pace=real_pace)
        card = self._start_solana()
        cards = [self._wait_for_chain(*one) for one in begun]
        node = self._start_node(card, cards)
        seller = self._begin_seller(node.url) if with_seller else None
        self.treasuries = node.treasuries
        asyncio.run(_give_sol(card.url, [one for one in node.treasuries if not _is_evm(one)]))
        for chain in cards:
            _give_gas(chain, [one for one in node.treasuries if _is_evm(one)])
        seller_url = f"http://{LOOPBACK}:{self.ports.seller}" if seller else None
        if seller is not None:
            seller.wait_until(lambda: _is_healthy(str(seller_url)), START_S_MAX)
        return DevnetFile(
            format=FORMAT,
            label=card.label,
            node=node.url,
            node_network=node.network,
            seller=seller_url,
            solana=card.url,
            solana_network=card.network,
            tokens=card.mints,
            processes=(
                Running("supervisor", os.getpid(), began(os.getpid())),
                *(self._running(child, cards) for child in self.family.children),
            ),
            chains=tuple(cards),
        )

    def aisa(self, *words: str) -> list[str]:
        """The arguments that run a command of ours with this interpreter."""
        return [sys.executable, "-m", "aisa", *words]

    def variables(self) -> dict[str, str]:
        """The environment of every part: this home alone, and failpoints allowed."""
        kept = {
            name: value
            for name, value in self.environ.items()
            if not name.startswith("AISA_") or name.startswith(_KEPT_VARIABLES)
        }
        return {**kept, "AISA_HOME": str(self.home), "AISA_DEVNET": "1"}

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

    def _begin_chains(
        self, chains: Sequence[Setting], *, real_pace: bool
    ) -> list[tuple[Child, Path]]:
        """Start the EVM chains side by side; what must be installed for them is, first."""
        for package in EVM_CHAIN_PACKAGES if chains else ():
            npm_folder(package, say=self.tell)
        return [self._begin_chain(one, one.block_time_s if real_pace else 0) for one in chains]

    def _begin_chain(self, chain: Setting, block_time_s: int) -> tuple[Child, Path]:
        self.tell(f"starting {chain.title} (anvil)")
        folder = self.home / "devnet" / chain.name
        folder.mkdir(parents=True, exist_ok=True)
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        port = {"ethereum": self.ports.ethereum, "polygon": self.ports.polygon}[chain.name]
        child = self.family.start(
            chain.name,
            [
                *(sys.executable, "-m", "aisa.devnet.ethereum", "--chain", chain.name),
                *("--artifacts", str(ARTIFACTS), "--folder", str(folder), "--port", str(port)),
                *("--block-time", str(block_time_s), "--ready-file", str(ready)),
            ],
            self.variables(),
        )
        return child, ready

    def _wait_for_chain(self, child: Child, ready: Path) -> ChainCard:
        child.wait_until(ready.exists, START_S_MAX)
        return read_card(ready)

    def _chains_of_the_node(self) -> set[str]:
        """The EVM networks that the node of this home has already."""
        path = self.home / "node" / CONFIG_NAME
        if not path.exists():
            return set()
        rails = load_config(path, {}).rails
        return {rail.network for rail in rails if rail.kind == "evm"}

    def _give_rails(self, cards: Sequence[ChainCard]) -> None:
        """Have the node use the chains; it is made first, where there is none yet."""
        path = self.home / "node" / CONFIG_NAME
        if not path.exists():
            made = subprocess.run(
                self.aisa("node", "init", "--devnet"),
                env=self.variables(),
                capture_output=True,
                text=True,
                timeout=START_S_MAX,
                check=False,
            )
            if made.returncode:
                raise NodeUnavailable("the node could not be made", hint=made.stderr[-500:])
        add_chains(path, [_devnet_chain(card) for card in cards], label=LABEL)

    def _start_node(self, card: _Card, chains: Sequence[ChainCard]) -> _Node:
        self.tell("starting the node")
        if chains:
            self._give_rails(chains)
        words = self.aisa("node", "up", "--devnet", "--port", str(self.ports.node))
        environ = {
            **self.variables(),
            "AISA_NODE_SOLANA": card.url,
            "AISA_NODE_EVM": ",".join(f"{one.network}={one.url}" for one in chains),
            "AISA_NODE_SOLVENCY_S": SOLVENCY_S,
        }
        child = self.family.start("node", words, environ)
        child.wait_until(lambda: self._node_of(child) is not None, START_S_MAX)
        node = self._node_of(child)
        assert node is not None
        return node

    def _node_of(self, child: Child) -> _Node | None:
        """What the node that we started says of itself; another one's word does not count."""
        try:
            file = (self.home / "node" / "node.json").read_bytes()
            node = msgspec.json.decode(file, type=_Node)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return node if node.pid == child.process.pid else None

    def _begin_seller(self, node_url: str) -> Child:
        self.tell("starting the seller")
        words = self.aisa("seller", "up", SELLER_APP, "--port", str(self.ports.seller))
        return self.family.start("seller", words, {**self.variables(), "AISA_NODE": node_url})

    def _running(self, child: Child, chains: Sequence[ChainCard]) -> Running:
        port = {"solana": self.ports.solana, "node": self.ports.node, "seller": self.ports.seller}
        port |= {one.name: urlsplit(one.url).port or 0 for one in chains}
        known: ProcessId = child.id
        return Running(child.name, known.pid, known.began, port.get(child.name, 0))


async def _give_sol(rpc_url: str, addresses: Sequence[str]) -> None:
    """Let the faucet fill up the accounts that pay chain fees."""
    async with SolanaWallet(rpc_url, Keypair()) as anyone:
        for address in addresses:
            answer = cast("dict[str, int]", await anyone.call("getBalance", address))
            if answer["value"] < FEES_LAMPORTS // 2:
                await anyone.call("requestAirdrop", address, FEES_LAMPORTS)


def _give_gas(card: ChainCard, addresses: Sequence[str]) -> None:
    """Let a chain's faucet fill up the accounts that pay for gas there."""
    with Rpc(card.url) as rpc:
        faucet = Faucet(card, rpc)
        for address in addresses:
            if rpc.number("eth_getBalance", address, "latest") < GAS_WEI // 2:
                faucet.give_native(address, GAS_WEI)


def _is_evm(address: str) -> bool:
    return address.startswith("0x")


def _devnet_chain(card: ChainCard) -> DevnetChain:
    tokens = tuple(DevnetMint(one.symbol, one.asset, one.scale) for one in card.tokens)
    setting = next(one for one in SETTINGS if one.name == card.name)
    return DevnetChain(card.network, card.url, setting.coin, tokens)


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
