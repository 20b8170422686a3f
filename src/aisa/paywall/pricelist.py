"""Which path costs what: a table for plain paths, patterns only for paths with parameters."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aisa.errors import ConfigInvalid
from aisa.money import Amount
from aisa.paywall.paid import PRICE_ATTRIBUTE, Paid
from aisa.paywall.price import FREE, Price, price_of

_PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(:[a-z]+)?\}")
_DISGUISED: Final = re.compile(r"//|/\.|/\Z|\n")
_DOUBTFUL: Final = re.compile(r"//|/\.|\\|\n")
_ROUTE: Final = re.compile(r"(?:(\*|[A-Z]+(?:,[A-Z]+)*) )?(/\S*)")


class PriceList:
    """Prices by path and method; the first pattern that was added wins."""

    def __init__(self) -> None:
        self._plain: dict[str, dict[str, Price]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Price]]] = []

    def add(
        self,
        path: str,
        price: Price,
        methods: Iterable[str] = ("*",),
        pattern: re.Pattern[str] | None = None,
    ) -> None:
        """Put a price on a path such as `/rates` or `/rates/{code}`; `*` means every method.

        OPTIONS stays free, as browsers ask it before they pay.

        Raises:
            ConfigInvalid: it has another price already.
        """
        if "{" in path:
            # A parameter may hold a line break, which `.` would stop at: that made a path free.
            pattern = pattern or re.compile(_regex_of(path), re.DOTALL)
            by_method: dict[str, Price] = {}
            self._patterns.append((pattern, by_method))
        else:
            by_method = self._plain.setdefault(path, {})
        for method in methods:
            if by_method.setdefault(method, price) is not price:
                raise ConfigInvalid(f"{method} {path} has two prices")
        # Some routers serve HEAD by the handler of GET, which costs the same work.
        if "GET" in by_method:
            by_method.setdefault("HEAD", by_method["GET"])

    def find(self, path: str, method: str) -> Price | None:
        """The price of a request, or None if it is free."""
        by_method = self._plain.get(path)
        price = None if by_method is None else _price_in(by_method, method)
        if price is not None:
            return None if price is FREE else price
        # A router goes on to a pattern too where the plain path does not serve the method.
        for pattern, by_method in self._patterns:
            if pattern.match(path):
                price = _price_in(by_method, method)
                if price is FREE:
                    if not _is_doubtful(path):
                        return None
                elif price is not None:
                    return price
        return None

    def find_disguised(self, path: str, method: str) -> str | None:
        """The priced path that a router or a file server may take a free one for, if there is one.

        Routers match `$` before a last line break, and file servers drop dots and double slashes.
        """
        if _DISGUISED.search(path) is None:
            return None
        plain = "/" + posixpath.normpath(path.rstrip("\n")).lstrip("/")
        return plain if plain != path and self.find(plain, method) is not None else None

    def prices(self) -> list[Price]:
        """Every price once."""
        tables = [*self._plain.values(), *(table for _, table in self._patterns)]
        listed = dict.fromkeys(price for table in tables for price in table.values())
        return [price for price in listed if price is not FREE]


def price_list(prices: Mapping[str, str | Amount | Price | Paid]) -> PriceList:
    """Return the list of a table such as `{"GET /rates": "0.0001 aiUSD", "/quote/{id}": paid(…)}`.

    Raises:
        ConfigInvalid: a key is not a path, or methods and a path.
    """
    listed = PriceList()
    for route, value in prices.items():
        match = _ROUTE.fullmatch(route)
        if match is None:
            raise ConfigInvalid(
                f"{route[:80]!r} is not a route", hint="write it as /path or GET,POST /path"
            )
        if isinstance(value, Paid):
            value = value.price  # noqa: PLW2901 - the same value, unwrapped
        price = value if isinstance(value, Price) else price_of(value)
        listed.add(match[2], price, (match[1] or "*").split(","))
    return listed


def add_marked_routes(listed: PriceList, app: Any) -> None:
    """Add the prices that `paid` put on the routes of a Starlette or FastAPI application."""
    _add_routes(listed, getattr(app, "routes", None) or (), "")


def _add_routes(listed: PriceList, routes: Iterable[Any], prefix: str) -> None:
    for route in _contexts(routes):
        path = getattr(route, "path", None)
        if not isinstance(path, str):
            continue
        inner = getattr(route, "routes", None)
        if inner:
            _add_routes(listed, inner, prefix + path.rstrip("/"))
            continue
        price = _price_of_route(route)
        if price is not None:
            pattern = None if prefix else getattr(route, "path_regex", None)
            methods = getattr(route, "methods", None) or ("*",)
            listed.add(prefix + path, price, sorted(methods), pattern)


def _price_in(by_method: Mapping[str, Price], method: str) -> Price | None:
    return by_method.get(method) or (by_method.get("*") if method != "OPTIONS" else None)


def _is_doubtful(path: str) -> bool:
    """Whether a server may take the path for one that lies elsewhere than it looks."""
    return _DOUBTFUL.search(path) is not None


def _contexts(routes: Iterable[Any]) -> Iterable[Any]:
    # FastAPI keeps included routers as they are and tells their full paths by this function.
    routing = sys.modules.get("fastapi.routing")
    contexts = getattr(routing, "iter_route_contexts", None)
    return contexts(routes) if contexts is not None else routes


def _price_of_route(route: Any) -> Price | None:
    price = getattr(getattr(route, "endpoint", None), PRICE_ATTRIBUTE, None)
    if isinstance(price, Price):
        return price
    pending = [getattr(route, "dependant", None)]
    while pending:
        dependant = pending.pop()
        call = getattr(dependant, "call", None)
        if isinstance(call, Paid):
            return call.price
        pending.extend(getattr(dependant, "dependencies", ()))
    return None


def _regex_of(path: str) -> str:
    parts: list[str] = []
    end = 0
    for match in _PARAMETER.finditer(path):
        parts.append(re.escape(path[end : match.start()]))
        parts.append(".*" if match[1] == ":path" else "[^/]+")
        end = match.end()
    return rf"{''.join(parts)}{re.escape(path[end:])}\Z"
