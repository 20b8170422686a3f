"""The paywall before a WSGI application: Flask, or anything else that a WSGI server runs.

For who has `aisa-node[wsgi]`; nothing else in the paywall needs it. The paywall lives on an event
loop in a thread of its own; calls of the application run in other threads, as they are used to.
"""

from __future__ import annotations

import asyncio
import atexit
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from a2wsgi import ASGIMiddleware, WSGIMiddleware

from aisa.money import Amount
from aisa.paywall.asgi import Receive, Scope, Send
from aisa.paywall.middleware import PaywallMiddleware
from aisa.paywall.paid import PRICE_ATTRIBUTE, Paid
from aisa.paywall.price import Price
from aisa.paywall.seller import Paywall

Prices: TypeAlias = "Mapping[str, str | Amount | Price | Paid]"

THREADS: Final = 32
STOP_TIMEOUT_S: Final = 20.0
_PARAMETER: Final = re.compile(r"<(?:(?P<kind>[^:<>]+):)?(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)>")
_ONE_SEGMENT: Final = frozenset({"default", "string", "int", "float", "uuid", "any"})
_SERVERS_OWN_PATH: Final = ("REQUEST_URI", "RAW_URI")


class WsgiPaywall:
    """A WSGI application that serves what has a price in `prices` only to those who pay it.

    At most `threads` calls run at a time. The paywall starts with the first request; `close` stops
    it, and so does the end of the process.
    """

    def __init__(
        self, app: Any, paywall: Paywall, prices: Prices, *, threads: int = THREADS
    ) -> None:
        self._paywall = paywall
        self._inner = PaywallMiddleware(
            cast("Any", WSGIMiddleware(app, workers=threads)), paywall, prices
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outer: Any = None
        self._starting = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        outer = self._outer or self._start()
        return outer(environ, start_response)

    def close(self) -> None:
        """Redeem what is owed, and close the seller's file."""
        with self._starting:
            loop, self._loop, self._outer = self._loop, None, None
            if loop is None:
                return
            atexit.unregister(self.close)
            asyncio.run_coroutine_threadsafe(self._paywall.stop(), loop).result(STOP_TIMEOUT_S)
            loop.call_soon_threadsafe(loop.stop)

    def _start(self) -> Any:
        # At the first request and not before: a server may fork after it loaded the application.
        with self._starting:
            if self._outer is not None:
                return self._outer
            loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(loop,), name="aisa-paywall", daemon=True).start()
            starting = asyncio.run_coroutine_threadsafe(self._paywall.start(), loop)
            try:
                starting.result()
            except BaseException:
                loop.call_soon_threadsafe(loop.stop)
                raise
            self._loop, self._outer = loop, ASGIMiddleware(cast("Any", self._serve), loop=loop)
            atexit.register(self.close)
            return self._outer

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = scope.get("wsgi_environ", {})
        for name in _SERVERS_OWN_PATH:
            # The path as it was sent; WSGI's own has lost how it was escaped.
            if raw := environ.get(name, ""):
                scope["raw_path"] = raw.partition("?")[0].encode("latin-1")
                break
        await self._inner(scope, receive, send)


def protect(app: Any, paywall: Paywall, prices: Prices | None = None) -> WsgiPaywall:
    """Put the paywall before a Flask application; views that `paid` marks are priced.

    Call it once all routes are added. `prices` are for other routes, as with PaywallMiddleware.
    """
    listed: dict[str, str | Amount | Price | Paid] = dict(prices or {})
    for rule in app.url_map.iter_rules():
        price = getattr(app.view_functions.get(rule.endpoint), PRICE_ATTRIBUTE, None)
        if isinstance(price, Price):
            methods = ",".join(sorted(rule.methods - {"OPTIONS"})) if rule.methods else "*"
            listed[f"{methods} {_PARAMETER.sub(_parameter, rule.rule)}"] = price
    app.wsgi_app = WsgiPaywall(app.wsgi_app, paywall, listed)
    return app.wsgi_app


def _parameter(found: re.Match[str]) -> str:
    # What a converter of the application's own may take is not known: it may be the whole rest.
    kind = (found["kind"] or "default").partition("(")[0]
    return f"{{{found['name']}}}" if kind in _ONE_SEGMENT else f"{{{found['name']}:path}}"


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
