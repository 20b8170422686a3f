"""Requests that reach a priced route under another name, and must not be served for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.staticfiles import StaticFiles

from aisa.paywall import PaywallMiddleware
from tests.integration.paying import Shop, answer, call

PRICE = "0.0001 aiUSD"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as made:
        yield made


def make_app(folder: Path) -> FastAPI:
    app = FastAPI()
    folder.mkdir()
    (folder / "a.txt").write_text("sold")

    @app.get("/rates")
    async def rates() -> str:
        return "sold"

    @app.get("/items/top")
    async def top() -> str:
        return "sold"

    @app.post("/items/{name}")
    async def add(name: str) -> str:
        return f"sold {name}"

    @app.websocket("/rates")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("sold")
        await socket.close()

    app.mount("/files", StaticFiles(directory=folder))
    return app


PRICES = {
    "GET /rates": PRICE,
    "GET /items/top": PRICE,
    "POST /items/{name}": PRICE,
    "/files/a.txt": PRICE,
}


@pytest.mark.parametrize(
    "path",
    [
        "/rates\n",
        "/rates/",
        "/files//a.txt",
        "/files/./a.txt",
        "/files/x/../a.txt",
        "/files/a.txt/",
        "//files/a.txt",
    ],
)
async def test_another_spelling_of_a_priced_path_is_not_served(
    shop: Shop, tmp_path: Path, path: str
) -> None:
    app = PaywallMiddleware(make_app(tmp_path / "files"), shop.paywall, PRICES)
    got = await call(app, path)
    assert (got.status, got.slug) == (404, "not-found")


async def test_a_plain_path_of_one_method_hides_no_pattern_of_another(
    shop: Shop, tmp_path: Path
) -> None:
    app = PaywallMiddleware(make_app(tmp_path / "files"), shop.paywall, PRICES)
    got = await call(app, "/items/top", method="POST")
    assert (got.status, got.slug) == (402, "payment-required")


async def test_an_application_behind_its_own_root_path_is_priced_there_too(shop: Shop) -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"sold")

    class Rooted:
        root_path = "/api"

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await endpoint({**scope, "root_path": self.root_path}, receive, send)

    app = PaywallMiddleware(Rooted(), shop.paywall, {"/rates": PRICE})
    assert (await call(app, "/api/rates")).status == 402
    assert (await call(app, "/rates")).status == 402
    assert (await call(app, "/api/free")).status == 200


@pytest.mark.parametrize(("path", "is_served"), [("/rates", False), ("/free", True)])
async def test_a_websocket_on_a_priced_path_is_refused(
    shop: Shop, path: str, is_served: bool
) -> None:
    served: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["path"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": path, "root_path": "", "headers": []}
    await PaywallMiddleware(app, shop.paywall, {"/rates": PRICE})(scope, receive, send)
    assert bool(served) is is_served
    assert [message["type"] for message in sent] == ([] if is_served else ["websocket.close"])
