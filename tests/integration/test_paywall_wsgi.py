"""Flask behind the paywall: marked views are paid, once, whatever the path looks like."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from aisa.errors import FileOwned
from aisa.paywall import Paywall, PaywallOptions, TrustedHub, charge, paid
from aisa.paywall.wsgi import WsgiPaywall, protect
from aisa.protocol.aip import SessionRequest
from aisa.protocol.mpp import parse_challenge
from tests.integration.paying import NETWORK, ORIGIN, SELLER_SEED, Clock, FakeHub, Payer


class Counter:
    """How often each view ran."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.together = threading.Barrier(8)


def flask_app(counter: Counter) -> Flask:
    app = Flask("shop")

    @app.get("/paid")
    @paid("0.0001 aiUSD")
    def constant() -> str:
        counter.served.append(request.headers.get("X-Own", ""))
        return "constant"

    @app.route("/echo/<name>/<int:number>", methods=["GET", "POST"])
    @paid("0.0001 aiUSD")
    def echo(name: str, number: int) -> Response:
        counter.served.append(name)
        return Response(f"{name} {number} ".encode() + request.get_data(), headers={"X-Kept": "a"})

    @app.get("/files/<path:rest>")
    @paid(at_most="0.001 aiUSD")
    def files(rest: str) -> str:
        charge("0.0003 aiUSD")
        return rest

    @app.get("/broken")
    @paid("0.0001 aiUSD")
    def broken() -> str:
        raise RuntimeError("a fault of the application")

    @app.get("/streamed")
    @paid("0.0001 aiUSD")
    def streamed() -> Response:
        return Response(iter([b"one ", b"two"]))

    @app.get("/together")
    @paid("0.0001 aiUSD")
    def together() -> str:
        counter.together.wait(20)
        return "all at once"

    @app.get("/free")
    def free() -> str:
        return "free"

    _ = (constant, echo, files, broken, streamed, together, free)
    return app


def paywall_of(folder: Path, clock: Clock, hub: FakeHub) -> Paywall:
    return Paywall(
        folder / "seller.sqlite",
        SELLER_SEED,
        origin=ORIGIN,
        hubs=[TrustedHub("http://127.0.0.1:9", NETWORK, 5000)],
        clock=clock,
        options=PaywallOptions(commit="inline"),
        client_of=lambda *_: hub,
    )


class FlaskShop:
    """A Flask application under werkzeug's threaded server, and a payer with an open channel."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.hub, self.counter = Clock(), FakeHub(), Counter()
        self.app = flask_app(self.counter)
        self.wsgi = protect(self.app, paywall_of(folder, self.clock, self.hub))
        self.server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        base = f"http://127.0.0.1:{self.server.port}"
        self.http = httpx2.Client(base_url=base, trust_env=False, timeout=20)
        self.payer = Payer()

    def open(self) -> httpx2.Response:
        challenge = self.http.get("/paid").headers["www-authenticate"]
        terms = SessionRequest.parse(parse_challenge(challenge).request)
        action = self.payer.open_action(terms.payee_x25519, self.clock.now_s)
        headers = {
            "Payment-Authorization": self.payer.credential(challenge, action),
            "Payment-Tick": self.payer.tick(1),
        }
        return self.http.get("/paid", headers=headers)

    def pay(
        self, seq: int, target: str = "/paid", amount: int = 100, body: bytes = b""
    ) -> httpx2.Response:
        method = "POST" if body else "GET"
        tick = self.payer.tick(seq, amount, method=method, target=target, body=body)
        return self.http.request(method, target, headers={"Payment-Tick": tick}, content=body)

    def close(self) -> None:
        self.http.close()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.wsgi.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[FlaskShop]:
    made = FlaskShop(tmp_path)
    try:
        assert made.open().status_code == 200
        yield made
    finally:
        made.close()


def test_a_marked_view_is_paid_and_others_are_free(shop: FlaskShop) -> None:
    got = shop.pay(2)
    assert (got.status_code, got.text) == (200, "constant")
    assert "payment-receipt" in got.headers
    assert shop.http.get("/paid").status_code == 402
    free = shop.http.get("/free")
    assert (free.status_code, "payment-receipt" in free.headers) == (200, False)
    assert len(shop.counter.served) == 2


def test_a_repeat_gets_the_same_answer_and_runs_nothing(shop: FlaskShop) -> None:
    first, again = shop.pay(2), shop.pay(2)
    assert first.text == again.text
    assert first.headers["payment-receipt"] == again.headers["payment-receipt"]
    assert len(shop.counter.served) == 2


@pytest.mark.parametrize("target", ["/echo/a/7", "/echo/a%20b/7?x=1&x=%2F", "/echo/%C3%A9/7"])
def test_paths_with_parameters_and_bodies_are_paid_as_they_were_sent(
    shop: FlaskShop, target: str
) -> None:
    got = shop.pay(2, target, body=b"posted")
    assert got.status_code == 200, got.text
    assert got.text.endswith(" 7 posted")
    assert got.headers["x-kept"] == "a"
    other = shop.payer.tick(3, method="POST", target=target, body=b"another")
    refused = shop.http.post(target, headers={"Payment-Tick": other}, content=b"posted")
    assert refused.status_code == 402


def test_a_view_states_what_it_costs(shop: FlaskShop) -> None:
    got = shop.pay(2, "/files/deep/in/here.txt", amount=1000)
    assert (got.status_code, got.text) == (200, "deep/in/here.txt")
    shop.close()
    assert [claim.cumulative for claim in shop.hub.claims] == [400]


def test_a_view_that_fails_is_not_charged(shop: FlaskShop) -> None:
    assert shop.pay(2, "/broken").status_code == 500
    assert shop.pay(2).status_code == 200, "its number is free again"


def test_a_streamed_answer_is_charged_when_it_starts(shop: FlaskShop) -> None:
    got = shop.pay(2, "/streamed")
    assert (got.status_code, got.text) == (200, "one two")
    assert "payment-receipt" in got.headers


def test_views_run_beside_each_other(shop: FlaskShop) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seq: shop.pay(seq, "/together"), range(2, 10)))
    assert {one.text for one in answers} == {"all at once"}


@pytest.mark.parametrize(
    "target", ["//paid", "/./paid", "/free/../paid", "/paid/", "/%70aid", "/paid%0A", "/PAID"]
)
def test_no_other_spelling_is_free(shop: FlaskShop, target: str) -> None:
    request_line = httpx2.URL(f"http://127.0.0.1:{shop.server.port}").copy_with(
        raw_path=target.encode()
    )
    got = shop.http.send(httpx2.Request("GET", request_line))
    assert got.status_code in {402, 404, 308}
    assert "constant" not in got.text
    assert len(shop.counter.served) == 1


def test_a_view_without_the_paywall_does_not_run() -> None:
    app = flask_app(Counter())
    assert app.test_client().get("/paid").status_code == 500


def test_a_second_process_on_the_file_is_told(shop: FlaskShop, tmp_path: Path) -> None:
    second = WsgiPaywall(lambda *_: [], paywall_of(tmp_path, shop.clock, shop.hub), {})
    with pytest.raises(FileOwned):
        second({}, None)
    second.close()


def test_closing_redeems_and_gives_the_file_back(tmp_path: Path) -> None:
    made = FlaskShop(tmp_path)
    try:
        made.open()
        made.pay(2)
    finally:
        made.close()
    assert [claim.cumulative for claim in made.hub.claims] == [200]
    made.wsgi.close()
    again: Any = protect(flask_app(Counter()), paywall_of(tmp_path, made.clock, made.hub))
    again.close()
