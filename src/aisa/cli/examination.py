"""The checks of `aisa doctor`; each gives a finding, and a hint where there is something to do."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_PYTHON_MIN: Final = (3, 11)
_PACKAGES: Final = {
    "sdk": ("aiohttp", "httpx2"),
    "paywall": ("httpx2",),
    "node": ("click", "fastapi", "httptools", "rich", "solders", "uvicorn"),
    "demo": ("currency_converter",),
}
_FSYNC_ROUNDS: Final = 20
_FSYNC_SLOW_MS: Final = 20.0
_SKEW_MAX_S: Final = 60
_BUILT_AFTER_S: Final = 1_767_225_600
"""2026-01-01: a clock that shows less has not been set."""


class Verdict(Enum):
    """OK, WARNING (works, with a catch) or PROBLEM (will not work)."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


def examine(home: Path, tell: Callable[[str], None]) -> Iterator[Finding]:
    """Run every check in turn."""
    yield check_python()
    yield from check_packages()
    yield check_home(home)
    tell("measuring the disk")
    yield check_disk(home)
    tell("asking the node")
    yield from check_node(home)
    yield from check_ports(home)


def check_python() -> Finding:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON_MIN:
        return Finding("python", Verdict.PROBLEM, version, "install Python 3.11 or newer")
    return Finding("python", Verdict.OK, version)


def check_packages() -> Iterator[Finding]:
    """The packages of each extra."""
    for extra, packages in _PACKAGES.items():
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            yield Finding(
                f"extra {extra}",
                Verdict.WARNING,
                f"missing: {', '.join(missing)}",
                f"pip install 'aisa-node[{extra}]'",
            )
        else:
            yield Finding(f"extra {extra}", Verdict.OK, "installed")


def check_home(home: Path) -> Finding:
    """The home: ours alone, and writable."""
    if not home.exists():
        parent = next(folder for folder in home.parents if folder.exists())
        if not os.access(parent, os.W_OK):
            return Finding(
                "home",
                Verdict.PROBLEM,
                f"{home} cannot be made",
                "set AISA_HOME to a folder of yours",
            )
        return Finding("home", Verdict.OK, f"{home} will be made")
    mode = stat.S_IMODE(home.stat().st_mode)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "home", Verdict.PROBLEM, f"{home} is not writable", "set AISA_HOME to a folder of yours"
        )
    if mode & 0o077:
        return Finding(
            "home", Verdict.WARNING, f"{home} is open to others ({mode:o})", f"chmod 700 {home}"
        )
    return Finding("home", Verdict.OK, str(home))


def check_disk(home: Path) -> Finding:
    """How long one durable write takes where the home is; every commit waits for it."""
    folder = next(one for one in (home, *home.parents) if one.exists())
    try:
        median_ms = fsync_ms(folder)
    except OSError as error:
        return Finding("disk", Verdict.PROBLEM, str(error), "free some space, or move AISA_HOME")
    detail = f"a durable write takes {median_ms:.2f} ms"
    if median_ms > _FSYNC_SLOW_MS:
        return Finding(
            "disk",
            Verdict.WARNING,
            detail,
            "move AISA_HOME to a local disk: calls wait for commits",
        )
    return Finding("disk", Verdict.OK, detail)


def fsync_ms(folder: Path) -> float:
    """The median time of a 4 KiB write with fsync in a folder, in milliseconds."""
    took_ns: list[int] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNC_ROUNDS):
            began = time.perf_counter_ns()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took_ns.append(time.perf_counter_ns() - began)
    return sorted(took_ns)[_FSYNC_ROUNDS // 2] / 1e6


def check_node(home: Path) -> Iterator[Finding]:
    """Whether the configured node answers, and agrees about the time."""
    from aisa.cli.node_url import find_node_url

    now_s = int(time.time())
    if now_s < _BUILT_AFTER_S:
        yield Finding(
            "clock", Verdict.PROBLEM, "the clock is not set", "set it, for example by NTP"
        )
    url = find_node_url(home)
    if url is None:
        yield Finding(
            "node",
            Verdict.WARNING,
            "none is configured",
            "aisa devnet up --seller, or aisa init --node URL",
        )
        return
    yield from _ask_node(url, now_s)


def _ask_node(url: str, now_s: int) -> Iterator[Finding]:
    from email.utils import parsedate_to_datetime

    import httpx2

    try:
        answer = httpx2.get(f"{url.rstrip('/')}/v1/node", timeout=5, trust_env=False)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        yield Finding(
            "node",
            Verdict.PROBLEM,
            f"{url} does not answer: {error or type(error).__name__}",
            "start it: aisa node up, or aisa devnet up --seller",
        )
        return
    yield Finding("node", Verdict.OK, f"{url} answers")
    told = answer.headers.get("date")
    skew_s = abs(parsedate_to_datetime(told).timestamp() - now_s) if told else 0
    if skew_s > _SKEW_MAX_S:
        yield Finding(
            "clock",
            Verdict.PROBLEM,
            f"{skew_s:.0f} s away from the node's",
            "set it by NTP: signatures are refused beyond 300 s",
        )
    else:
        yield Finding("clock", Verdict.OK, f"within {max(skew_s, 1):.0f} s of the node's")


def check_ports(home: Path) -> Iterator[Finding]:
    """The usual ports: free, or held by the devnet of this home."""
    from aisa.demo.port import usual_ports

    ours = _own_ports(home)
    for port in usual_ports().taken():
        if port in ours:
            yield Finding(f"port {port}", Verdict.OK, "a process of this home listens there")
        else:
            yield Finding(
                f"port {port}",
                Verdict.WARNING,
                "somebody listens there",
                "the devnet takes a free one instead; --port-base chooses",
            )


def _own_ports(home: Path) -> set[int]:
    from aisa.cli.node_folder import node_files
    from aisa.cli.service import read_service
    from aisa.demo.devnet_file import read_devnet_file

    devnet = read_devnet_file(home)
    ports = set(devnet.ports) if devnet is not None and devnet.is_running else set[int]()
    for path in (node_files(home).process, home / "seller" / "seller.json"):
        service = read_service(path)
        if service is not None:
            ports.add(urlsplit(service.url).port or 0)
    return ports
