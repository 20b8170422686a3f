"""Our way to run uvicorn: the head is bounded before it is buffered, and the collector is tamed.

For those who have uvicorn, uvloop and httptools installed; nothing else in the paywall needs them.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aisa.errors import ConfigInvalid
from aisa.paywall.asgi import App

HEAD_BYTES_MAX: Final = 16 * 1024
BACKLOG: Final = 2048
HEAD_S_MAX: Final = 20.0
_LINGER_S: Final = 2.0
_BODY: Final = (
    b'{"type":"urn:aisa:problem:head-too-large","title":"Request head too large","status":431,'
    b'"detail":"the request head is above the limit of this server","slug":"head-too-large",'
    b'"retryable":false}'
)
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"content-length: " + str(len(_BODY)).encode() + b"\r\nconnection: close\r\n\r\n" + _BODY
)


class BoundedHeadProtocol(HttpToolsProtocol):
    """Answers 431 and closes as soon as a request's head is longer than 16 KiB.

    The parser keeps an unfinished header line in memory however long it grows, so the bytes are
    counted before they reach it; in a body those count that bring none of it, as trailers do. A
    connection whose head is not whole after 20 to 40 seconds is closed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._head_bytes = 0
        self._is_refused = False
        self._heads = 0
        self._watched_head = -1
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A peer connected."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(HEAD_S_MAX, self._watch_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._is_refused:
            return  # nothing of it is kept; the peer may still be sending what it began
        if self._is_in_head:
            room = HEAD_BYTES_MAX - self._head_bytes
            if len(data) > room and b"\r\n\r\n" not in data[: room + 4]:
                self._refuse()
                return
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse()

    def on_body(self, body: bytes) -> None:
        """A piece of the body came."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        """A request begins; where bytes of it came together with the last one, they count later."""
        if not self._is_in_head:
            self._is_in_head = True
            self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: what follows is the body."""
        self._is_in_head = False
        self._head_bytes = 0
        self._heads += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole: what follows is the next head."""
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def eof_received(self) -> None:
        """The peer sends no more."""
        if self._is_refused:
            self.transport.close()
        super().eof_received()

    def _watch_head(self) -> None:
        """Close a connection that still sends the head that it sent at the last look."""
        if self.transport.is_closing():
            return
        # Nothing of a head is there between requests either: then the keep-alive timer counts.
        is_sending = self._is_in_head and (self._head_bytes > 0 or not self._heads)
        if is_sending and self._watched_head == self._heads:
            self.transport.close()
            return
        self._watched_head = self._heads if is_sending else -1
        self._watch = self.loop.call_later(HEAD_S_MAX, self._watch_head)

    def _refuse(self) -> None:
        self._is_refused = True
        self._unset_keepalive_if_required()
        cycle: Any = self.cycle  # uvicorn's own type leaves out that there is none at first
        if cycle is not None and not cycle.response_complete:
            self.transport.close()  # an answer is on its way; another would be read as part of it
            return
        self.transport.write(_REFUSAL)
        # Closing at once, with bytes unread, would reset the connection and lose the answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


class FrozenServer(Server):
    """A uvicorn server that takes everything alive at its start out of garbage collection.

    Calls that wait for a commit outlive the youngest generation, so that a full collection came
    every 2,000 paid calls and stopped the world for 30 ms.
    """

    def __init__(self, config: Config, listens: asyncio.Event | None = None) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then freeze."""
        await super().startup(sockets=sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        if self._listens is not None and self.started:
            self._listens.set()


def server_config(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    lifespan: Literal["auto", "on", "off"] = "on",
    **more: Any,
) -> Config:
    """Return the uvicorn configuration of our servers; `more` goes to uvicorn as it is."""
    options: dict[str, Any] = {
        "access_log": False,
        "backlog": BACKLOG,
        "http": BoundedHeadProtocol,
        "log_level": "warning",
        "loop": "auto",
        "server_header": False,
        "timeout_graceful_shutdown": 10,
        **more,
    }
    return Config(app, host=host, port=port, lifespan=lifespan, **options)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 takes a free one.

    Raises:
        ConfigInvalid: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, because asyncio turns Nagle's delay (40 ms an answer) off for nothing else.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigInvalid(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="another process may use it; choose another port",
        ) from error
    return listener


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of our servers: uvloop, where there is one."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def serve(app: App, *, host: str = "127.0.0.1", port: int = 8000, **more: Any) -> None:
    """Serve until SIGINT or SIGTERM, then stop gracefully."""
    FrozenServer(server_config(app, host=host, port=port, **more)).run()


async def serve_async(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    sockets: Sequence[socket.socket] | None = None,
    listens: asyncio.Event | None = None,
    **more: Any,
) -> None:
    """Serve inside a running loop until a signal comes, or the task is cancelled.

    `sockets` are bound ones to use instead of host and port; `listens` is set once it does.
    """
    server = FrozenServer(server_config(app, host=host, port=port, **more), listens)
    serving = asyncio.create_task(server.serve(None if sockets is None else list(sockets)))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
