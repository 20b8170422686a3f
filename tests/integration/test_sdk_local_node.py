"""An agent without a node starts one of its own through the command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aisa.client import SyncNodeClient
from aisa.errors import ConfigInvalid
from aisa.sdk.discovery import find_nodes
from aisa.sdk.home import AgentConfig

pytestmark = pytest.mark.network


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_node_is_started_where_none_is_configured(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {**os.environ, "AISA_HOME": str(home), "AISA_NODE_PORT": str(free_port())}
    try:
        (url,) = find_nodes(home, AgentConfig(), environ)
        with SyncNodeClient(url) as node:
            assert node.info().currency("aiUSD") is not None
        # The next process of the same home finds the node that runs.
        assert find_nodes(home, AgentConfig(), environ) == (url,)
    finally:
        stop = [sys.executable, "-m", "aisa", "node", "stop", "--json"]
        subprocess.run(stop, env=environ, check=True, timeout=60, capture_output=True)


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {**os.environ, "AISA_HOME": str(home), "AISA_NODE_PORT": "-1"}
    with pytest.raises(ConfigInvalid) as caught:
        find_nodes(home, AgentConfig(), environ)
    assert "{" not in caught.value.detail
    assert "AISA_NODE" in caught.value.hint
