"""Commands of ours that go on after the one that started them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from aisa.cli.command import Session
from aisa.errors import NodeUnavailable

T = TypeVar("T")

_POLL_S: Final = 0.05
_STARTED: Final[list[subprocess.Popen[bytes]]] = []
"""Kept, because Python complains of a forgotten child that still runs; here that is the point."""


def start_in_background(
    session: Session,
    what: str,
    words: Sequence[str],
    log: Path,
    ready: Callable[[int], T | None],
    timeout_s: float,
) -> T:
    """Start a command in a session of its own; return what `ready`, given its pid, says of it.

    Raises:
        NodeUnavailable: it ended, or was not ready in time.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "aisa", *words, "--home", str(session.home)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _STARTED.append(process)
    deadline = time.monotonic() + timeout_s
    try:
        with session.progress() as progress:
            while (found := ready(process.pid)) is None:
                if process.poll() is not None:
                    raise NodeUnavailable(
                        f"the {what} ended with code {process.returncode}", hint=_last_words(log)
                    )
                if time.monotonic() > deadline:
                    raise NodeUnavailable(f"the {what} did not start", hint=f"see {log}")
                progress(f"starting the {what}")
                time.sleep(_POLL_S)
    except BaseException:
        process.terminate()
        raise
    return found


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " · ".join(lines[-3:]) or f"see {log}"
