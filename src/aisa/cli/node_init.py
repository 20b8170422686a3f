"""Making a node: configuration, key and, on a devnet, its passphrase; what exists is kept."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from aisa.cli.node_folder import node_files
from aisa.errors import ConfigInvalid
from aisa.identity import SigningKey
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import DevnetMint, devnet_config, init_node
from aisa.node.key import open_seed, read_passphrase_file
from aisa.protocol.aip import hub_network

LABEL: Final = "SVM in process: simulated consensus, test money"


@dataclass(frozen=True, slots=True)
class MadeNode:
    """A node that is ready to run; `is_new` unless it was there before."""

    config: Path
    network: str
    public_key: bytes
    treasuries: tuple[tuple[str, str], ...]
    is_new: bool


def make_node(home: Path, *, devnet: bool, passphrase_file: Path | None) -> MadeNode:
    """Make a node in this home, or return the one that is there.

    Raises:
        ConfigInvalid: no passphrase is given, or it does not open the key that is there.
    """
    path = node_files(home).config
    is_new = not path.exists()
    if is_new and devnet:
        init_node(path.parent, config=_devnet_config())
    elif is_new and passphrase_file is not None:
        passphrase = read_passphrase_file(passphrase_file)
        init_node(path.parent, config=_config_with(passphrase_file), passphrase=passphrase)
    elif is_new:
        init_node(path.parent, passphrase=_new_passphrase())
    config = load_config(path, os.environ)
    seed = open_seed(config, ask_passphrase)
    public_key = SigningKey(seed).public_key
    return MadeNode(path, hub_network(public_key), public_key, treasuries(config, seed), is_new)


def ask_passphrase(question: str) -> str:
    """Ask on the terminal.

    Raises:
        ConfigInvalid: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigInvalid(
            "the node's key needs a passphrase, and there is no terminal to ask on",
            hint="--passphrase-file PATH, or passphrase_file in node.toml",
        )
    return str(click.prompt(question.rstrip(": "), hide_input=True, err=True))


def _new_passphrase() -> str:
    first = ask_passphrase("Passphrase for the node's new key")
    if ask_passphrase("The same again") != first:
        raise ConfigInvalid("the two passphrases differ")
    return first


def _config_with(passphrase_file: Path) -> str:
    name = json.dumps(str(passphrase_file.absolute()))
    return f'passphrase_file = {name}\n\n[[currency]]\ncode = "aiUSD"\n'


def _devnet_config() -> str:
    from aisa.devnet.solana.genesis import Genesis

    genesis = Genesis()
    return devnet_config(
        label=LABEL,
        rpc_url="http://127.0.0.1:8899",
        network=genesis.network,
        issuer=str(genesis.keypair("issuer").pubkey()),
        mints=[
            DevnetMint(spec.symbol, genesis.asset(spec.address), spec.scale)
            for spec in genesis.mint_specs()
        ],
    )
