"""pympp behind Starlette: `evm/charge` for MPP clients and `exact` for x402 clients at one address."""

from __future__ import annotations

import uvicorn
from line import SETTINGS, listener, sale, serve
from mpp.methods.evm import server as evm
from mpp.server import Mpp
from mpp.server.decorator import pay
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TOKEN = SETTINGS["token"]


def build() -> Starlette:
    method = evm.charge(
        currency=TOKEN["address"],
        recipient=SETTINGS["pay_to"],
        chain_id=SETTINGS["chain_id"],
        decimals=TOKEN["decimals"],
        authorization={"name": TOKEN["name"], "version": TOKEN["version"]},
        facilitator=SETTINGS["facilitator"],
        route_binding="resource",
    )
    engine = Mpp(methods=method, realm="interop.example", secret_key=SETTINGS["secret"])

    def sold_at(price: str) -> object:
        @pay(engine.charge(amount=price))
        async def sold(request: Request, credential: object, receipt: object) -> JSONResponse:
            return JSONResponse(sale())

        return sold

    routes = [Route(one["path"], sold_at(one["price"])) for one in SETTINGS["routes"]]
    return Starlette(routes=routes)


listening = listener()
config = uvicorn.Config(build(), log_level="warning", access_log=False)
serve(listening)
uvicorn.Server(config).run(sockets=[listening])
