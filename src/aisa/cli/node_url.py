"""Which node a command talks to: the one that the SDK would, except that none is started."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from aisa.errors import ConfigInvalid


def find_node_url(home: Path) -> str | None:
    """`AISA_NODE`, else `[agent] node` of config.toml, the devnet's, or the node that runs here."""
    named = os.environ.get("AISA_NODE")
    if named:
        return named
    configured = read_config(home).get("agent", {}).get("node")
    if isinstance(configured, str) and configured:
        return configured
    from aisa.cli.node_folder import node_files
    from aisa.cli.service import read_service
    from aisa.demo.devnet_file import read_devnet_file

    devnet = read_devnet_file(home)
    if devnet is not None and devnet.is_running:
        return devnet.node
    process = read_service(node_files(home).process)
    return None if process is None else process.url


def node_url(home: Path) -> str:
    """The same, for those who need one.

    Raises:
        ConfigInvalid: none is configured.
    """
    found = find_node_url(home)
    if found is None:
        raise ConfigInvalid(
            "no node is configured",
            hint="aisa devnet up --seller, or aisa init --node URL, or set AISA_NODE",
        )
    return found


def read_config(home: Path) -> dict[str, Any]:
    """The home's config.toml; empty if there is none.

    Raises:
        ConfigInvalid: it is not TOML.
    """
    path = home / "config.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} is not TOML: {error}") from error
