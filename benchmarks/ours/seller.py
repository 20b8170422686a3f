"""Our seller, for comparison: one free route, one at $0.0001, the same handler behind both.

Server and paywall are as by default: every call is checked, charged and committed to the file before it is
answered, answers are kept for repeats and receipts are sent. Prints its port when it listens.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
from pathlib import Path

from fastapi import FastAPI

from aisa.paywall.middleware import PaywallMiddleware
from aisa.paywall.seller import Paywall, TrustedHub
from aisa.paywall.server import FrozenServer, server_config

PRICE = "0.0001 aiUSD"


def build(paywall: Paywall) -> PaywallMiddleware:
    """Return the app with both routes."""
    app = FastAPI()

    async def handler() -> dict[str, bool]:
        return {"ok": True}

    app.get("/free")(handler)
    app.get("/paid")(handler)
    return PaywallMiddleware(app, paywall, {"GET /paid": PRICE})


def main() -> None:
    """Serve on a free loopback port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--seed", default=secrets.token_hex(32), help="the payee's, in hex")
    parser.add_argument("--hub-url", required=True)
    parser.add_argument("--hub-network", required=True)
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
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
