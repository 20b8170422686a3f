"""Paid calls through the middleware: served, charged once, repeated, released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aisa.channel.receipts import leaf_of
from aisa.errors import InvalidRequest, StoreUnavailable
from aisa.paywall import FreeQuota, PaywallOptions, RequestFacts, charge, paid
from aisa.paywall.answer import KEPT_BYTES_MAX
from aisa.protocol import base64url
from aisa.protocol.aip import CallReceipt, ReceiptLeaf, ReceiptProof
from aisa.protocol.mpp import parse_receipt
from tests.integration.paying import (
    ORIGIN,
    PAYEE,
    Answer,
    Payer,
    Shop,
    act,
    answer,
    call,
    digest_of,
    request_of,
)

MIB = 1024 * 1024


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as made:
        yield made


@pytest.fixture
async def payer(shop: Shop) -> Payer:
    made = Payer()
    first = await shop.open(made)
    assert first.status == 200
    return made


async def test_an_unpaid_request_is_told_what_it_costs(shop: Shop) -> None:
    got = await call(shop.app)
    assert (got.status, got.slug) == (402, "payment-required")
    assert got.header("cache-control") == "no-store"
    assert got.header("content-type") == "application/problem+json"
    asked = request_of(got)
    assert (asked.amount, asked.currency, asked.payee) == (100, "aiUSD", PAYEE)
    assert asked.session_url == f"{ORIGIN}/aisa/session"
    assert asked.ceiling_step_max == 50_000
    assert not shop.served


async def test_what_has_no_price_is_free_and_untouched(shop: Shop) -> None:
    got = await call(shop.app, "/free", headers={"Payment-Tick": "garbage"})
    assert (got.status, got.header("payment-receipt")) == (200, None)


async def test_the_first_paid_call_opens_the_channel_and_is_charged(shop: Shop) -> None:
    payer = Payer()
    got = await shop.open(payer)
    assert (got.status, got.body) == (200, b'{"n":1}')
    view = shop.channel(payer).view()
    assert (view.charged, view.ceiling, view.deposit) == (100, 50_000, 1_000_000)


async def test_each_answer_carries_an_authentic_receipt(shop: Shop, payer: Payer) -> None:
    got = await shop.pay(payer, 7)
    receipt = parse_receipt(got.header("payment-receipt") or "")
    assert receipt.method == "aisa"
    assert receipt.reference == "0:7"
    assert receipt.timestamp_s == shop.clock.now_s
    assert receipt.other["charged"] == "100"
    leaf = ReceiptLeaf(payer.id, 0, 7, 100, digest_of("GET", "/paid"), 200, _sha256(got.body))
    mac = base64url.decode_exact(str(receipt.other["mac"]), "mac", 16)
    assert CallReceipt(leaf, mac).is_authentic(payer.receipt_key)
    assert receipt.other["channel"] == base64url.encode(payer.id)
    assert receipt.format() == got.header("payment-receipt")


async def test_32_parallel_calls_on_one_channel_are_all_served(shop: Shop, payer: Payer) -> None:
    answers = await asyncio.gather(*(shop.pay(payer, seq) for seq in range(2, 34)))
    assert {got.status for got in answers} == {200}
    assert len({got.body for got in answers}) == 32
    assert shop.channel(payer).charged == 3300


async def test_a_repeat_gets_the_same_answer_and_is_charged_once(shop: Shop, payer: Payer) -> None:
    first = await shop.pay(payer, 2)
    shop.clock.forward(100)
    again = await shop.pay(payer, 2)
    assert (again.status, again.headers, again.body) == (200, first.headers, first.body)
    assert shop.channel(payer).charged == 200
    assert len(shop.served) == 2


async def test_a_repeat_in_flight_waits_for_the_first(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await shop.answer_ok(scope, receive, send)

    shop.handle = slow
    calls = [asyncio.create_task(shop.pay(payer, 2)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in calls)
    gate.set()
    answers = await asyncio.gather(*calls)
    assert len({(got.status, got.body) for got in answers}) == 1
    assert shop.channel(payer).charged == 200


async def test_a_repeat_in_flight_runs_itself_if_the_first_fails(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()
    runs: list[int] = []

    async def first_fails(scope: Any, receive: Any, send: Any) -> None:
        runs.append(1)
        await gate.wait()
        await answer(send, status=500 if len(runs) == 1 else 200)

    shop.handle = first_fails
    first = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0)
    second = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await first).status == 500
    assert (await second).status == 200
    assert shop.channel(payer).charged == 200


async def test_a_cancelled_repeat_leaves_the_first_alone(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send)

    shop.handle = slow
    first = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0)
    second = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    second.cancel()
    gate.set()
    assert (await first).status == 200
    assert shop.channel(payer).charged == 200


async def test_the_stored_answer_survives_a_restart(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        await shop.open(payer)
        first = await shop.pay(payer, 2)
    async with Shop(tmp_path, clock=shop.clock) as later:
        again = await later.pay(payer, 2)
        assert (again.headers, again.body) == (first.headers, first.body)
        assert not later.served
        assert (await later.pay(payer, 3)).status == 200
        assert later.channel(payer).charged == 300


@pytest.mark.parametrize("status", [301, 307, 400, 404, 422, 500, 503])
async def test_an_answer_that_fails_is_not_charged(shop: Shop, payer: Payer, status: int) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, status=status, body=b"no")

    shop.handle = fails
    got = await shop.pay(payer, 2)
    assert (got.status, got.body, got.header("payment-receipt")) == (status, b"no", None)
    shop.handle = shop.answer_ok
    assert (await shop.pay(payer, 2)).status == 200
    assert shop.channel(payer).charged == 200


async def test_a_handler_that_raises_is_not_charged(shop: Shop, payer: Payer) -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("boom")

    shop.handle = raises
    with pytest.raises(RuntimeError, match="boom"):
        await shop.pay(payer, 2)
    channel = shop.channel(payer)
    assert (channel.charged, channel.reserved, channel.in_flight) == (100, 0, 0)


async def test_a_cancelled_handler_is_not_charged(shop: Shop, payer: Payer) -> None:
    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    shop.handle = hangs
    task = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shop.channel(payer).reserved == 0


async def test_client_errors_are_charged_where_the_route_says_so(tmp_path: Path) -> None:
    price = paid("0.0001 aiUSD", charge_client_errors=True)
    payer = Payer()
    async with Shop(tmp_path, prices={"/paid": price}) as shop:

        async def fails(scope: Any, receive: Any, send: Any) -> None:
            await answer(send, status=404)

        await shop.open(payer)
        shop.handle = fails
        assert (await shop.pay(payer, 2)).header("payment-receipt")
        assert shop.channel(payer).charged == 200


async def test_a_body_is_part_of_what_is_paid_for(shop: Shop, payer: Payer) -> None:
    seen: list[bytes] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        seen.append(message["body"])
        assert not message["more_body"]
        await answer(send)

    shop.handle = echo
    tick = payer.tick(2, method="POST", body=b"abcdef")
    got = await call(
        shop.app, method="POST", headers={"Payment-Tick": tick}, chunks=[b"ab", b"cd", b"ef"]
    )
    assert (got.status, seen) == (200, [b"abcdef"])


async def test_the_query_is_part_of_what_is_paid_for(shop: Shop, payer: Payer) -> None:
    tick = payer.tick(2, target="/paid?a=1&b=%20")
    got = await call(shop.app, query="a=1&b=%20", headers={"Payment-Tick": tick})
    assert got.status == 200


async def test_a_long_body_is_refused(tmp_path: Path) -> None:
    price = paid("0.0001 aiUSD", body_bytes_max=10)
    async with Shop(tmp_path, prices={"/paid": price}) as shop:
        payer = Payer()
        await shop.open(payer)
        for body, chunks in ((b"x" * 11, None), (b"", [b"x" * 8, b"y" * 8])):
            got = await call(
                shop.app,
                method="POST",
                headers={"Payment-Tick": payer.tick(2, method="POST")},
                body=body,
                chunks=chunks,
            )
            assert (got.status, got.slug) == (413, "body-too-large")
        assert shop.channel(payer).charged == 100


async def test_a_price_can_be_computed_from_the_request(tmp_path: Path) -> None:
    price = paid(lambda facts: f"0.000{facts.query['n']} aiUSD", at_most="0.001 aiUSD")
    async with Shop(tmp_path, prices={"/paid": price}) as shop:
        asked = request_of(await call(shop.app, query="n=3"))
        assert asked.amount == 300
        payer = Payer()
        action = payer.open_action(asked.payee_x25519, shop.clock.now_s)
        challenge = (await call(shop.app, query="n=3")).header("www-authenticate") or ""
        got = await call(
            shop.app,
            query="n=3",
            headers={
                "Payment-Authorization": payer.credential(challenge, action),
                "Payment-Tick": payer.tick(1, 1000, target="/paid?n=3"),
            },
        )
        assert got.status == 200
        assert shop.channel(payer).charged == 300
        tick = payer.tick(2, 200, target="/paid?n=3")
        got = await call(shop.app, query="n=3", headers={"Payment-Tick": tick})
        assert (got.status, got.slug) == (402, "price-above-tick")


@pytest.mark.parametrize("failure", [KeyError("n"), InvalidRequest("n is missing")])
async def test_a_price_that_cannot_be_computed_is_offered_at_its_most(
    tmp_path: Path, failure: Exception
) -> None:
    def compute(facts: RequestFacts) -> str:
        if "n" not in facts.query:
            raise failure
        return "0.0003 aiUSD"

    prices = {"/paid": paid(compute, at_most="0.001 aiUSD")}
    async with Shop(tmp_path, prices=prices) as shop:
        got = await call(shop.app)
        assert (got.status, got.slug, request_of(got).amount) == (402, "payment-required", 1000)
        got = await call(shop.app, headers={"Payment-Tick": "garbage"})
        assert (got.status, got.slug, request_of(got).amount) == (402, "tick-refused", 1000)

        payer = Payer()
        key = request_of(got).payee_x25519
        assert (await act(shop.app, payer.open_action(key, shop.clock.now_s))).status == 200
        if isinstance(failure, InvalidRequest):
            assert (await shop.pay(payer, 1, 1000)).slug == "invalid-request"
        else:
            with pytest.raises(KeyError):
                await shop.pay(payer, 1, 1000)
        assert not shop.served
        tick = payer.tick(1, 1000, target="/paid?n=3")
        assert (await call(shop.app, query="n=3", headers={"Payment-Tick": tick})).status == 200
        channel = shop.channel(payer)
        assert (channel.charged, channel.reserved) == (300, 0)


async def test_a_handler_can_state_the_price(tmp_path: Path) -> None:
    async with Shop(tmp_path, prices={"/paid": paid(at_most="0.001 aiUSD")}) as shop:
        payer = Payer()

        async def states(scope: Any, receive: Any, send: Any) -> None:
            charge("0.00025 aiUSD")
            await answer(send)

        await shop.open(payer, amount=1000)
        assert shop.channel(payer).charged == 1000
        shop.handle = states
        got = await shop.pay(payer, 2, 1000)
        assert parse_receipt(got.header("payment-receipt") or "").other["charged"] == "250"
        assert shop.channel(payer).charged == 1250


async def test_a_few_calls_a_day_are_free_for_each_peer(tmp_path: Path) -> None:
    price = paid("0.0001 aiUSD", free=FreeQuota(2))
    async with Shop(tmp_path, prices={"/paid": price}) as shop:
        assert [(await call(shop.app)).status for _ in range(3)] == [200, 200, 402]
        assert (await call(shop.app, peer="127.0.0.2")).status == 200
        shop.clock.forward(86_400)
        assert (await call(shop.app)).status == 200


async def test_a_few_calls_a_day_are_free_for_each_payer(tmp_path: Path) -> None:
    price = paid("0.0001 aiUSD", free=FreeQuota(2, per_payer=True))
    async with Shop(tmp_path, prices={"/paid": price}) as shop:
        payer = Payer()
        await shop.open(payer)
        for seq in (2, 3, 4):
            assert (await shop.pay(payer, seq)).status == 200
        assert shop.channel(payer).charged == 200


async def test_a_streamed_answer_is_charged_when_it_starts(shop: Shop, payer: Payer) -> None:
    charged_at_first: list[int] = []

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        charged_at_first.append(shop.channel(payer).charged)
        await send({"type": "http.response.body", "body": b"b", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    shop.handle = streams
    got = await shop.pay(payer, 2)
    assert (got.status, got.body, charged_at_first) == (200, b"ab", [200])
    assert got.header("payment-receipt")
    again = await shop.pay(payer, 2)
    assert (again.status, again.slug) == (409, "answer-gone")
    assert again.json()["facts"]["charged"] == "100"
    assert shop.channel(payer).charged == 200


async def test_pieces_of_a_declared_length_are_kept(shop: Shop, payer: Payer) -> None:
    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    shop.handle = pieces
    assert (await shop.pay(payer, 2)).body == b"ab"
    assert (await shop.pay(payer, 2)).body == b"ab"
    assert shop.channel(payer).charged == 200


async def test_a_large_answer_is_sent_but_not_kept(shop: Shop, payer: Payer) -> None:
    async def large(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"x" * (KEPT_BYTES_MAX + 1))

    shop.handle = large
    assert len((await shop.pay(payer, 2)).body) == KEPT_BYTES_MAX + 1
    assert (await shop.pay(payer, 2)).slug == "answer-gone"


async def test_a_send_that_fails_is_voided_three_times_an_hour(shop: Shop, payer: Payer) -> None:
    async def large(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"x" * (KEPT_BYTES_MAX + 1))

    async def broken(message: Any) -> None:
        raise OSError("gone")

    shop.handle = large
    for seq in range(2, 7):
        with pytest.raises(OSError, match="gone"):
            await call(shop.app, headers={"Payment-Tick": payer.tick(seq)}, send=broken)
    assert shop.channel(payer).charged == 100 + 2 * 100
    again = await shop.pay(payer, 2)
    assert (again.slug, again.json()["facts"]["charged"]) == ("answer-gone", "0")
    shop.clock.forward(3601)
    with pytest.raises(OSError, match="gone"):
        await call(shop.app, headers={"Payment-Tick": payer.tick(9)}, send=broken)
    assert shop.channel(payer).charged == 300


async def test_a_stream_that_breaks_is_voided(shop: Shop, payer: Payer) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise RuntimeError("half way")

    shop.handle = breaks
    with pytest.raises(RuntimeError, match="half way"):
        await shop.pay(payer, 2)
    assert shop.channel(payer).charged == 100


async def test_a_kept_answer_that_could_not_be_sent_stands(shop: Shop, payer: Payer) -> None:
    async def broken(message: Any) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await call(shop.app, headers={"Payment-Tick": payer.tick(2)}, send=broken)
    assert (await shop.pay(payer, 2)).status == 200
    assert shop.channel(payer).charged == 200


async def test_a_commit_that_fails_is_answered_503_and_charges_nothing(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batch: Any) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(shop.paywall.till.store, "commit", full)
        got = await asyncio.gather(*(shop.pay(payer, seq) for seq in (2, 3)))
    assert [(one.status, one.slug) for one in got] == [(503, "store-unavailable")] * 2
    assert got[0].header("retry-after") == "1"
    channel = shop.channel(payer)
    assert (channel.charged, channel.reserved, channel.in_flight) == (100, 0, 0)
    assert (await shop.pay(payer, 2)).status == 200
    assert channel.charged == 200


@pytest.mark.parametrize("commit", ["inline", "thread"])
async def test_receipts_prove_each_call_of_a_batch(tmp_path: Path, commit: Any) -> None:
    async with Shop(tmp_path, options=PaywallOptions(commit=commit)) as shop:
        payer = Payer()
        await shop.open(payer)
        await asyncio.gather(*(shop.pay(payer, seq) for seq in range(2, 12)))
        roots: set[tuple[int, bytes]] = set()
        for seq in range(2, 12):
            proof = _proof((await _receipt(shop, payer, seq)).json())
            assert proof.leaf.seq == seq
            assert proof.payee == PAYEE
            from aisa.identity import verify_signature

            assert verify_signature(PAYEE, proof.signing_bytes(), proof.signature)
            roots.add((proof.batch, proof.root()))
        assert len({batch for batch, _ in roots}) == len(roots)
        stored = shop.paywall.till.store.charge(1, 0, 2)
        assert stored is not None
        assert leaf_of(stored.charge, payer.id).seq == 2
        assert (await _receipt(shop, payer, 99)).slug == "not-found"


async def test_cors_exposes_our_headers(shop: Shop, payer: Payer) -> None:
    unpaid = await call(shop.app, headers={"Origin": "https://page.example"})
    paid_for = await call(
        shop.app,
        headers={"Origin": "https://page.example", "Payment-Tick": payer.tick(2)},
    )
    for got in (unpaid, paid_for):
        assert "Payment-Receipt" in (got.header("access-control-expose-headers") or "")


async def test_many_channels_live_on_disk_only(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        shop.paywall.till._channels_max = 4
        payers = [Payer(f"p{n}") for n in range(12)]
        for one in payers:
            assert (await shop.open(one)).status == 200
        assert len(shop.paywall.till._hot) <= 5
        for one in payers:
            assert (await shop.pay(one, 2)).status == 200
            assert (await shop.pay(one, 2)).status == 200
            assert shop.channel(one).charged == 200


async def test_an_offer_is_narrowed_by_what_the_client_accepts(shop: Shop) -> None:
    for accept in ("aisa/session", "other/charge, aisa/*;q=0.5", "nonsense", "other/charge"):
        got = await call(shop.app, headers={"Accept-Payment": accept})
        assert got.header("www-authenticate")


async def _receipt(shop: Shop, payer: Payer, seq: int) -> Answer:
    query = f"channel={base64url.encode(payer.id)}&lane=0&seq={seq}"
    return await call(shop.app, "/aisa/session/receipts", query=query)


def _proof(said: Any) -> ReceiptProof:
    def key(name: str) -> bytes:
        return base64url.decode(said[name], name, bytes_max=64)

    leaf = ReceiptLeaf(
        key("channel"),
        said["lane"],
        said["seq"],
        int(said["charged"]),
        key("request"),
        said["status"],
        key("answer"),
    )
    path = tuple(base64url.decode_exact(node, "path", 32) for node in said["path"])
    return ReceiptProof(
        leaf, said["index"], said["count"], path, key("payee"), said["batch"], key("signature")
    )


def _sha256(body: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(body).digest()


async def test_channels_whose_calls_all_failed_leave_memory_too(tmp_path: Path) -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, status=500)

    async with Shop(tmp_path) as shop:
        shop.paywall.till._channels_max = 4
        shop.handle = fail
        for number in range(40):
            payer = Payer(f"payer {number}")
            assert (await shop.open(payer)).status == 500
            await asyncio.sleep(0.005)
            assert (await shop.pay(payer, 2, lane=1)).status == 500
        await asyncio.sleep(0.005)
        assert len(shop.paywall.till._hot) <= 12


async def test_a_browser_is_shown_a_page(shop: Shop) -> None:
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    got = await call(shop.app, query='a=1&b="><script>', headers={"Accept": accept})
    assert (got.status, got.header("content-type")) == (402, "text/html; charset=utf-8")
    assert request_of(got).amount == 100
    assert "default-src 'none'" in (got.header("content-security-policy") or "")
    assert b"0.0001 aiUSD" in got.body
    assert b"<script>" not in got.body
    assert f"{ORIGIN}/paid?a=1&amp;b=%22%3E%3Cscript%3E".encode() in got.body
    program = await call(shop.app, headers={"Accept": "application/json"})
    assert program.slug == "payment-required"
    refused = await call(shop.app, headers={"Accept": accept, "Payment-Tick": "x" * 92})
    assert refused.slug == "tick-refused", "whoever pays is a program"
