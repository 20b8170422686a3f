"""`@paid` and `Depends(paid(…))` in FastAPI and Starlette; ASGI manners around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from aisa.errors import ConfigInvalid, FileOwned, UnknownCurrency
from aisa.paywall import PaidCall, Paywall, PaywallMiddleware, TrustedHub, charge, paid
from tests.integration.paying import (
    NETWORK,
    ORIGIN,
    SELLER_SEED,
    Clock,
    FakeHub,
    Payer,
    call,
    open_channel,
    request_of,
)


class Order(BaseModel):
    count: int


def make_paywall(folder: Path) -> Paywall:
    return Paywall(
        folder / "seller.sqlite",
        SELLER_SEED,
        origin=ORIGIN,
        hubs=[TrustedHub("http://127.0.0.1:9", NETWORK)],
        clock=Clock(),
        client_of=lambda *_: FakeHub(),
    )


def make_app() -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/sub")

    @app.get("/paid")
    @paid("0.0001 aiUSD")
    async def read() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/threaded")
    @paid("0.0002 aiUSD")
    def threaded() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/orders/{name}")
    async def order(
        name: str, order: Order, call: Annotated[PaidCall, Depends(paid("0.0003 aiUSD"))]
    ) -> dict[str, Any]:
        return {"name": name, "count": order.count, "payer": call.payer.hex()}

    @app.get("/computed")
    @paid(at_most="0.001 aiUSD")
    async def computed(n: int) -> dict[str, int]:
        charge(f"0.000{n} aiUSD")
        return {"n": n}

    @app.get("/free")
    async def free() -> dict[str, bool]:
        return {"ok": True}

    @router.get("/{item}/price")
    @paid("0.0004 aiUSD")
    async def item(item: str) -> dict[str, str]:
        return {"item": item}

    app.include_router(router)
    return app


@pytest.fixture(params=["outside", "add_middleware"])
async def app(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    paywall = make_paywall(tmp_path)
    inner = make_app()
    if request.param == "outside":
        yield PaywallMiddleware(inner, paywall)
    else:
        inner.add_middleware(PaywallMiddleware, paywall=paywall)
        yield inner
    await paywall.stop()


async def pay(app: Any, payer: Payer, seq: int, path: str, **more: Any) -> Any:
    amount = more.pop("amount", 1000)
    query = more.get("query", "")
    target = f"{path}?{query}" if query else path
    tick = payer.tick(
        seq, amount, method=more.get("method", "GET"), target=target, body=more.get("body", b"")
    )
    headers = {"Payment-Tick": tick, "Content-Type": "application/json"}
    return await call(app, path, headers=headers, **more)


async def test_marked_endpoints_are_paid_and_others_free(app: Any) -> None:
    payer = Payer()
    assert (await call(app, "/free")).status == 200
    for path, units in (("/paid", 100), ("/threaded", 200), ("/sub/x/price", 400)):
        asked = await call(app, path)
        assert asked.status == 402
        assert request_of(asked).amount == units
    assert (await open_channel(app, payer, Clock())).json() == {"ok": True}
    assert (await pay(app, payer, 2, "/threaded")).json() == {"ok": True}
    assert (await pay(app, payer, 3, "/sub/x/price")).json() == {"item": "x"}
    assert (await pay(app, payer, 4, "/computed", query="n=2")).json() == {"n": 2}


async def test_a_dependency_gives_the_payment(app: Any) -> None:
    payer = Payer()
    await open_channel(app, payer, Clock())
    got = await pay(app, payer, 2, "/orders/a", method="POST", body=b'{"count": 3}')
    assert got.json() == {"name": "a", "count": 3, "payer": payer.key.public_key.hex()}


async def test_validation_comes_after_payment_and_is_not_charged(app: Any) -> None:
    payer = Payer()
    assert (await call(app, "/orders/a", method="POST", body=b"{nonsense")).status == 402
    await open_channel(app, payer, Clock())
    got = await pay(app, payer, 2, "/orders/a", method="POST", body=b"{nonsense")
    assert got.status == 422
    assert got.header("payment-receipt") is None


async def test_a_parameter_does_not_hide_a_price(app: Any) -> None:
    for path in ("/orders/%61", "/orders/a%20b", "/sub/../price"):
        assert (await call(app, path, method="POST")).status in (402, 404, 405)


async def test_the_session_url_stands_beside_the_routes(app: Any) -> None:
    assert (await call(app, "/aisa/session", method="POST", body=b"{}")).status == 400


async def test_head_costs_what_get_costs(tmp_path: Path) -> None:
    @paid("0.0001 aiUSD")
    async def read(request: Any) -> JSONResponse:
        return JSONResponse({})

    inner = Starlette(routes=[Route("/paid", read), Mount("/m", routes=[Route("/x/{id}", read)])])
    paywall = make_paywall(tmp_path)
    app = PaywallMiddleware(inner, paywall)
    for path in ("/paid", "/m/x/1"):
        for method in ("GET", "HEAD"):
            assert (await call(app, path, method=method)).status == 402
    await paywall.stop()


async def test_a_paid_endpoint_without_a_paywall_does_not_run() -> None:
    app = make_app()
    with pytest.raises(ConfigInvalid, match="without payment"):
        await call(app, "/paid")
    with pytest.raises(ConfigInvalid, match="without payment"):
        await call(
            app,
            "/orders/a",
            method="POST",
            body=b'{"count": 1}',
            headers={"Content-Type": "application/json"},
        )


async def test_an_endpoint_reached_under_another_price_does_not_run(tmp_path: Path) -> None:
    paywall = make_paywall(tmp_path)
    payer = Payer()
    app = PaywallMiddleware(make_app(), paywall, {"/free": "0.0001 aiUSD"})
    await open_channel(app, payer, Clock())
    app._prices._plain["/threaded"] = app._prices._plain["/paid"]  # type: ignore[union-attr]
    with pytest.raises(ConfigInvalid):
        await pay(app, payer, 2, "/threaded")
    await paywall.stop()


async def test_a_price_in_another_currency_is_refused_at_the_start(tmp_path: Path) -> None:
    paywall = make_paywall(tmp_path)
    app = PaywallMiddleware(make_app(), paywall, {"/free": "0.01 EUR"})
    with pytest.raises(UnknownCurrency):
        await call(app, "/free")
    await paywall.stop()


async def test_a_second_process_on_the_file_is_refused(tmp_path: Path) -> None:
    first = make_paywall(tmp_path)
    await first.start()
    with pytest.raises(FileOwned, match="one worker for each seller file"):
        await make_paywall(tmp_path).start()
    await first.stop()
    async with make_paywall(tmp_path):
        pass


def test_lifespan_starts_and_stops_the_paywall(tmp_path: Path) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        events.append(f"start, paywall {paywall.is_started}")
        yield
        events.append(f"stop, paywall {paywall.is_started}")

    paywall = make_paywall(tmp_path)
    inner = FastAPI(lifespan=lifespan)
    with TestClient(PaywallMiddleware(inner, paywall)):
        assert paywall.is_started
    assert not paywall.is_started
    assert events == ["start, paywall True", "stop, paywall True"]


def test_websockets_that_have_no_price_pass_through(tmp_path: Path) -> None:
    inner = FastAPI()

    @inner.websocket("/ws")
    async def talk(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    talk.__annotations__["websocket"] = __import__("fastapi").WebSocket
    inner = FastAPI()
    inner.websocket("/ws")(talk)
    paywall = make_paywall(tmp_path)
    client = TestClient(PaywallMiddleware(inner, paywall, {"/paid": "0.0001 aiUSD"}))
    with client, client.websocket_connect("/ws") as socket:
        assert socket.receive_text() == "hello"


async def test_streams_of_starlette_are_served(tmp_path: Path) -> None:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    async def stream(request: Any) -> StreamingResponse:
        return StreamingResponse(numbers())

    paywall = make_paywall(tmp_path)
    inner = Starlette(routes=[Route("/paid", paid("0.0001 aiUSD")(stream))])
    app = PaywallMiddleware(inner, paywall)
    got = await open_channel(app, Payer(), Clock())
    assert got.body == b"0\n1\n2\n"
    assert got.header("payment-receipt")
    await paywall.stop()
