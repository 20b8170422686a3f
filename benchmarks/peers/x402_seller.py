"""The official x402 SDK as a seller, for comparison: one free route, one at $0.0001.

Everything is in the SDK's favour: its C libraries are installed, the facilitator answers at once
without checking a signature, channels live in memory, nothing touches a disk. Runs in an
environment of its own (`requirements/peer-x402.txt`); prints its port when it listens.
"""

from __future__ import annotations

import argparse
import socket
import sys
from typing import Any

import uvicorn
from eth_account import Account
from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeServerConfig,
)
from x402.schemas import SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

NETWORK = "eip155:84532"
SCHEME = "batch-settlement"


class InstantFacilitator:
    """Says yes to everything, at once; remembers only what each channel was given."""

    def __init__(self, authorizer: str) -> None:
        self._balances: dict[str, int] = {}
        self._authorizer = authorizer

    def get_supported(self) -> SupportedResponse:
        """Return the one kind that the bench uses."""
        kind = SupportedKind(
            x402_version=2,
            scheme=SCHEME,
            network=NETWORK,
            extra={"receiverAuthorizer": self._authorizer},
        )
        return SupportedResponse(kinds=[kind], extensions=[], signers={})

    async def verify(self, payload: Any, requirements: Any) -> VerifyResponse:
        """Accept the payload and report the channel's balance."""
        raw = payload.payload
        channel = raw["voucher"]["channelId"]
        balance = self._balances.get(channel, 0)
        return VerifyResponse(
            is_valid=True,
            payer=raw["channelConfig"]["payer"],
            extra=_state(channel, balance),
        )

    async def settle(self, payload: Any, requirements: Any) -> SettleResponse:
        """Book a deposit."""
        raw = payload.payload
        channel = raw["voucher"]["channelId"]
        if raw["type"] == "deposit":
            amount = int(raw["deposit"]["amount"])
            self._balances[channel] = self._balances.get(channel, 0) + amount
        return SettleResponse(
            success=True,
            transaction="0x" + "11" * 32,
            network=NETWORK,
            payer=raw["channelConfig"]["payer"],
            amount=requirements.amount,
            extra={"channelState": _state(channel, self._balances.get(channel, 0))},
        )


def _state(channel: str, balance: int) -> dict[str, Any]:
    return {
        "channelId": channel,
        "balance": str(balance),
        "totalClaimed": "0",
        "withdrawRequestedAt": 0,
        "refundNonce": "0",
    }


def build() -> FastAPI:
    """Return the app with both routes."""
    receiver = Account.create()
    signer = LocalAuthorizerSigner(Account.create())
    server = x402ResourceServer(InstantFacilitator(signer.address))
    config = BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=signer)
    server.register(NETWORK, BatchSettlementEvmScheme(receiver.address, config))
    option = PaymentOption(scheme=SCHEME, pay_to=receiver.address, price="$0.0001", network=NETWORK)
    app = FastAPI()

    @app.get("/free")
    async def free() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/paid")
    async def paid() -> dict[str, bool]:
        return {"ok": True}

    routes = {"GET /paid": RouteConfig(accepts=[option], mime_type="application/json")}
    app.add_middleware(PaymentMiddlewareASGI, routes=routes, server=server)
    return app


def main() -> None:
    """Serve on a free loopback port."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    # Named TCP, so that every event loop turns Nagle's delay off for its connections.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        build(), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
