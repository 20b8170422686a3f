"""Starting the devnet as a process of its own, and stopping it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from aisa.devnet.solana.genesis import Genesis
from aisa.errors import RailUnavailable

_POLL_S = 0.02
_STOP_TIMEOUT_S = 15.0


class SolanaProcess:
    """A running `python -m aisa.devnet.solana`. A context manager that stops it at the end.

    `url`, `network` and `mints` (symbol → mint address) are known once it is constructed.

    Raises:
        RailUnavailable: it did not start within the timeout; the detail has what it said.
    """

    def __init__(
        self,
        *,
        state: Path | None = None,
        port: int = 0,
        genesis: Genesis | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        genesis = genesis or Genesis()
        with tempfile.TemporaryDirectory(prefix="aisa-devnet-") as folder:
            ready = Path(folder) / "ready.json"
            # A file, not a pipe: nobody reads along, and a full pipe would stop the devnet.
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as it
            self._process = _start(genesis, state, port, ready, self._said)
            self.card = self._wait(ready, start_timeout_s)
        self.url = cast("str", self.card["url"])
        self.network = cast("str", self.card["network"])
        self.mints = {
            one["symbol"]: one["mint"] for one in cast("list[dict[str, str]]", self.card["mints"])
        }

    def __enter__(self) -> SolanaProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> int:
        """End it with SIGTERM, so that it saves its state; returns its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._said.close()
        return code

    def _wait(self, ready: Path, timeout_s: float) -> dict[str, object]:
        deadline = time.monotonic() + timeout_s
        while not ready.exists():
            failed = self._process.poll() is not None
            if failed or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                self._said.seek(0)
                last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
                self._said.close()
                raise RailUnavailable(f"the Solana devnet did not start: {' '.join(last)}")
            time.sleep(_POLL_S)
        return cast("dict[str, object]", json.loads(ready.read_text()))


def _start(
    genesis: Genesis, state: Path | None, port: int, ready: Path, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aisa.devnet.solana", "--ready-file", str(ready)]
    command += ["--port", str(port), "--seed", genesis.seed, "--slot-ms", str(genesis.slot_ms)]
    command += ["--confirm-slots", str(genesis.confirm_slots)]
    command += ["--finalize-slots", str(genesis.finalize_slots)]
    if state is not None:
        command += ["--state", str(state)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Ctrl-C in a terminal goes to the starter, which then stops its devnet in order.
        start_new_session=True,
    )
