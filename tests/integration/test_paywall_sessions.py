"""The session URL and redemption: what happens to a channel between its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aisa.channel.payee import LANES_MAX
from aisa.channel.store import SESSION_KEPT_S, SESSIONS_MAX, ChannelState
from aisa.client import ChannelState as HubChannelState
from aisa.client import ProblemInfo
from aisa.identity import verify_signature
from aisa.paywall import Sweep
from aisa.protocol import base64url
from aisa.protocol.aip import LaneClosed, OpenAction
from tests.integration.paying import (
    PAYEE,
    FakeHub,
    Payer,
    Shop,
    act,
    answer,
    call,
    request_of,
    statement,
)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as made:
        yield made


@pytest.fixture
async def payer(shop: Shop) -> Payer:
    made = Payer()
    assert (await shop.open(made)).status == 200
    return made


async def new_session(shop: Shop, payer: Payer, first: int, count: int = 16) -> OpenAction:
    asked = request_of(await call(shop.app))
    session = payer.make_session(
        asked.payee_x25519, shop.clock.now_s + 1000, first=first, count=count
    )
    known = shop.channel(payer)
    return OpenAction(
        payer.terms,
        statement(payer.id, known.deposit, shop.clock.now_s),
        session,
        payer.voucher(known.ceiling),
    )


async def test_a_channel_can_be_opened_without_a_call(shop: Shop) -> None:
    payer = Payer()
    asked = request_of(await call(shop.app))
    action = payer.open_action(asked.payee_x25519, shop.clock.now_s)
    got = await act(shop.app, action)
    assert got.json() == {
        "channel": base64url.encode(payer.id),
        "state": "open",
        "deposit": "1000000",
        "ceiling": "50000",
        "charged": "0",
        "redeemed": "0",
    }
    assert (await act(shop.app, action)).json() == got.json()
    assert (await shop.pay(payer, 1)).status == 200


async def test_vouchers_and_top_ups_only_ever_raise(shop: Shop, payer: Payer) -> None:
    assert (await act(shop.app, payer.raise_to(60_000))).json()["ceiling"] == "60000"
    assert (await act(shop.app, payer.raise_to(55_000))).json()["ceiling"] == "60000"
    now_s = shop.clock.now_s
    assert (await act(shop.app, payer.top_up(2_000_000, now_s))).json()["deposit"] == "2000000"
    assert (await act(shop.app, payer.top_up(1_500_000, now_s))).json()["deposit"] == "2000000"
    stale = payer.top_up(3_000_000, now_s - 601)
    assert (await act(shop.app, stale)).slug == "statement-refused"
    dearer = statement(payer.id, 3_000_000, now_s, 1001)
    assert (await act(shop.app, replace(stale, statement=dearer))).slug == "statement-refused"
    assert (await act(shop.app, payer.raise_to(2_000_001))).slug == "voucher-refused"
    assert (await act(shop.app, payer.raise_to(2_000_000))).json()["ceiling"] == "2000000"


async def test_a_second_process_of_an_agent_adds_its_own_session(shop: Shop, payer: Payer) -> None:
    first_key, first_receipts = payer.tick_key, payer.receipt_key
    action = await new_session(shop, payer, first=16)
    assert (await act(shop.app, action)).status == 200
    assert (await shop.pay(payer, 1, lane=16)).status == 200
    payer.tick_key, payer.receipt_key = first_key, first_receipts
    assert (await shop.pay(payer, 2, lane=0)).status == 200
    assert shop.channel(payer).charged == 300


@pytest.mark.parametrize(("first", "count"), [(0, 16), (15, 2), (5, 1), (0, 1000)])
async def test_overlapping_lanes_of_another_session_are_refused(
    shop: Shop, payer: Payer, first: int, count: int
) -> None:
    before = payer.tick_key
    got = await act(shop.app, await new_session(shop, payer, first, count))
    assert (got.status, got.slug) == (409, "state-conflict")
    payer.tick_key = before
    assert (await shop.pay(payer, 2)).status == 200


async def test_an_expired_session_makes_room_and_its_seqs_stay_used(
    shop: Shop, payer: Payer
) -> None:
    await shop.pay(payer, 2)
    shop.clock.forward(86_400)
    assert (await act(shop.app, await new_session(shop, payer, 0))).status == 200
    assert (await shop.pay(payer, 2)).slug == "tick-refused"
    assert (await shop.pay(payer, 3)).status == 200


async def test_a_closed_lane_is_signed_and_says_the_same_again(shop: Shop, payer: Payer) -> None:
    await asyncio.gather(*(shop.pay(payer, seq, lane=3) for seq in range(1, 5)))
    first = (await act(shop.app, payer.close_lane(3))).json()
    assert (first["lane"], first["charged"]) == (3, "400")
    notice = LaneClosed(payer.id, 3, 400)
    signature = base64url.decode_exact(first["signature"], "signature", 64)
    assert verify_signature(PAYEE, notice.signing_bytes(), signature)
    assert (await act(shop.app, payer.close_lane(3))).json() == first
    assert (await shop.pay(payer, 5, lane=3)).slug == "lane-closed"
    assert (await shop.pay(payer, 4, lane=3)).status == 200, "a repeat is still answered"
    assert (await shop.pay(payer, 2, lane=0)).status == 200


async def test_a_lane_closes_after_what_is_in_flight_on_it(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send)

    shop.handle = slow
    running = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(act(shop.app, payer.close_lane(0)))
    await asyncio.sleep(0.01)
    assert not closing.done()
    assert (await shop.pay(payer, 3)).slug == "lane-closed"
    gate.set()
    assert (await running).status == 200
    assert (await closing).json()["charged"] == "200"


async def test_a_lane_that_was_never_used_closes_for_good(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        await shop.open(payer)
        assert (await act(shop.app, payer.close_lane(9))).json()["charged"] == "0"
    async with Shop(tmp_path, clock=shop.clock) as later:
        assert (await later.pay(payer, 1, lane=9)).slug == "lane-closed"
        assert (await act(later.app, payer.close_lane(9))).json()["charged"] == "0"
        assert (await act(later.app, payer.close_lane(99))).slug == "session-expired"


async def test_only_the_64_newest_lanes_are_open(shop: Shop) -> None:
    payer = Payer()
    asked = request_of(await call(shop.app))
    payer.make_session(asked.payee_x25519, shop.clock.now_s + 1000, count=100)
    await shop.open(payer)
    for lane in range(1, 70):
        assert (await shop.pay(payer, 1, lane=lane)).status == 200
    assert (await shop.pay(payer, 2, lane=5)).slug == "lane-closed"
    assert (await shop.pay(payer, 2, lane=6)).status == 200
    assert len(shop.channel(payer).lanes) == 64
    assert (await act(shop.app, payer.close_lane(5))).json()["charged"] == "100"
    assert (await shop.pay(payer, 1, lane=5)).status == 200, "its repeat is still answered"


async def test_lanes_that_are_closed_unused_leave_few_rows(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        asked = request_of(await call(shop.app))
        payer.make_session(asked.payee_x25519, shop.clock.now_s + 1000, count=1000)
        await shop.open(payer)
        for lane in (*range(1, 200), *range(100), 300, 250, 240):
            shop.clock.forward(0.1)  # the session URL is rate-limited
            got = (await act(shop.app, payer.close_lane(lane))).json()
            assert got["charged"] == ("100" if lane == 0 else "0")
        stored = [lane for lane in range(1000) if shop.paywall.till.store.lane(1, lane)]
        assert len(stored) <= LANES_MAX + 2
        assert 0 in stored
    async with Shop(tmp_path, clock=shop.clock) as later:
        for lane in (0, 1, 50, 199, 240, 250):
            assert (await later.pay(payer, 2, lane=lane)).slug == "lane-closed"
        assert (await later.pay(payer, 1, lane=0)).status == 200, "its repeat is still answered"
        assert (await later.pay(payer, 1, lane=400)).status == 200


async def test_a_used_tick_of_a_forgotten_session_is_not_called_expired(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        asked = request_of(await call(shop.app))
        payer.make_session(asked.payee_x25519, shop.clock.now_s + 10)
        await shop.open(payer)
        used, unused = payer.tick(1), payer.tick(2)
        for number in range(1, SESSIONS_MAX + 1):
            shop.clock.forward(SESSION_KEPT_S)
            payer.make_session(asked.payee_x25519, shop.clock.now_s + 10, first=number * 16)
            action = payer.open_action(asked.payee_x25519, shop.clock.now_s)
            assert (await act(shop.app, action)).status == 200
    async with Shop(tmp_path, clock=shop.clock) as later:
        assert len(later.channel(payer).sessions) == SESSIONS_MAX
        for tick, slug in ((used, "tick-refused"), (unused, "session-expired")):
            got = await call(later.app, headers={"Payment-Tick": tick})
            assert (got.status, got.slug) == (402, slug)


async def test_closing_redeems_everything_at_once(shop: Shop, payer: Payer) -> None:
    await shop.pay(payer, 2)
    got = await act(shop.app, payer.close())
    assert got.json()["state"] == "closed"
    assert got.json()["redeemed"] == "200"
    claim = shop.hub.claims[-1]
    assert (claim.cumulative, claim.final) == (200, True)
    assert claim.voucher == payer.voucher(50_000)
    assert (await act(shop.app, payer.close())).json() == got.json()


async def test_closing_waits_for_calls_in_flight(shop: Shop, payer: Payer) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send)

    shop.handle = slow
    running = asyncio.create_task(shop.pay(payer, 2))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(act(shop.app, payer.close()))
    await asyncio.sleep(0.01)
    assert not closing.done()
    gate.set()
    assert (await running).status == 200
    assert (await closing).json()["redeemed"] == "200"
    assert shop.hub.redeemed[payer.id] == 200


async def test_a_channel_without_charges_closes_too(shop: Shop) -> None:
    payer = Payer()
    asked = request_of(await call(shop.app))
    await act(shop.app, payer.open_action(asked.payee_x25519, shop.clock.now_s))
    assert (await act(shop.app, payer.close())).json()["state"] == "closed"
    assert (shop.hub.claims[-1].cumulative, shop.hub.claims[-1].final) == (0, True)


async def test_half_of_the_cap_starts_a_redemption(tmp_path: Path) -> None:
    async with Shop(tmp_path, cap=1000) as shop:
        payer = Payer()
        await shop.open(payer)
        for seq in range(2, 6):
            await shop.pay(payer, seq)
        await until(lambda: shop.channel(payer).redeemed == 500)
        assert shop.channel(payer).hub.units == 0
        assert shop.channel(payer).state.name == "OPEN"


async def test_an_unknown_outcome_repeats_exactly_the_same_claim(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        await shop.open(payer)
        shop.hub.loses_answer = True
        with pytest.raises(Exception, match="lost"):
            await shop.paywall.redeem()
        await shop.pay(payer, 2)
        with pytest.raises(Exception, match="lost"):
            await shop.paywall.redeem()
    shop.hub.loses_answer = False
    async with Shop(tmp_path, clock=shop.clock, hub=shop.hub) as later:
        await later.paywall.redeem()
        assert later.channel(payer).redeemed == 200
    cumulatives = [claim.cumulative for claim in shop.hub.claims]
    assert cumulatives[:-1] == [100] * (len(cumulatives) - 1)
    assert cumulatives[-1] == 200
    assert shop.hub.balance == 200


async def test_the_stop_redeems_what_is_left(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        await shop.open(payer)
    assert shop.hub.redeemed[payer.id] == 100
    assert shop.hub.is_closed


async def test_many_channels_are_redeemed_in_batches(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        asked = request_of(await call(shop.app))
        payers = [Payer(f"p{n}") for n in range(130)]
        for payer in payers:
            action = payer.open_action(asked.payee_x25519, shop.clock.now_s)
            shop.paywall.till.open(action, shop.clock())
            assert (await shop.pay(payer, 1)).status == 200
        sizes: list[int] = []
        redeem = shop.hub.redeem

        async def counted(claims: Any) -> Any:
            sizes.append(len(claims))
            return await redeem(claims)

        shop.hub.redeem = counted  # type: ignore[method-assign]
        await shop.paywall.redeem()
        assert sizes == [100, 30]
        assert shop.hub.balance == 13_000


async def test_channels_that_payers_close_at_the_hub_are_redeemed(tmp_path: Path) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        shop.hub.is_down = True
        await shop.open(payer)
    hub = FakeHub(closing=[SimpleNamespace(channel=payer.id), SimpleNamespace(channel=bytes(32))])
    async with Shop(tmp_path, clock=shop.clock, hub=hub) as later:
        await until(lambda: payer.id in hub.closed)
        assert hub.redeemed[payer.id] == 100
        assert (await later.pay(payer, 2)).slug == "channel-unknown"


async def test_a_refused_redemption_stops_the_channel_and_not_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Shop(tmp_path) as shop:
        payer = Payer()
        await shop.open(payer)
        shop.hub.refuse = ProblemInfo("state-conflict", "the channel is closed")
        await shop.paywall.redeem()
        assert "the channel is closed" in caplog.text
        assert (await shop.pay(payer, 2)).slug == "channel-unknown"
        shop.hub.refuse = None
        other = Payer("other")
        assert (await shop.open(other)).status == 200


async def test_what_a_node_closed_unredeemed_is_written_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Shop(tmp_path, cap=1000) as shop:
        payer = Payer()
        await shop.open(payer)
        for seq in range(2, 6):
            await shop.pay(payer, seq)
        shop.hub.refuse = ProblemInfo("state-conflict", "the channel is closed")
        shop.hub.redeemed[payer.id] = 100
        view = SimpleNamespace(state=HubChannelState.CLOSED, redeemed=200)
        shop.hub.views[payer.id] = view
        await shop.paywall.redeem()
        channel = shop.channel(payer)
        assert (channel.state, channel.redeemed, channel.hub.units) == (ChannelState.CLOSED, 200, 0)
        assert "300 units are lost" in caplog.text
        assert "count against its cap" not in caplog.text
        asked = len(shop.hub.claims)
        await shop.paywall.redeem()
        assert len(shop.hub.claims) == asked
    async with Shop(tmp_path, clock=shop.clock, cap=1000) as later:
        assert later.channel(payer).state is ChannelState.CLOSED
        assert later.channel(payer).hub.units == 0


async def test_a_node_that_closes_at_will_gets_its_cap_anew_only_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Shop(tmp_path, cap=300) as shop:
        shop.hub.refuse = ProblemInfo("state-conflict", "the channel is closed")
        got: list[str | int] = []
        for number in range(8):
            payer = Payer(f"thief {number}")
            view = SimpleNamespace(state=HubChannelState.CLOSED, redeemed=0)
            shop.hub.views[payer.id] = view
            answered = await shop.open(payer)
            got.append(answered.status if answered.status == 200 else answered.slug)
            await shop.paywall.redeem()
        assert got == [200] * 6 + ["cap-exceeded"] * 2
        assert "count against its cap until this seller starts anew" in caplog.text


async def test_what_is_above_the_limit_is_swept_out(tmp_path: Path) -> None:
    sweep = Sweep(150, "asset", "address", 10)
    async with Shop(tmp_path, sweep=sweep) as shop:
        payer = Payer()
        await shop.open(payer)
        await shop.paywall.redeem()
        assert shop.hub.withdrawals == []
        await shop.pay(payer, 2)
        await shop.paywall.redeem()
        assert [units for _, units in shop.hub.withdrawals] == [190]
        assert shop.hub.balance == 0


async def test_the_session_url_takes_nothing_else(shop: Shop) -> None:
    url = "/aisa/session"
    for body in (b"", b"{}", b"[]", b'{"action":"steal"}', b"x" * 5000):
        got = await call(shop.app, url, method="POST", body=body)
        assert (got.status, got.slug) == (400, "malformed-message")
    assert (await call(shop.app, url, method="POST", body=b"x" * 9000)).status == 413
    assert (await call(shop.app, url)).status == 404
    assert (await call(shop.app, url, method="OPTIONS")).status == 204
    receipts = f"{url}/receipts"
    for query in ("", "channel=x&lane=0&seq=1", f"channel={'A' * 43}&lane=-1&seq=1", "q" * 600):
        assert (await call(shop.app, receipts, query=query)).status == 400
    unknown = f"channel={'A' * 43}&lane=0&seq=1"
    assert (await call(shop.app, receipts, query=unknown)).slug == "channel-unknown"


async def test_the_session_url_is_rate_limited_too(shop: Shop) -> None:
    for _ in range(501):
        got = await call(shop.app, "/aisa/session", method="POST", body=b"{}")
    assert (got.status, got.slug) == (429, "rate-limited")


async def until(holds: Any) -> None:
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true")


async def test_a_repeat_is_known_after_its_session_was_replaced_and_the_seller_restarted(
    tmp_path: Path,
) -> None:
    payer = Payer()
    async with Shop(tmp_path) as shop:
        payee_x25519 = request_of(await call(shop.app)).payee_x25519
        payer.make_session(payee_x25519, shop.clock.now_s + 60)
        assert (
            await act(shop.app, payer.open_action(payee_x25519, shop.clock.now_s))
        ).status == 200
        tick = payer.tick(1)
        first = await call(shop.app, headers={"Payment-Tick": tick})
        assert first.status == 200
    shop.clock.forward(61)
    async with Shop(tmp_path, clock=shop.clock) as later:
        payer.make_session(payee_x25519, later.clock.now_s + 60, first=16)
        assert (
            await act(later.app, payer.open_action(payee_x25519, later.clock.now_s))
        ).status == 200
        again = await call(later.app, headers={"Payment-Tick": tick})
        assert (again.status, again.body) == (200, first.body)
        assert later.channel(payer).charged == 100
