"""Running a node: listen, work, and stop without leaving a request unanswered."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from aisa import faults
from aisa.errors import RailUnavailable
from aisa.node.app import create_app
from aisa.node.assemble import assembled
from aisa.node.config import NodeConfig
from aisa.node.services import Services
from aisa.node.workers.chores import work
from aisa.paywall.server import FrozenServer, listen, loop_factory, server_config

FIRST_CHECK_S_MAX: Final = 10.0
_log = logging.getLogger("aisa.node")


@dataclass(frozen=True, slots=True)
class Listening:
    """A node that takes requests: its URL, and the network's name of channels there."""

    url: str
    network: str


def run(
    config: NodeConfig,
    seed: bytes,
    *,
    ready_file: Path | None = None,
    on_ready: Callable[[Listening], None] | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT.

    Failpoints are armed from the environment. `ready_file` appears, with the URL, when the node
    takes requests, and goes when it stops.

    Raises:
        FileOwned: another node uses the ledger.
        ConfigInvalid: the address cannot be listened on, or a setting cannot work.
        LedgerStopped: a commit failed; start again.
    """
    faults.arm(os.environ)

    def tell(listening: Listening) -> None:
        if ready_file is not None:
            _write_ready(ready_file, listening)
        if on_ready is not None:
            on_ready(listening)

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(config, seed, on_ready=tell))
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


async def serve(config: NodeConfig, seed: bytes, *, on_ready: Callable[[Listening], None]) -> None:
    """Serve until a signal comes or this task is cancelled; see `run`."""
    listener = listen(config.host, config.port)
    with listener:
        async with assembled(config, seed) as services:
            url = _url(config.host, listener)
            services.authenticator.serve(_origins(config, url))
            await _first_check(services)
            server = _Server(_uvicorn_config(config, services))
            await _serve_and_work(
                server, services, listener, lambda: on_ready(Listening(url, services.network))
            )


async def _serve_and_work(
    server: _Server, services: Services, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    working = asyncio.create_task(work(services))
    working.add_done_callback(lambda _: server.ask_to_stop())
    with _signals(server):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.listening.wait()
            if server.started:
                on_ready()
            await serving
        except asyncio.CancelledError:
            server.ask_to_stop()
            await serving
            raise
        finally:
            working.cancel()
            await asyncio.wait([working])
    if not working.cancelled() and (error := working.exception()) is not None:
        raise error


class _Server(FrozenServer):
    """Leaves signals to us: a stop must end in closed files, not in a raised signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def ask_to_stop(self) -> None:
        """Finish what is in flight and take nothing new."""
        self.should_exit = True


@contextmanager
def _signals(server: _Server) -> Generator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    try:
        for name in names:
            loop.add_signal_handler(name, server.ask_to_stop)
    except (RuntimeError, ValueError):  # not the main thread: whoever started us stops us
        yield
        return
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


async def _first_check(services: Services) -> None:
    """Open withdrawals before the first request, if the networks answer."""
    try:
        async with asyncio.timeout(FIRST_CHECK_S_MAX):
            await services.solvency.check()
    except (RailUnavailable, TimeoutError) as error:
        _log.warning("withdrawals wait for the first solvency check: %s", error)


def _uvicorn_config(config: NodeConfig, services: Services) -> uvicorn.Config:
    return server_config(
        create_app(services),
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=config.drain_s,
    )


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - only shown
    return f"http://{shown or (f'[{host}]' if ':' in host else host)}:{port}"


def _origins(config: NodeConfig, url: str) -> tuple[str, ...]:
    """Return the URLs that clients may sign for: the operator's, and this machine's own."""
    port = url.rpartition(":")[2]
    local = (url, f"http://localhost:{port}", f"http://127.0.0.1:{port}")
    return tuple(dict.fromkeys((*config.public_urls, *local)))


def _write_ready(path: Path, listening: Listening) -> None:
    document = {"url": listening.url, "network": listening.network, "pid": os.getpid()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(document) + "\n")
    part.replace(path)
