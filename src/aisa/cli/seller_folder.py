"""A seller's folder: its key, the nodes that it accepts, the file that its paywall owns."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from aisa.cli.seller_offers import offers_in
from aisa.client import SyncNodeClient, origin_of
from aisa.errors import ConfigInvalid, NodeUnavailable
from aisa.paywall import TrustedHub, X402Offer

FEE_PPM_MAX: Final = 10_000
NODE_NAMES: Final = ("url", "network", "fee_ppm_max", "unredeemed_cap")
_SEED_SIZE: Final = 32

_CONFIG = """\
# Nodes whose channels this seller accepts. `network` is the node's key: what pays is checked
# against it, whatever answers at the URL.

[[node]]
url = {url}
network = {network}
fee_ppm_max = {fee_ppm_max}
# unredeemed_cap = 5000000
"""


@dataclass(frozen=True, slots=True)
class SellerFiles:
    """Where a seller of this home has its things."""

    folder: Path

    @property
    def key(self) -> Path:
        """The seed of its key, 64 hex digits."""
        return self.folder / "seller.key"

    @property
    def config(self) -> Path:
        """The nodes that it accepts."""
        return self.folder / "seller.toml"

    @property
    def store(self) -> Path:
        """Channels, charges and answers."""
        return self.folder / "seller.sqlite"

    @property
    def process(self) -> Path:
        """Who runs it, and where."""
        return self.folder / "seller.json"


def seller_files(home: Path) -> SellerFiles:
    """The files of the seller in a home."""
    return SellerFiles(home / "seller")


def ensure_seller_seed(files: SellerFiles) -> bytes:
    """The seed of the seller's key, made if there is none.

    Raises:
        ConfigInvalid: the file is no key.
    """
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(files.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_seed(files.key)
    seed = secrets.token_bytes(_SEED_SIZE)
    with os.fdopen(descriptor, "w") as file:
        file.write(seed.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return seed


def ensure_seller_config(files: SellerFiles, node: str) -> None:
    """Trust a node by its key as it is now, unless the seller has its list already.

    Raises:
        NodeUnavailable: the node does not answer.
    """
    if files.config.exists():
        return
    url = origin_of(node)
    with SyncNodeClient(url) as client:
        network = client.info().network
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.config.write_text(
        _CONFIG.format(url=json.dumps(url), network=json.dumps(network), fee_ppm_max=FEE_PPM_MAX),
        encoding="utf-8",
    )


def trusted_hubs(files: SellerFiles, node: str | None) -> list[TrustedHub]:
    """The nodes that the seller accepts; `node` is where the first of them answers now.

    Raises:
        ConfigInvalid: there is no list, or it cannot be read.
    """
    document = _read(files)
    tables = document.get("node")
    if not isinstance(tables, list) or not tables:
        raise ConfigInvalid(f"{files.config} has no [[node]]")
    hubs = [_hub(table, files.config) for table in cast("list[Any]", tables)]
    return hubs if node is None else _at_their_place_now(hubs, node)


def x402_offers(files: SellerFiles) -> tuple[X402Offer, ...]:
    """The tokens that the seller takes for single calls, by its file's [[x402]].

    Raises:
        ConfigInvalid: there is no such file, or one of them cannot work.
    """
    return offers_in(_read(files), files.config)


def _read(files: SellerFiles) -> dict[str, Any]:
    try:
        return tomllib.loads(files.config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(
            f"there is no seller at {files.folder}", hint="aisa seller init --node URL"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{files.config} is not TOML: {error}") from error


def _at_their_place_now(hubs: list[TrustedHub], node: str) -> list[TrustedHub]:
    """The same nodes; the one that answers at `node` is looked for there, and comes first.

    A devnet's port differs from run to run; what is trusted is the key, not the address.
    """
    url = origin_of(node)
    try:
        with SyncNodeClient(url) as client:
            network = client.info().network
    except NodeUnavailable:
        return hubs
    moved = [replace(hub, url=url) for hub in hubs if hub.network == network]
    return moved + [hub for hub in hubs if hub.network != network]


def _hub(table: Any, path: Path) -> TrustedHub:
    try:
        if unknown := set(table) - set(NODE_NAMES):
            raise ConfigInvalid(
                f"{path}: [[node]] has no setting {min(unknown)!r}",
                hint=f"one of {', '.join(NODE_NAMES)}",
            )
        cap = table.get("unredeemed_cap")
        return TrustedHub(
            origin_of(str(table["url"])),
            str(table["network"]),
            int(table.get("fee_ppm_max", FEE_PPM_MAX)),
            None if cap is None else int(cap),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigInvalid(
            f"{path}: a [[node]] needs url and network, and whole numbers", hint=repr(error)
        ) from error


def _read_seed(path: Path) -> bytes:
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_SIZE:
        raise ConfigInvalid(f"{path} is not a seller's key")
    return seed
