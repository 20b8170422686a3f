"""One anvil process: an EVM chain on 127.0.0.1 that ends with whoever started it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from aisa.devnet.ethereum.control import Control
from aisa.devnet.ethereum.rpc import Rpc
from aisa.devnet.toolchain import Say, foundry, say_on_stderr
from aisa.errors import RailUnavailable

_POLL_S: Final = 0.01
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 30.0
_LAST_LINES: Final = 6
_LISTENING: Final = re.compile(r"^Listening on 127\.0\.0\.1:(\d+)\s*$", re.MULTILINE)

# The shell becomes anvil, so that its pid is ours to stop. What it leaves behind waits for the end of
# a pipe that only the starter holds: when the starter is gone, however it went, anvil is asked to end
# and saves its state. A line in the pipe says that the starter itself has ended anvil.
_WITH_WATCHER: Final = 'exec 3<&0 </dev/null; (read -r line <&3 || kill -TERM $$) & exec "$@" 3<&-'


class Anvil:
    """A running anvil with a chain id of its own. A context manager that stops it at the end.

    Args:
        chain_id: also the chain's CAIP-2 name, `eip155:<chain_id>`.
        port: 0 takes a free one.
        block_time_s: a block every so often; 0 makes one for every chain tx, at once.
        state: goes on from this file if it is there, and saves to it at the end.
        log: where its words go; a file of this process alone if none is named.
        epoch_slots: `safe` is that many blocks back, `finalized` twice as many.
        say: told what is done where anvil must be installed first.

    Raises:
        ExtraMissing: there is no Node.js to install anvil with.
        RailUnavailable: it did not start in time; the detail has what it said last.
    """

    def __init__(
        self,
        *,
        chain_id: int = 31337,
        port: int = 0,
        block_time_s: int = 0,
        state: Path | None = None,
        log: Path | None = None,
        epoch_slots: int = 1,
        say: Say = say_on_stderr,
    ) -> None:
        words = [
            str(foundry("anvil", say=say)),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--color",
            "never",
        ]
        words += ["--chain-id", str(chain_id), "--slots-in-an-epoch", str(epoch_slots)]
        words += ["--block-time", str(block_time_s)] if block_time_s else []
        words += ["--state", str(state)] if state else []
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
        self.chain_id = chain_id
        self._scratch = tempfile.TemporaryDirectory(prefix="aisa-anvil-") if log is None else None
        self.log = log or Path(self._scratch.name if self._scratch else "", "anvil.log")
        self._start(words)
        try:
            self.port = self._wait_for_port()
            self.url = f"http://127.0.0.1:{self.port}"
            self.rpc = Rpc(self.url)
            self.control = Control(self.rpc)
            self._begin(keep_time=state is not None)
        except BaseException:
            self._end(kill=True)
            raise

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
    def network(self) -> str:
        """The chain's CAIP-2 name."""
        return f"eip155:{self.chain_id}"

    @property
    def pid(self) -> int:
        """The process id of anvil itself."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def accounts(self) -> list[str]:
        """The unlocked accounts that anvil signs for; everybody knows their keys."""
        return cast("list[str]", self.rpc.call("eth_accounts"))

    def stop(self) -> int:
        """End it with SIGTERM, so that it saves its state; returns its exit code."""
        self.rpc.close()
        return self._end(kill=False)

    def kill(self) -> None:
        """End it at once, as a power failure would: nothing is saved."""
        self.rpc.close()
        self._end(kill=True)

    def last_words(self) -> str:
        """The last lines of its log."""
        text = self._said().strip()
        return " · ".join(line.strip() for line in text.splitlines()[-_LAST_LINES:] if line.strip())

    def _start(self, words: list[str]) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        watched, self._alive = os.pipe()
        try:
            with self.log.open("wb") as said:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _WITH_WATCHER, "anvil", *words],
                    stdin=watched,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal goes to the starter, which then stops its chain in order.
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._alive)
            raise
        finally:
            os.close(watched)

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            listening = _LISTENING.search(self._said())
            if listening:
                return int(listening[1])
            code = self._process.poll()
            if code is not None:
                raise RailUnavailable(f"anvil ended with code {code}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise RailUnavailable(f"anvil did not start: {self.last_words()}")
            time.sleep(_POLL_S)

    def _begin(self, *, keep_time: bool) -> None:
        """Check that it is the chain we asked for, and make it quiet from here on."""
        found = self.rpc.number("eth_chainId")
        if found != self.chain_id:
            raise RailUnavailable(f"anvil runs chain {found} where {self.chain_id} was asked for")
        self.rpc.call("anvil_setLoggingEnabled", False)
        if keep_time:
            self._go_on_in_time()

    def _go_on_in_time(self) -> None:
        """A chain whose time was moved ahead begins again at the machine's time: move it back ahead."""
        newest_s, now_s = self.control.block().time_s, int(time.time())
        if newest_s >= now_s:
            self.control.pass_time(newest_s - now_s + 1)

    def _end(self, *, kill: bool) -> int:
        if self._alive < 0:
            return self._process.wait()
        if self._process.poll() is None:
            self._process.kill() if kill else self._process.terminate()
        try:
            code = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._dismiss_watcher()
        if self._scratch is not None:
            self._scratch.cleanup()
        return code

    def _dismiss_watcher(self) -> None:
        """Let the watcher go without a signal to a pid that may be somebody else's by now."""
        try:
            os.write(self._alive, b"\n")
        except BrokenPipeError:
            pass
        finally:
            os.close(self._alive)
            self._alive = -1

    def _said(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
