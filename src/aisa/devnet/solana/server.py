"""The devnet over HTTP on 127.0.0.1, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from aisa.devnet.solana.devnet import Devnet

_BODY_BYTES_MAX = 5_000_000
_GRACE_S = 2
_SAVE_PAUSE_S = 5.0


def create_app(devnet: Devnet) -> Starlette:
    """The ASGI application: JSON-RPC by POST on `/`, health by GET."""

    async def rpc(request: Request) -> Response:
        if int(request.headers.get("content-length") or 0) > _BODY_BYTES_MAX:
            return PlainTextResponse("body too large", status_code=413)
        return Response(devnet.answer(await request.body()), media_type="application/json")

    async def health(request: Request) -> Response:
        del request
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/", rpc, methods=["POST"]),
            Route("/", health, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ]
    )


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and leaves signals to us so that the state is saved."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take no signal: `serve` has its own handlers."""
        yield


async def serve(devnet: Devnet, *, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, saving now and then and at the end; `ready` gets the URL once it listens.

    Port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    # asyncio turns Nagle's delay off only where the protocol is named: 40 ms per answer else.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(devnet),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config, lambda: ready(url))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server)
    saving = asyncio.create_task(_save_now_and_then(devnet))
    try:
        await server.serve(sockets=[listener])
    finally:
        saving.cancel()
        devnet.save()
        listener.close()


async def _save_now_and_then(devnet: Devnet) -> None:
    """Save what changed, at most a twentieth of the time: a killed devnet loses seconds."""
    loop = asyncio.get_running_loop()
    pause_s, saved = _SAVE_PAUSE_S, -1
    while True:
        await asyncio.sleep(pause_s)
        if devnet.changes == saved:
            continue
        saved, began = devnet.changes, loop.time()
        devnet.save()
        pause_s = max(_SAVE_PAUSE_S, 20 * (loop.time() - began))


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True
