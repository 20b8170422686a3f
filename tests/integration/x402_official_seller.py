"""A seller with the official x402 middleware for FastAPI; runs in the peer's environment.

Takes its settings as JSON in the first argument, prints where it listens as a line of JSON, and ends
with whoever started it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

import uvicorn
from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402.schemas import AssetAmount


def build(settings: dict[str, Any]) -> FastAPI:
    facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=settings["facilitator"]))
    server = register_exact_evm_server(x402ResourceServer(facilitator), settings["network"])
    app = FastAPI()

    async def sold() -> dict[str, str]:
        return {"sold": "by FastAPI"}

    table: dict[str, RouteConfig] = {}
    for route in settings["routes"]:
        app.get(route["path"])(sold)
        price = AssetAmount(amount=route["amount"], asset=route["asset"], extra=route["extra"])
        option = PaymentOption(
            scheme="exact", pay_to=settings["pay_to"], price=price, network=settings["network"]
        )
        table[f"GET {route['path']}"] = RouteConfig(accepts=[option], mime_type="application/json")
    app.add_middleware(PaymentMiddlewareASGI, routes=table, server=server)
    return app


def end_with_the_harness() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    listening.set_inheritable(True)
    app = build(json.loads(sys.argv[1]))
    threading.Thread(target=end_with_the_harness, daemon=True).start()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
