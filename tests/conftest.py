"""What every test can rely on: a home of its own, a clean environment and the loopback alone."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest_plugins = ["tests.integration.anvil"]

hypothesis.settings.register_profile("aisa", deadline=None, print_blob=True)
hypothesis.settings.load_profile("aisa")

_KEPT_HOME = pytest.StashKey[Path]()
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def pytest_configure(config: pytest.Config) -> None:
    """Move this process, and all that it starts, away from the person's home and settings."""
    home = Path(tempfile.mkdtemp(prefix="aisa-tests-"))
    config.stash[_KEPT_HOME] = home
    # Tests that install a wheel would otherwise download everything again.
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    os.environ["HOME"] = str(home)
    for name in [name for name in os.environ if name.startswith("AISA_")]:
        del os.environ[name]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shutil.rmtree(config.stash[_KEPT_HOME], ignore_errors=True)


@pytest.fixture(autouse=True)
def aisa_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh AISA_HOME for each test; no proxy of this machine stands before the loopback."""
    home = tmp_path / "aisa-home"
    monkeypatch.setenv("AISA_HOME", str(home))
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Any:
    """A test that would leave this machine fails, with the address in its message."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse_elsewhere(sock: socket.socket, address: Any) -> None:
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to connect to {address!r}")

    def guarded(sock: socket.socket, address: Any) -> None:
        refuse_elsewhere(sock, address)
        connect(sock, address)

    def guarded_ex(sock: socket.socket, address: Any) -> int:
        refuse_elsewhere(sock, address)
        return connect_ex(sock, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    patch.setattr(socket.socket, "connect_ex", guarded_ex)
    yield
    patch.undo()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in {"localhost", ""}
