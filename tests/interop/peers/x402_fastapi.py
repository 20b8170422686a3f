"""The official x402 middleware for FastAPI, over the async facilitator client."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI
from line import SETTINGS, listener, sale, serve
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402_routes import route_table


def build() -> FastAPI:
    facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=SETTINGS["facilitator"]))
    server = register_exact_evm_server(x402ResourceServer(facilitator), SETTINGS["network"])
    app = FastAPI()

    async def sold() -> dict[str, int]:
        return sale()

    for route in SETTINGS["routes"]:
        app.get(route["path"])(sold)
    app.add_middleware(PaymentMiddlewareASGI, routes=route_table(), server=server)
    return app


listening = listener()
config = uvicorn.Config(build(), log_level="warning", access_log=False)
serve(listening)
uvicorn.Server(config).run(sockets=[listening])
