"""Child processes that end with us: started by argument list, told apart by pid and start time."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from aisa.errors import NodeUnavailable

GRACE_S: Final = 10.0
_POLL_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_LOG_TAIL_BYTES: Final = 1_500


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid and when its process began, so that a number taken over by another is not mistaken."""

    pid: int
    began: str

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return self.began != "" and began(self.pid) == self.began

    def ask_to_stop(self, signum: int = signal.SIGTERM) -> None:
        """Send a signal, unless the process has gone."""
        if self.is_alive:
            try:
                os.kill(self.pid, signum)
            except ProcessLookupError:
                return

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process has gone; false if it has not."""
        deadline = time.monotonic() + timeout_s
        while self.is_alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def began(pid: int) -> str:
    """When a process began, in the system's own words; empty if there is none, or only its corpse."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in {"Z", "X"} else fields[19]
    told = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return "" if told.startswith("Z") else told.partition(" ")[2].strip()


@dataclass(slots=True)
class Child:
    """One process that we started; its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def id(self) -> ProcessId:
        """Its pid and start time."""
        return ProcessId(self.process.pid, began(self.process.pid))

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `ready` holds.

        Raises:
            NodeUnavailable: the process ended, or did not become ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            code = self.process.poll()
            if code is not None:
                raise NodeUnavailable(
                    f"the {self.name} ended with code {code} before it was ready",
                    hint=self.last_words(),
                )
            if time.monotonic() > deadline:
                raise NodeUnavailable(
                    f"the {self.name} was not ready within {timeout_s:.0f} s",
                    hint=self.last_words(),
                )
            time.sleep(_POLL_S)

    def last_words(self) -> str:
        """The end of its log."""
        try:
            text = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""
        return f"its log ends: {text}" if text else f"its log {self.log} is empty"

    def stop(self, timeout_s: float = GRACE_S) -> int:
        """End it with SIGTERM, after the timeout with SIGKILL; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                _close(pipe)
        return self.process.wait()


class Family:
    """Processes that stop together, the youngest first. A context manager."""

    def __init__(self, log_folder: Path) -> None:
        self._folder = log_folder
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def children(self) -> Sequence[Child]:
        """Everyone started, in order."""
        return tuple(self._children)

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        piped: bool = False,
    ) -> Child:
        """Start a process in a session of its own, so that Ctrl-C reaches us and not it.

        `piped` connects its standard input and output to us; else its output goes to its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                list(arguments),
                env=dict(environ),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one prctl between fork and exec
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def ended(self) -> Child | None:
        """The first child that ended by itself, if any did."""
        return next((one for one in self._children if one.process.poll() is not None), None)

    def stop(self) -> None:
        """Stop everyone; a second Ctrl-C meanwhile does not leave orphans behind."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while self._children:
                self._children.pop().stop()
        finally:
            signal.signal(signal.SIGINT, before)


def _load_libc() -> ctypes.CDLL | None:
    # Looked up before any fork: nothing may be imported or allocated between fork and exec.
    return ctypes.CDLL(None) if sys.platform == "linux" else None


_LIBC: Final = _load_libc()


def _end_with_parent() -> None:
    """Where the system can do it, a child is told to stop when we are killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return
