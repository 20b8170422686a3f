"""Finding the agent's node: given, configured, a devnet's, or one started on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from aisa.client import origin_of
from aisa.errors import ConfigInvalid, ExtraMissing
from aisa.sdk.home import AgentConfig

START_TIMEOUT_S: Final = 60
_WAYS_OUT: Final = "name a node in AISA_NODE, or install aisa-node[node] to run one here"


def find_nodes(
    home: Path, config: AgentConfig, environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return the URLs of the agent's own nodes; starts one if nothing is configured.

    In this order: `AISA_NODE`, `[agent] node` or `nodes` in config.toml, the running devnet's node,
    a node of this home that the command line starts in the background.

    Raises:
        ConfigInvalid: a URL is malformed, or the node could not be started.
        ExtraMissing: there is no node, and the packages to run one are not installed.
    """
    named = environ.get("AISA_NODE")
    if named:
        return tuple(origin_of(url) for url in named.replace(",", " ").split())
    if config.nodes:
        return tuple(origin_of(url) for url in config.nodes)
    url = _devnet_node(home / "devnet" / "devnet.json")
    return (origin_of(url or _start_node(home, environ)),)


def _devnet_node(path: Path) -> str | None:
    try:
        document: Any = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    if not isinstance(document, dict):
        return None
    members = cast("dict[str, Any]", document)
    node: Any = members.get("node_url") or members.get("node")
    if isinstance(node, dict):
        node = cast("dict[str, Any]", node).get("url")
    return node if isinstance(node, str) else None


def _start_node(home: Path, environ: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "aisa", "node", "up", "--background", "--json"]
    try:
        done = subprocess.run(
            command,
            env={**environ, "AISA_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigInvalid(
            f"a local node could not be started: {error}", hint=_WAYS_OUT
        ) from error
    if done.returncode:
        reason = _reason(done.stderr) or f"exit {done.returncode}"
        if "No module named" in reason:
            raise ExtraMissing("no node is configured, and none is installed here", hint=_WAYS_OUT)
        raise ConfigInvalid(f"a local node could not be started: {reason[:300]}", hint=_WAYS_OUT)
    return _url_in(done.stdout)


def _reason(errors: bytes) -> str:
    """Return the detail of the problem that the command line told, or its last line."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return ""
    try:
        said: Any = msgspec.json.decode(lines[-1])
        return str(said["detail"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return lines[-1]


def _url_in(output: bytes) -> str:
    lines = output.strip().splitlines()
    try:
        said: Any = msgspec.json.decode(lines[-1] if lines else b"")
        return str(said["url"])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ConfigInvalid("the started node did not say its URL", hint=_WAYS_OUT) from error
