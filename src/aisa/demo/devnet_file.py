"""`AISA_HOME/devnet/devnet.json`: what runs where, for whoever looks for a node on this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from aisa.demo.process import ProcessId
from aisa.devnet.ethereum.card import ChainCard
from aisa.errors import ConfigInvalid

FORMAT: Final = "aisa-devnet/1"


class Running(msgspec.Struct, frozen=True):
    """One process of the devnet; `began` tells it from a later one with the same pid."""

    name: str
    pid: int
    began: str
    port: int = 0

    @property
    def id(self) -> ProcessId:
        """Its pid and start time."""
        return ProcessId(self.pid, self.began)


class Mintable(msgspec.Struct, frozen=True):
    """A token of the devnet: its CAIP-19 asset, its mint's address, its scale."""

    symbol: str
    asset: str
    mint: str
    scale: int


class DevnetFile(msgspec.Struct, frozen=True):
    """A devnet that runs, or ran: the supervisor comes first among its processes."""

    format: str
    label: str
    node: str
    node_network: str
    seller: str | None
    solana: str
    solana_network: str
    tokens: tuple[Mintable, ...]
    processes: tuple[Running, ...]
    chains: tuple[ChainCard, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether its supervisor still runs."""
        return self.processes[0].id.is_alive

    @property
    def ports(self) -> Sequence[int]:
        """The ports that it listens on."""
        return [one.port for one in self.processes if one.port]

    def chain(self, name: str) -> ChainCard:
        """The EVM chain of that name.

        Raises:
            ConfigInvalid: the devnet was started without it.
        """
        for one in self.chains:
            if one.name == name:
                return one
        raise ConfigInvalid(
            f"the devnet runs without {name}",
            hint=f"aisa devnet down, then aisa devnet up --{name}",
        )

    def token(self, symbol: str) -> Mintable:
        """The token with a symbol.

        Raises:
            ConfigInvalid: the devnet has none.
        """
        for one in self.tokens:
            if one.symbol == symbol:
                return one
        raise ConfigInvalid(f"the devnet has no token {symbol!r}")


def devnet_path(home: Path) -> Path:
    """Where the file is."""
    return home / "devnet" / "devnet.json"


def read_devnet_file(home: Path) -> DevnetFile | None:
    """What was written last; None if there is no devnet in this home, or its file is not one."""
    try:
        found = msgspec.json.decode(devnet_path(home).read_bytes(), type=DevnetFile)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return found if found.format == FORMAT and found.processes else None


def write_devnet_file(home: Path, document: DevnetFile) -> None:
    """Write it, whole or not at all."""
    _write(devnet_path(home), msgspec.json.format(msgspec.json.encode(document)) + b"\n")


def outside_seed(home: Path) -> bytes:
    """The seed of this home's wallet outside the node, made once; it guards test money only."""
    path = home / "devnet" / "outside.key"
    try:
        seed = bytes.fromhex(path.read_text())
    except (FileNotFoundError, ValueError):
        seed = secrets.token_bytes(32)
        _write(path, seed.hex().encode())
    return seed


def remove_devnet_file(home: Path) -> None:
    """Forget a devnet that has stopped, or that this process supervises."""
    found = read_devnet_file(home)
    if found is None or found.processes[0].pid == os.getpid() or not found.is_running:
        devnet_path(home).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
