"""Our seller, for comparison: a call costs $0.0001, or with `--free` nothing.

The routes are the same, so that their place in the router's list is. One handler returns a constant, the other looks a reference rate up as the demo's seller does. Server
and paywall are as by default: every call is checked, charged and committed to the file before it is
answered, answers are kept for repeats and receipts are sent. Prints its port when it listens.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from datetime import date
from pathlib import Path

from fastapi import FastAPI

from aisa.demo.rates import RateBook
from aisa.paywall import Paywall, PaywallMiddleware, TrustedHub
from aisa.paywall.server import FrozenServer, listen, server_config

PRICE = "0.0001 aiUSD"
RATES = "/rates/{currency}/{day}"


def build(paywall: Paywall, *, is_free: bool) -> PaywallMiddleware:
    """Return the app with its routes, priced unless they are free; `/free` always is."""
    app = FastAPI()

    book = RateBook()

    async def constant() -> dict[str, bool]:
        return {"ok": True}

    async def rate(currency: str, day: date) -> dict[str, str]:
        found = book.rate(currency.upper(), day)
        return {
            "currency": found.currency,
            "date": found.date.isoformat(),
            "published": found.published.isoformat(),
            "rate": str(found.rate),
        }

    app.get("/paid")(constant)
    app.get(f"/paid{RATES}")(rate)
    app.get("/free")(constant)
    prices = {} if is_free else {"GET /paid": PRICE, f"GET /paid{RATES}": PRICE}
    return PaywallMiddleware(app, paywall, prices)


def main() -> None:
    """Serve on a free loopback port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--seed", default=secrets.token_hex(32), help="the payee's, in hex")
    parser.add_argument("--hub-url", required=True)
    parser.add_argument("--hub-network", required=True)
    parser.add_argument("--free", action="store_true", help="ask for no payment on any route")
    arguments = parser.parse_args()
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    hub = TrustedHub(arguments.hub_url, arguments.hub_network)
    paywall = Paywall(
        arguments.store,
        bytes.fromhex(arguments.seed),
        origin=f"http://127.0.0.1:{port}",
        hubs=[hub],
    )
    app = build(paywall, is_free=arguments.free)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    FrozenServer(server_config(app)).run(sockets=[listener])


if __name__ == "__main__":
    main()
