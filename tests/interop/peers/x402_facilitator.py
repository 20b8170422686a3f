"""The official facilitator of `batch-settlement`, over whatever contract is at the escrow's address."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import FastAPI
from line import SETTINGS, listener, serve
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.batch_settlement.facilitator import BatchSettlementEvmFacilitator
from x402.schemas import PaymentPayload, PaymentRequirements


def build() -> FastAPI:
    signer = FacilitatorWeb3Signer(private_key=SETTINGS["key"], rpc_url=SETTINGS["rpc_url"])
    facilitator = x402FacilitatorSync()
    facilitator.register([SETTINGS["network"]], BatchSettlementEvmFacilitator(signer))
    app = FastAPI()

    def read(body: dict[str, Any]) -> tuple[PaymentPayload, PaymentRequirements]:
        payload = PaymentPayload.model_validate(body["paymentPayload"])
        return payload, PaymentRequirements.model_validate(body["paymentRequirements"])

    @app.get("/supported")
    def supported() -> Any:
        return facilitator.get_supported().model_dump(by_alias=True, exclude_none=True)

    @app.post("/verify")
    def verify(body: dict[str, Any]) -> Any:
        return facilitator.verify(*read(body)).model_dump(by_alias=True, exclude_none=True)

    @app.post("/settle")
    def settle(body: dict[str, Any]) -> Any:
        return facilitator.settle(*read(body)).model_dump(by_alias=True, exclude_none=True)

    return app


listening = listener()
config = uvicorn.Config(build(), log_level="warning", access_log=False)
serve(listening)
uvicorn.Server(config).run(sockets=[listening])
