"""A hub that says yes at once: the counterpart of the SDK's instant facilitator.

It signs true deposit statements and takes redemptions as they come, with everything in memory and no
check of who asks. It stands outside every paid call. The claim of 1,000 payments a second does not
use it: that one redeems at a real node. Prints its port and its key when it listens.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from dataclasses import dataclass, replace

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aisa.client.message import (
    AccountInfo,
    BalanceInfo,
    ChannelPage,
    ChannelState,
    ChannelView,
    CurrencyInfo,
    NodeInfo,
    OpenChannelRequest,
    OpenedChannel,
    RedemptionClaims,
    RedemptionResult,
    RedemptionStatus,
    TopUpRequest,
)
from aisa.client.shape import decode, encode
from aisa.identity import SigningKey
from aisa.protocol.aip import DepositStatement, hub_network

CURRENCY = "aiUSD"
CAP_UNITS = 10**12
BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class InstantHub:
    """Channels by id, and the key that signs for their deposits."""

    signer: SigningKey
    channels: dict[bytes, ChannelView]

    @property
    def network(self) -> str:
        return hub_network(self.signer.public_key)

    async def info(self, request: Request) -> Response:
        currency = CurrencyInfo(CURRENCY, 6, 0, CAP_UNITS)
        info = NodeInfo(
            self.network, self.signer.public_key, "bench", (currency,), (), True, ("bench",)
        )
        return _answer(info)

    async def account(self, request: Request) -> Response:
        balance = BalanceInfo(CURRENCY, CAP_UNITS, CAP_UNITS)
        return _answer(AccountInfo(self.signer.public_key, (balance,)))

    async def open(self, request: Request) -> Response:
        message = await _read(request, OpenChannelRequest)
        terms = message.terms
        view = ChannelView(
            terms.channel_id,
            terms.network,
            terms.payer,
            terms.payee,
            terms.currency,
            terms.salt,
            ChannelState.OPEN,
            message.deposit,
            0,
            0,
            0,
        )
        return self._opened(view)

    async def top_up(self, request: Request) -> Response:
        message = await _read(request, TopUpRequest)
        view = self._of(request)
        return self._opened(replace(view, deposit=view.deposit + message.units))

    async def channel(self, request: Request) -> Response:
        return _answer(self._of(request))

    async def statement(self, request: Request) -> Response:
        return _answer(self._statement(self._of(request)))

    async def closing(self, request: Request) -> Response:
        return _answer(ChannelPage(()))

    async def close(self, request: Request) -> Response:
        view = replace(self._of(request), state=ChannelState.CLOSING)
        self.channels[view.channel] = view
        return _answer(view)

    async def redeem(self, request: Request) -> Response:
        claims = await _read(request, RedemptionClaims)
        results: list[RedemptionResult] = []
        for one in claims:
            view = self.channels.get(one.channel)
            if view is not None:  # a file that was filled for the bench has others
                state = ChannelState.CLOSED if one.final else view.state
                self.channels[one.channel] = replace(view, redeemed=one.cumulative, state=state)
            results.append(
                RedemptionResult(one.channel, RedemptionStatus.APPLIED, one.cumulative, 0)
            )
        return _answer(tuple(results))

    def routes(self) -> list[Route]:
        one = "/v1/channels/{channel}"
        return [
            Route("/v1/node", self.info),
            Route("/v1/account", self.account),
            Route("/v1/channels", self.open, methods=["POST"]),
            Route("/v1/channels", self.closing),
            Route("/v1/redemptions", self.redeem, methods=["POST"]),
            Route(one, self.channel),
            Route(f"{one}/statement", self.statement),
            Route(f"{one}/deposits", self.top_up, methods=["POST"]),
            Route(f"{one}/close", self.close, methods=["POST"]),
        ]

    def _of(self, request: Request) -> ChannelView:
        return self.channels[bytes.fromhex(request.path_params["channel"])]

    def _opened(self, view: ChannelView) -> Response:
        self.channels[view.channel] = view
        return _answer(OpenedChannel(view, self._statement(view)))

    def _statement(self, view: ChannelView) -> DepositStatement:
        unsigned = DepositStatement(view.channel, view.deposit, 0, int(time.time()))
        return replace(unsigned, signature=self.signer.sign(unsigned.signing_bytes()))


async def _read(request: Request, shape):
    return decode(shape, await request.body(), "message", bytes_max=BYTES_MAX)


def _answer(message: object) -> Response:
    return Response(encode(message), media_type="application/json")


def main() -> None:
    """Serve on a free loopback port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", required=True, help="32 bytes in hex")
    hub = InstantHub(SigningKey(bytes.fromhex(parser.parse_args().seed)), {})
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]} {hub.network}\n")
    sys.stdout.flush()
    app = Starlette(routes=hub.routes())
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(
        sockets=[listener]
    )


if __name__ == "__main__":
    main()
