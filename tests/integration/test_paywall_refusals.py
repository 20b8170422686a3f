"""Everything a seller refuses: a clear problem, and nothing moved."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from aisa.identity import SigningKey
from aisa.paywall import PaywallOptions, paid
from aisa.protocol.aip import OpenAction, Tick, Voucher, hub_network
from tests.integration.paying import (
    HUB_KEY,
    NETWORK,
    Answer,
    Payer,
    Shop,
    act,
    answer,
    call,
    digest_of,
    open_channel,
    request_of,
    statement,
)

STRANGER = SigningKey(b"stranger".ljust(32, b"\0"))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as made:
        yield made


@pytest.fixture
async def payer(shop: Shop) -> Payer:
    made = Payer()
    assert (await shop.open(made)).status == 200
    return made


async def tick_call(shop: Shop, tick: str, **more: Any) -> Answer:
    headers = {"Payment-Tick": tick, **more.pop("headers", {})}
    return await call(shop.app, headers=headers, **more)


def moved(shop: Shop, payer: Payer) -> tuple[int, int, int, int]:
    channel = shop.channel(payer)
    return (channel.charged, channel.reserved, channel.ceiling, len(shop.served))


# Ticks


async def test_a_tick_for_another_url_body_method_or_amount(shop: Shop, payer: Payer) -> None:
    before = moved(shop, payer)
    good = payer.tick(2)
    got = [
        await tick_call(shop, good, query="x=1"),
        await tick_call(shop, good, method="POST"),
        await tick_call(shop, good, body=b"{}"),
        await tick_call(shop, payer.tick(2, origin="http://thief.test")),
        await tick_call(shop, payer.tick(2, target="/other")),
    ]
    changed = Tick.decode(good)
    others = (
        structs.replace(changed, amount=101),
        structs.replace(changed, seq=3),
        structs.replace(changed, lane=1),
    )
    got += [await tick_call(shop, other.encode()) for other in others]
    assert {(one.status, one.slug) for one in got} == {(402, "tick-refused")}
    assert moved(shop, payer) == before


async def test_a_tick_repeated_with_another_digest(shop: Shop, payer: Payer) -> None:
    await shop.pay(payer, 2)
    before = moved(shop, payer)
    got = await tick_call(shop, payer.tick(2, target="/paid?x=1"), query="x=1")
    assert (got.status, got.slug) == (402, "tick-refused")
    assert moved(shop, payer) == before


async def test_a_tick_repeated_in_flight_with_another_digest(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send)

    shop.handle = slow
    first = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    got = await tick_call(shop, payer.tick(2, target="/paid?x=1"), query="x=1")
    assert got.slug == "tick-refused"
    gate.set()
    assert (await first).status == 200


async def test_a_tick_repeated_after_ten_minutes(shop: Shop, payer: Payer) -> None:
    await shop.pay(payer, 2)
    shop.clock.forward(599)
    assert (await shop.pay(payer, 2)).status == 200
    shop.clock.forward(2)
    before = moved(shop, payer)
    assert (await shop.pay(payer, 2)).slug == "tick-refused"
    assert moved(shop, payer) == before


async def test_a_seq_behind_the_window(shop: Shop, payer: Payer) -> None:
    assert (await shop.pay(payer, 2000)).status == 200
    assert (await shop.pay(payer, 977)).status == 200
    before = moved(shop, payer)
    assert (await shop.pay(payer, 976)).slug == "tick-refused"
    assert (await shop.pay(payer, 1)).status == 200, "the same request within 10 minutes"
    assert moved(shop, payer) == before


async def test_garbage_ticks(shop: Shop, payer: Payer) -> None:
    before = moved(shop, payer)
    good = payer.tick(2)
    texts = ["", "x", "A" * 92, good[:-1], good + "A", "NaN", "1e-7", "é" * 92, "\x00" * 92]
    for text in texts:
        raw = text.encode("latin-1", "replace").decode("latin-1")
        got = await tick_call(shop, raw)
        assert (got.status, got.slug) == (402, "tick-refused")
        assert got.header("www-authenticate")
    assert moved(shop, payer) == before


@pytest.mark.parametrize("amount", [2**63, 2**64 - 1])
async def test_amounts_of_two_to_the_63(shop: Shop, payer: Payer, amount: int) -> None:
    tick = Tick(payer.id, 0, 2, amount).seal(payer.tick_key, digest_of("GET", "/paid"))
    assert (await tick_call(shop, tick)).slug == "tick-refused"


async def test_a_tick_of_less_than_the_price_consumes_nothing(shop: Shop, payer: Payer) -> None:
    got = await shop.pay(payer, 2, 99)
    assert (got.status, got.slug) == (402, "price-above-tick")
    assert (await shop.pay(payer, 2)).status == 200
    assert shop.channel(payer).charged == 200


async def test_an_unknown_channel(shop: Shop) -> None:
    stranger = Payer("stranger")
    stranger.make_session(bytes([9]) + bytes(31), shop.clock.now_s + 100)
    got = await shop.pay(stranger, 1)
    assert (got.status, got.slug) == (402, "channel-unknown")


async def test_a_lane_that_no_session_has(shop: Shop, payer: Payer) -> None:
    assert (await shop.pay(payer, 1, lane=16)).slug == "session-expired"


async def test_an_expired_session(shop: Shop, payer: Payer) -> None:
    await shop.pay(payer, 2)
    shop.clock.forward(86_400)
    before = moved(shop, payer)
    got = await shop.pay(payer, 3)
    assert (got.status, got.slug) == (402, "session-expired")
    assert moved(shop, payer) == before


# A thief who knows the channel id


async def test_a_thief_with_a_channel_id_moves_nothing(shop: Shop, payer: Payer) -> None:
    await shop.pay(payer, 2)
    before = moved(shop, payer)
    thief = Payer("thief")
    thief.terms, thief.id = payer.terms, payer.id
    thief.make_session(
        request_of(await call(shop.app)).payee_x25519, shop.clock.now_s + 1000, first=100
    )
    now_s = shop.clock.now_s
    action = OpenAction(
        payer.terms, statement(payer.id, 1_000_000, now_s), thief.session, thief.voucher(60_000)
    )
    got = [
        await tick_call(shop, thief.tick(3)),
        await tick_call(shop, thief.tick(3, lane=100)),
        await act(shop.app, action),
        await act(shop.app, thief.raise_to(60_000)),
        await act(shop.app, thief.close()),
        await act(shop.app, thief.close_lane(0)),
    ]
    assert [one.slug for one in got] == [
        "tick-refused",
        "session-expired",
        "signature-invalid",
        "voucher-refused",
        "signature-invalid",
        "signature-invalid",
    ]
    assert moved(shop, payer) == before
    assert (await shop.pay(payer, 3)).status == 200


async def test_ticks_with_random_lanes_take_no_memory(shop: Shop, payer: Payer) -> None:
    wide = Payer("wide")
    asked = request_of(await call(shop.app))
    wide.make_session(asked.payee_x25519, shop.clock.now_s + 1000, count=65_535)
    await shop.open(wide)
    for lane in range(200):
        forged = structs.replace(Tick.decode(wide.tick(1, lane=lane + 1)), mac=bytes(16))
        assert (await tick_call(shop, forged.encode())).status in (402, 429)
    assert len(shop.channel(wide).lanes) == 1


# Vouchers


async def test_over_the_ceiling_a_voucher_is_asked_for(shop: Shop) -> None:
    payer = Payer()
    await shop.open(payer, ceiling=150)
    got = await shop.pay(payer, 2)
    assert (got.status, got.slug) == (402, "voucher-required")
    assert got.json()["facts"] == {"needed": "200", "ceiling": "150", "deposit": "1000000"}
    headers = {"Payment-Voucher": payer.voucher(1000).encode()}
    assert (await tick_call(shop, payer.tick(2), headers=headers)).status == 200
    assert moved(shop, payer)[:3] == (200, 0, 1000)


async def test_a_forged_voucher_never_touches_state(shop: Shop, payer: Payer) -> None:
    before = moved(shop, payer)
    good = payer.voucher(60_000)
    forged = [
        replace(good, signature=STRANGER.sign(good.message())),
        replace(good, ceiling=70_000),
        payer.voucher(1_000_001),
        payer.voucher(60_000, expiry=shop.clock.now_s + 10**6),
        Payer("other").voucher(60_000),
    ]
    for voucher in forged:
        headers = {"Payment-Voucher": voucher.encode()}
        got = await tick_call(shop, payer.tick(2), headers=headers)
        assert (got.status, got.slug) == (402, "voucher-refused")
    for text in ("", "x", "A" * 152):
        got = await tick_call(shop, payer.tick(2), headers={"Payment-Voucher": text})
        assert got.slug == "voucher-refused"
    assert moved(shop, payer) == before
    assert (await shop.pay(payer, 2)).status == 200


async def test_a_forged_lower_voucher_beside_a_true_tick_is_ignored(
    shop: Shop, payer: Payer
) -> None:
    forged = Voucher(payer.id, 10, 0, bytes(64))
    got = await tick_call(shop, payer.tick(2), headers={"Payment-Voucher": forged.encode()})
    assert got.status == 200
    assert shop.channel(payer).ceiling == 50_000
    assert shop.channel(payer).voucher().signature == payer.voucher(50_000).signature


async def test_a_voucher_alone_admits_nothing(shop: Shop, payer: Payer) -> None:
    before = moved(shop, payer)
    got = await call(shop.app, headers={"Payment-Voucher": payer.voucher(60_000).encode()})
    assert (got.status, got.slug) == (402, "payment-required")
    assert moved(shop, payer) == before


async def test_a_voucher_that_the_hub_saw_cannot_be_replayed_for_calls(
    shop: Shop, payer: Payer
) -> None:
    seen = shop.channel(payer).voucher()
    thief = Payer("thief")
    thief.terms, thief.id = payer.terms, payer.id
    thief.make_session(
        request_of(await call(shop.app)).payee_x25519, shop.clock.now_s + 1000, first=100
    )
    action = OpenAction(
        payer.terms, statement(payer.id, 1_000_000, shop.clock.now_s), thief.session, seen
    )
    challenge = (await call(shop.app)).header("www-authenticate") or ""
    got = await call(
        shop.app,
        headers={
            "Payment-Authorization": thief.credential(challenge, action),
            "Payment-Tick": thief.tick(1, lane=100),
        },
    )
    assert (got.status, got.slug) == (401, "signature-invalid")


# Opening


def forged_statement(payer: Payer, now_s: int) -> Any:
    good = statement(payer.id, 1_000_000, now_s)
    return replace(good, signature=STRANGER.sign(good.signing_bytes()))


OPENINGS: list[tuple[str, Any]] = [
    ("statement-refused", lambda a, p, t: replace(a, statement=forged_statement(p, t))),
    ("statement-refused", lambda a, p, t: replace(a, statement=statement(p.id, 10**6, t - 601))),
    ("statement-refused", lambda a, p, t: replace(a, statement=statement(p.id, 10**6, t + 61))),
    ("statement-refused", lambda a, p, t: replace(a, statement=statement(p.id, 10**6, t, 5001))),
    ("statement-refused", lambda a, p, t: replace(a, statement=statement(p.id, 9_999, t))),
    ("statement-refused", lambda a, p, t: replace(a, statement=statement(bytes(32), 10**6, t))),
    ("voucher-refused", lambda a, p, t: replace(a, voucher=p.voucher(1_000_001))),
    ("voucher-refused", lambda a, p, t: replace(a, voucher=p.voucher(1000, expiry=t + 10**6))),
    ("voucher-refused", lambda a, p, t: replace(a, voucher=Payer("other").voucher(1000))),
    (
        "voucher-refused",
        lambda a, p, t: replace(a, voucher=replace(a.voucher, signature=bytes(64))),
    ),
    (
        "signature-invalid",
        lambda a, p, t: replace(a, session=replace(a.session, signature=bytes(64))),
    ),
    (
        "signature-invalid",
        lambda a, p, t: replace(a, session=replace(a.session, channel=bytes(32))),
    ),
    (
        "session-expired",
        lambda a, p, t: replace(a, session=p.make_session(a.session.payee_x25519, t)),
    ),
    (
        "session-expired",
        lambda a, p, t: replace(a, session=p.make_session(a.session.payee_x25519, t + 32 * 86_400)),
    ),
    (
        "session-expired",
        lambda a, p, t: replace(a, session=p.make_session(bytes([9]) + bytes(31), t + 1000)),
    ),
]


@pytest.mark.parametrize(("slug", "spoil"), OPENINGS)
async def test_a_spoiled_opening(shop: Shop, slug: str, spoil: Any) -> None:
    payer = Payer("fresh")
    challenge = await call(shop.app)
    asked = request_of(challenge)
    action = payer.open_action(asked.payee_x25519, shop.clock.now_s)
    spoiled = spoil(action, payer, shop.clock.now_s)
    value = challenge.header("www-authenticate") or ""
    got = await call(
        shop.app,
        headers={
            "Payment-Authorization": payer.credential(value, spoiled),
            "Payment-Tick": payer.tick(1),
        },
    )
    assert got.slug == slug
    assert got.status in (401, 402)
    assert got.header("www-authenticate")
    assert not shop.served
    assert shop.paywall.till.store.channel(payer.id) is None
    assert payer.id not in shop.paywall.till._hot


async def test_a_channel_at_an_unlisted_hub(shop: Shop) -> None:
    other = SigningKey(b"other hub".ljust(32, b"\0"))
    network = hub_network(other.public_key)
    # The third names a listed network with a key that is not its own.
    for payer in (
        Payer(network=network, holder=other.public_key),
        Payer(network=NETWORK, holder=other.public_key),
    ):
        got = await open_channel(shop.app, payer, shop.clock)
        assert (got.status, got.slug) == (402, "hub-not-listed")


async def test_a_channel_to_another_payee_or_in_another_currency(shop: Shop) -> None:
    for payer in (Payer(payee=STRANGER.public_key), Payer(currency="EUR")):
        got = await open_channel(shop.app, payer, shop.clock)
        assert (got.status, got.slug) == (402, "channel-unknown")


async def test_challenges_that_are_not_ours(shop: Shop, tmp_path: Path) -> None:
    payer = Payer()
    challenge = await call(shop.app)
    action = payer.open_action(request_of(challenge).payee_x25519, shop.clock.now_s)
    value = challenge.header("www-authenticate") or ""
    changed = value.replace('id="', 'id="A', 1)
    credentials = [payer.credential(changed, action), "Payment x", "Basic abc", "Payment e30"]
    tick = payer.tick(1)
    for credential in credentials:
        got = await tick_call(shop, tick, headers={"Payment-Authorization": credential})
        assert (got.status, got.slug) == (402, "challenge-invalid")
    shop.clock.forward(601)
    expired = payer.credential(value, action)
    got = await tick_call(shop, tick, headers={"Payment-Authorization": expired})
    assert got.slug == "challenge-invalid"


async def test_a_credential_and_a_tick_of_different_channels(shop: Shop, payer: Payer) -> None:
    other = Payer("other")
    challenge = await call(shop.app)
    action = other.open_action(request_of(challenge).payee_x25519, shop.clock.now_s)
    value = challenge.header("www-authenticate") or ""
    got = await tick_call(
        shop, payer.tick(2), headers={"Payment-Authorization": other.credential(value, action)}
    )
    assert got.slug == "tick-refused"


# Caps, sizes, rates


async def test_over_the_unredeemed_cap_of_a_hub(tmp_path: Path) -> None:
    async with Shop(tmp_path, cap=1000) as shop:
        shop.hub.is_down = True
        payers = [Payer(f"p{n}") for n in range(3)]
        for payer in payers:
            assert (await shop.open(payer)).status == 200
        served = 3
        for seq in range(2, 6):
            for payer in payers:
                got = await shop.pay(payer, seq)
                served += got.status == 200
                assert got.status == 200 or got.slug == "cap-exceeded"
        assert served == 10, "a cheating hub keeps at most its cap"
        shop.hub.is_down = False
        await shop.paywall.redeem()
        assert (await shop.pay(payers[0], 9)).status == 200


async def test_the_cap_counts_what_is_in_flight(tmp_path: Path) -> None:
    async with Shop(tmp_path, cap=1000) as shop:
        shop.hub.is_down = True
        payer = Payer()
        await shop.open(payer)
        answers = await asyncio.gather(*(shop.pay(payer, seq) for seq in range(2, 34)))
        assert sum(got.status == 200 for got in answers) == 9
        assert shop.channel(payer).hub.units == 1000


async def test_a_payer_gets_no_more_than_its_ceiling_in_parallel(shop: Shop) -> None:
    payer = Payer()
    await shop.open(payer, ceiling=1000)
    answers = await asyncio.gather(*(shop.pay(payer, seq) for seq in range(2, 34)))
    assert sum(got.status == 200 for got in answers) == 9
    assert moved(shop, payer)[:3] == (1000, 0, 1000)


async def test_the_body_of_a_stranger_is_not_read(shop: Shop) -> None:
    payer = Payer("stranger")
    asked = request_of(await call(shop.app))
    payer.make_session(asked.payee_x25519, shop.clock.now_s + 99)
    tick = payer.tick(1, method="POST", body=b"x")
    reads: list[int] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def read() -> Any:
            reads.append(1)
            return await receive()

        await shop.app(scope, read, send)

    for credential in (None, "garbage"):
        headers = {"Payment-Tick": tick}
        if credential is not None:
            headers["Payment-Authorization"] = credential
        got = await call(watched, method="POST", headers=headers, body=b"x")
        slug = "channel-unknown" if credential is None else "challenge-invalid"
        assert (got.status, got.slug, reads) == (402, slug, [])
        assert request_of(got).amount == 100


async def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    options = PaywallOptions(commit="inline", body_timeout_s=0.02)
    async with Shop(tmp_path, options=options) as shop:
        payer = Payer()
        await shop.open(payer)
        headers = {"Payment-Tick": payer.tick(2, method="POST", body=b"xy")}

        async def stalls(scope: Any, receive: Any, send: Any) -> None:
            parts: list[Any] = [{"type": "http.request", "body": b"x", "more_body": True}]

            async def read() -> Any:
                return parts.pop() if parts else await asyncio.Event().wait()

            await shop.app(scope, read, send)

        async with asyncio.timeout(5):
            got = await call(stalls, method="POST", headers=headers, body=b"xy")
        assert (got.status, got.slug, got.header("connection")) == (408, "body-too-slow", "close")
        got = await call(shop.app, method="POST", headers=headers, body=b"xy")
        assert got.status == 200
        assert shop.channel(payer).charged == 200


async def test_a_probe_with_a_bad_body_is_402_never_400(shop: Shop) -> None:
    got = await call(shop.app, method="POST", body=b"{not json")
    assert got.status == 402


async def test_a_large_head_is_431(shop: Shop, payer: Payer) -> None:
    before = moved(shop, payer)
    got = await tick_call(shop, payer.tick(2), headers={"X-Long": "x" * 20_000})
    assert (got.status, got.slug) == (431, "head-too-large")
    assert moved(shop, payer) == before


async def test_a_stranger_is_throttled_and_a_payer_is_not(shop: Shop, payer: Payer) -> None:
    statuses = [(await call(shop.app)).status for _ in range(600)]
    assert statuses.count(402) in range(495, 501)
    limited = await call(shop.app)
    assert (limited.status, limited.slug) == (429, "rate-limited")
    assert limited.header("retry-after") == "1"
    assert (await shop.pay(payer, 2)).status == 200
    assert (await tick_call(shop, "garbage")).status == 429
    assert (await call(shop.app, peer="127.0.0.9")).status == 402
    shop.clock.forward(1)
    assert [(await call(shop.app)).status for _ in range(52)].count(402) == 50


async def test_memory_stays_flat_under_100_000_unpaid_requests(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        for _ in range(2_000):
            await call(shop.app)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(5_000):
            await call(shop.app, peer=f"10.{number % 7}.0.1")
            shop.clock.now_ms += 1
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert after - before < 200_000


async def test_the_table_of_peers_is_bounded(shop: Shop) -> None:
    shop.paywall.limiter._peers_max = 100
    for number in range(300):
        await call(shop.app, peer=f"10.0.{number // 250}.{number % 250}")
    assert len(shop.paywall.limiter._peers) == 100


async def test_a_handler_cannot_state_more_than_the_maximum(tmp_path: Path) -> None:
    from aisa.errors import ConfigInvalid
    from aisa.paywall import charge

    async with Shop(tmp_path, prices={"/paid": paid(at_most="0.001 aiUSD")}) as shop:

        async def greedy(scope: Any, receive: Any, send: Any) -> None:
            charge("0.002 aiUSD")

        payer = Payer()
        await shop.open(payer, amount=1000)
        shop.handle = greedy
        with pytest.raises(ConfigInvalid):
            await shop.pay(payer, 2, 1000)
        assert moved(shop, payer)[:2] == (1000, 0)


async def test_a_channel_that_is_closed_takes_no_calls(shop: Shop, payer: Payer) -> None:
    closed = await act(shop.app, payer.close())
    assert closed.json()["state"] == "closed"
    before = moved(shop, payer)
    assert (await shop.pay(payer, 2)).slug == "channel-unknown"
    assert (await act(shop.app, payer.raise_to(60_000))).slug == "channel-unknown"
    assert (await shop.open(payer)).slug == "channel-unknown"
    assert moved(shop, payer) == before
    assert HUB_KEY.public_key


async def test_unlisted_hub_after_a_change_of_configuration(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        await shop.open(payer)
    other = SigningKey(b"other hub".ljust(32, b"\0"))
    later = Shop(tmp_path, clock=shop.clock, options=PaywallOptions(commit="inline"))
    later.paywall._rules.hubs.clear()  # type: ignore[attr-defined]
    assert other.public_key
    async with later:
        assert (await later.pay(payer, 2)).slug == "cap-exceeded"
