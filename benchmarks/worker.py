"""Child processes of a bench: started, asked one JSON line at a time, ended by their id."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STOP_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 180
ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """One child process; what it writes to standard error goes to a file in `logs`.

    A child that does not answer within `ANSWER_TIMEOUT_S` is killed, and the bench says so.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        logs: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = (logs / f"{name}.log").open("ab")
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def read_line(self, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """Return the next line that the child prints."""
        assert self._process.stdout is not None
        with self._killed_after(timeout_s):
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended or did not answer; see {self._log.name}")
        return line.strip()

    def ask(
        self, question: Mapping[str, Any], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> dict[str, Any]:
        """Send one JSON line and return the JSON line that answers it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self.read_line(timeout_s))

    def cpu_s(self) -> float:
        """Return the processor time that all threads of the child have used so far, in seconds."""
        return time.clock_gettime((~self.pid << 3) | 2)  # Linux: the CPU clock of another process

    def resident_bytes(self) -> int:
        """Return the memory that the child holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def _killed_after(self, timeout_s: float) -> Iterator[None]:
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
