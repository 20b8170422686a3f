"""Our seller, for comparison: each handler stands behind a free route and one at $0.0001.

One handler returns a constant, the other looks a reference rate up as the demo's seller does. Server
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


def build(paywall: Paywall) -> PaywallMiddleware:
    """Return the app with its routes."""
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

    for name in ("/free", "/paid"):
        app.get(name)(constant)
        app.get(name + RATES)(rate)
    return PaywallMiddleware(app, paywall, {"GET /paid": PRICE, f"GET /paid{RATES}": PRICE})


def main() -> None:
    """Serve on a free loopback port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--seed", default=secrets.token_hex(32), help="the payee's, in hex")
    parser.add_argument("--hub-url", required=True)
    parser.add_argument("--hub-network", required=True)
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
    app = build(paywall)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    FrozenServer(server_config(app)).run(sockets=[listener])


if __name__ == "__main__":
    main()
