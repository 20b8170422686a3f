"""AISA's paywall before Starlette: one that takes EIP-3009, and one that takes Permit2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import uvicorn
from line import SETTINGS, listener, sale, serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aisa.paywall import (
    Paywall,
    PaywallMiddleware,
    TrustedFacilitator,
    TrustedHub,
    X402Offer,
)


def offer(extra: dict[str, str], asset: str) -> X402Offer:
    permit2 = extra.get("assetTransferMethod") == "permit2"
    return X402Offer(
        network=SETTINGS["network"],
        asset=asset,
        decimals=SETTINGS["token"]["decimals"],
        domain_name=extra.get("name", "test-USDT"),
        domain_version=extra.get("version", "1"),
        pay_to=SETTINGS["pay_to"],
        facilitators=[TrustedFacilitator(SETTINGS["facilitator"], keeps_keys=True)],
        method="permit2" if permit2 else "eip3009",
    )


def build(origin: str) -> Any:
    async def sold(_: Request) -> JSONResponse:
        return JSONResponse(sale())

    app: Any = Starlette(routes=[Route(one["path"], sold) for one in SETTINGS["routes"]])
    # A client pays the first offer that it can, so each token has a paywall of its own.
    seed = os.urandom(32)
    for asset in dict.fromkeys(one["asset"] for one in SETTINGS["routes"]):
        routes = [one for one in SETTINGS["routes"] if one["asset"] == asset]
        paywall = Paywall(
            Path(SETTINGS["scratch"], f"{asset}.sqlite"),
            seed,
            origin=origin,
            hubs=[TrustedHub(SETTINGS["node"], SETTINGS["node_network"])],
            x402=[offer(routes[0]["extra"], asset)],
        )
        prices = {one["path"]: f"{one['price']} aiUSD" for one in routes}
        app = PaywallMiddleware(app, paywall, prices)
    return app


listening = listener()
port = listening.getsockname()[1]
config = uvicorn.Config(build(f"http://127.0.0.1:{port}"), log_level="warning", access_log=False)
serve(listening)
uvicorn.Server(config).run(sockets=[listening])
