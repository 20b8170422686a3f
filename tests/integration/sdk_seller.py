"""A seller behind the real paywall, as a process: `python -m tests.integration.sdk_seller …`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SEED = bytes([9]) * 32


def application(
    store: Path, port: int, hubs: list[tuple[str, str]], options: dict[str, Any]
) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
    from starlette.routing import Route

    from aisa.paywall import (
        Paywall,
        PaywallMiddleware,
        PaywallOptions,
        TrustedHub,
        charge,
        paid,
    )
    from aisa.paywall.price import Price

    served: dict[str, int] = {}

    async def hello(request: Request) -> Any:
        served["hello"] = served.get("hello", 0) + 1
        return JSONResponse({"hello": request.query_params.get("n", "")})

    async def slow(request: Request) -> Any:
        await asyncio.sleep(float(request.query_params.get("s", "0.2")))
        return PlainTextResponse("slow")

    async def fail(request: Request) -> Any:
        return PlainTextResponse("no", status_code=500)

    async def echo(request: Request) -> Any:
        return PlainTextResponse(await request.body())

    async def away(request: Request) -> Any:
        return RedirectResponse("http://127.0.0.1:1/elsewhere", status_code=302)

    async def some(request: Request) -> Any:
        charge("0.00004 aiUSD")
        return PlainTextResponse("some")

    async def count(request: Request) -> Any:
        return JSONResponse(served)

    del Price
    price = paid("0.0001 aiUSD")
    routes = [
        Route("/hello", price(hello)),
        Route("/item/{n}", price(hello)),
        Route("/slow", price(slow)),
        Route("/fail", price(fail)),
        Route("/echo", price(echo), methods=["POST"]),
        Route("/away", price(away)),
        Route("/dear", paid("0.02 aiUSD")(hello)),
        Route("/some", paid(at_most="0.0003 aiUSD")(some)),
        Route("/free", count),
    ]
    paywall = Paywall(
        store,
        SEED,
        origin=f"http://127.0.0.1:{port}",
        hubs=[TrustedHub(url, network) for url, network in hubs],
        options=PaywallOptions(**options),
    )
    return PaywallMiddleware(Starlette(routes=routes), paywall)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SellerProcess:
    """The seller as a child process that can be killed and started again on its file."""

    def __init__(
        self, store: Path, hubs: list[tuple[str, str]], options: dict[str, Any] | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = [str(store), str(self.port), json.dumps(hubs), json.dumps(options or {})]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> SellerProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.sdk_seller", *self.arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, "the seller ended at its start"
            time.sleep(0.05)
        raise AssertionError("the seller did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def main() -> None:
    from aisa.paywall.server import serve

    store, port, hubs, options = sys.argv[1:]
    app = application(
        Path(store), int(port), [tuple(h) for h in json.loads(hubs)], json.loads(options)
    )
    serve(app, port=int(port))


if __name__ == "__main__":
    main()
