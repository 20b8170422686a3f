"""A peer in a process of its own, which answers in lines of JSON and ends with the harness."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

READY_S: Final = 60.0
ANSWER_S: Final = 60.0
END_S: Final = 10.0
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


class PeerFailed(Exception):
    """A peer said an error, said nothing in time, or ended."""


class PeerProcess:
    """One script with its settings; a context manager that starts and ends it.

    What the peer says on standard error is kept in `log`.
    """

    def __init__(self, command: list[str], settings: Mapping[str, Any], log: Path) -> None:
        self._command = [*command, json.dumps(settings)]
        self._log = log
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.address = ""
        """Whom the peer pays from, if it chose its key itself."""

    def __enter__(self) -> Self:
        environ = {name: value for name, value in os.environ.items() if not _is_proxy(name)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environ,
            )
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        try:
            hello = self._next(READY_S)
        except BaseException:
            self.stop()
            raise
        self.url, self.address = str(hello.get("url", "")), str(hello.get("address", ""))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Have it do something; the answer is what came of it.

        Raises:
            PeerFailed: it failed, with its own words.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PeerFailed(f"it has ended: {self._last_words()}") from error
        answer = self._next(ANSWER_S)
        if "error" in answer:
            raise PeerFailed(str(answer["error"]))
        return answer

    def stop(self) -> None:
        """Let it end, which it does when nothing can come any more; kill it if it does not."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what it was never told is lost with it
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _next(self, within_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=within_s)
        except queue.Empty:
            raise PeerFailed(f"it said nothing in {within_s:.0f} s: {self._last_words()}") from None
        if not line:
            raise PeerFailed(f"it has ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self, pipe: IO[str]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed by `stop`
            for line in pipe:
                self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace").strip()[-600:]


def _is_proxy(name: str) -> bool:
    return name.lower() in _PROXIES
