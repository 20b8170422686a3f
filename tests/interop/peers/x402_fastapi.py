"""The official x402 middleware for FastAPI, over the async facilitator client."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI
from line import SETTINGS, listener, sale, serve
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementChannelManager,
    ChannelManagerConfig,
)
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402_channels import channel_scheme, manager_config
from x402_routes import route_table


def build() -> FastAPI:
    exact = HTTPFacilitatorClient(FacilitatorConfig(url=SETTINGS["facilitator"]))
    channels = HTTPFacilitatorClient(FacilitatorConfig(url=SETTINGS["channel_facilitator"]))
    # The first that serves a scheme is asked.
    server = x402ResourceServer([channels, exact])
    register_exact_evm_server(server, SETTINGS["network"])
    app = FastAPI()
    scheme = channel_scheme()
    server.register(SETTINGS["network"], scheme)
    settings = ChannelManagerConfig(**manager_config(scheme, channels))
    manager = BatchSettlementChannelManager(settings)

    @app.get("/claim")
    async def claim() -> str:
        return str(await manager.claim_and_settle())

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
