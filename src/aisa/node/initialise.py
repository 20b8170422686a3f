"""Making a node: its folder, configuration and key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aisa.errors import StateConflict
from aisa.node.config import parse_config
from aisa.node.key import make_key, make_passphrase_file
from aisa.protocol.aip import hub_network
from aisa.protocol.escrow import BATCH_CONTRACT
from aisa.protocol.evm_address import format_address

CONFIG_NAME: Final = "node.toml"
PASSPHRASE_NAME: Final = "node.passphrase"  # noqa: S105 - a file's name
_LABELS: Final = re.compile(r"^labels = \[.*\]\n", re.MULTILINE)
_EMPTY: Final = """\
# Settings: docs/reference/config.md

[[currency]]
code = "aiUSD"
"""


@dataclass(frozen=True, slots=True)
class DevnetMint:
    """A token of a devnet, as its card names it."""

    symbol: str
    asset: str
    scale: int


@dataclass(frozen=True, slots=True)
class DevnetChain:
    """An EVM chain of a devnet; `coin` is the SLIP-44 number of its own coin."""

    network: str
    rpc_url: str
    coin: int
    tokens: tuple[DevnetMint, ...]


@dataclass(frozen=True, slots=True)
class InitialisedNode:
    """Where a new node's files are, and who it is."""

    config_path: Path
    key_path: Path
    passphrase_path: Path | None
    public_key: bytes

    @property
    def network(self) -> str:
        """The network's name of channels that will stand there."""
        return hub_network(self.public_key)


def devnet_config(
    *, label: str, rpc_url: str, network: str, issuer: str, mints: Sequence[DevnetMint]
) -> str:
    """Return a configuration over a Solana devnet: every mint becomes a token.

    Test tokens (`test-USDC`) are credited in a currency of the same name.
    """
    lines = [
        "# A node for trying things out: its passphrase lies beside its key.",
        f"labels = [{_quoted(label)}]",
        f"passphrase_file = {_quoted(PASSPHRASE_NAME)}",
        "deposit_poll_ms = 250",
        'facilitator = "open"',
    ]
    for mint in mints:
        lines += _currency(mint)
    lines += [
        "",
        "[[rail]]",
        'kind = "solana"',
        f"network = {_quoted(network)}",
        f"rpc_urls = [{_quoted(rpc_url)}]",
    ]
    for mint in mints:
        lines += _token(mint, issuer)
    return "\n".join(lines) + "\n"


def add_chains(path: Path, chains: Sequence[DevnetChain], *, label: str) -> None:
    """Add rails for the EVM chains that a devnet node's configuration does not have yet.

    `label` says what kind of chains they are, where the node tells who it is.

    Raises:
        ConfigInvalid: the configuration cannot work, with them or without.
    """
    raw = path.read_text("utf-8")
    config = parse_config(raw, {}, path.parent)
    networks = {rail.network for rail in config.rails}
    codes = {terms.currency.code for terms in config.currencies}
    lines: list[str] = []
    for chain in chains:
        if chain.network in networks:
            continue
        for token in chain.tokens:
            if token.symbol not in codes:
                codes.add(token.symbol)
                lines += _currency(token)
        lines += [
            "",
            "[[rail]]",
            'kind = "evm"',
            f"network = {_quoted(chain.network)}",
            f"rpc_urls = [{_quoted(chain.rpc_url)}]",
            f"coin = {chain.coin}",
            "confirmations = 1",
            f"escrow = {_quoted(format_address(BATCH_CONTRACT))}",
        ]
        for token in chain.tokens:
            lines += _token(token, chain.network)
    if not lines:
        return
    if label not in config.labels:
        labels = ", ".join(map(_quoted, (*config.labels, label)))
        raw = f"labels = [{labels}]\n" + _LABELS.sub("", raw)
    text = raw + "\n".join(lines) + "\n"
    parse_config(text, {}, path.parent)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_new(new, text.encode())
    new.replace(path)


def _currency(mint: DevnetMint) -> list[str]:
    lines = ["", "[[currency]]", f"code = {_quoted(mint.symbol)}"]
    return lines if mint.symbol == "aiUSD" else [*lines, f"scale = {min(mint.scale, 9)}"]


def _token(mint: DevnetMint, issuer: str) -> list[str]:
    return [
        "",
        "[[rail.token]]",
        f"symbol = {_quoted(mint.symbol)}",
        f"issuer = {_quoted(issuer)}",
        f"asset = {_quoted(mint.asset)}",
        f"scale = {mint.scale}",
        f"currency = {_quoted(mint.symbol)}",
    ]


def init_node(
    folder: Path, *, config: str = _EMPTY, passphrase: str | None = None
) -> InitialisedNode:
    """Make a node in `folder`; without a passphrase one is generated into a file beside the key.

    Raises:
        StateConflict: there is a node already; nothing is overwritten.
        ConfigInvalid: the configuration cannot work.
    """
    config_path, key_path = folder / CONFIG_NAME, parse_config(config, {}, folder).key_path
    for path in (config_path, key_path):
        if path.exists():
            raise StateConflict(f"{path} exists already", hint="there is a node in this folder")
    folder.mkdir(parents=True, exist_ok=True)
    passphrase_path = None
    if passphrase is None:
        passphrase_path = folder / PASSPHRASE_NAME
        passphrase = make_passphrase_file(passphrase_path)
        if "passphrase_file" not in config:
            config = f"passphrase_file = {_quoted(PASSPHRASE_NAME)}\n{config}"
    public_key = make_key(key_path, passphrase)
    write_new(config_path, config.encode())
    return InitialisedNode(config_path, key_path, passphrase_path, public_key)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that did not exist, durable on return.

    Raises:
        StateConflict: there is something at `path`.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise StateConflict(f"{path} exists already") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _quoted(text: str) -> str:
    """Return a text as TOML writes it; JSON's spelling of printable text is TOML's too."""
    return json.dumps(text)
