"""Parts of a drill's world: processes forked from one that has imported everything.

A start by `exec` costs a second or two of imports, a fork a few milliseconds. What is forked is a
process of its own: it shares no file, socket or thread with anyone, and SIGKILL ends it as it ends
any other.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from aisa import faults

KILLED: Final = -signal.SIGKILL
COUNTS: Final = "AISA_FAULTS_COUNT"
_PRELOAD: Final = "tests.drills.preload"
_PR_SET_PDEATHSIG: Final = 1
_STOP_S_MAX: Final = 60.0

Main = Callable[[list[str], Connection | None], int | None]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([_PRELOAD])


class PartEnded(Exception):
    """A part ended that should be running."""


@dataclass(slots=True)
class Part:
    """One running process; its output goes to `log`."""

    name: str
    process: Any
    log: Path
    link: Connection | None = None

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.exitcode

    async def ended(self) -> int:
        """Wait for the end, and return the exit code; minus a signal's number if that ended it."""
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        sentinel = self.process.sentinel

        def tell() -> None:
            loop.remove_reader(sentinel)
            if not gone.done():
                gone.set_result(None)

        if self.code is None:
            # A duplicate: several may wait for one process.
            sentinel = os.dup(sentinel)
            try:
                loop.add_reader(sentinel, tell)
                await gone
            finally:
                loop.remove_reader(sentinel)
                os.close(sentinel)
        self.process.join()
        return int(self.process.exitcode)

    async def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `ready` holds.

        Raises:
            PartEnded: the process ended before, or took too long.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not ready():
            if self.code is not None:
                raise PartEnded(f"the {self.name} ended with {self.code}: {self.last_words()}")
            if loop.time() > deadline:
                raise PartEnded(f"the {self.name} is not ready: {self.last_words()}")
            await asyncio.sleep(0.01)

    async def stop(self) -> int:
        """End it in order, by its link or by SIGTERM, at last by SIGKILL; returns its exit code."""
        if self.link is not None:
            self.link.close()
        if self.code is None:
            if self.link is None:
                self.process.terminate()
            try:
                async with asyncio.timeout(_STOP_S_MAX):
                    await self.ended()
            except TimeoutError:
                self.process.kill()
        return await self.ended()

    def kill(self) -> None:
        """End it now."""
        with suppress(ValueError, OSError):
            self.process.kill()

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_bytes()[-1500:].decode("utf-8", "replace").strip()
        except OSError:
            return ""


def start(
    name: str,
    main: Main,
    arguments: list[str],
    environ: Mapping[str, str],
    log: Path,
    *,
    linked: bool = False,
) -> Part:
    """Start a process that runs `main(arguments, link)` in this environment and no other."""
    log.parent.mkdir(parents=True, exist_ok=True)
    ours, theirs = _context.Pipe() if linked else (None, None)
    process = _context.Process(
        target=_live, args=(main, arguments, dict(environ), str(log), theirs), name=name
    )
    process.start()
    if theirs is not None:
        theirs.close()
    return Part(name, process, log, ours)


def _live(
    main: Main, arguments: list[str], environ: dict[str, str], log: str, link: Connection | None
) -> None:
    os.setsid()
    if sys.platform == "linux":
        # Whoever kills the drills leaves nobody behind.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environ)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    code: int | None = 1
    try:
        code = main(arguments, link)
    finally:
        if COUNTS in environ:
            Path(environ[COUNTS]).write_text(json.dumps(dict(faults.counts())))
        sys.stdout.flush()
    sys.exit(code)
