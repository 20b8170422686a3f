from __future__ import annotations

from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from aisa.devnet.solana import instruction as ix
from aisa.settlement.solana import rota, watcher
from tests.unit.settlement.solana_bench import Bench

ALICE = "account:aa:aiUSD"
BOB = "account:bb:aiUSD"


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_one_chain_tx_may_credit_two_accounts(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    bob = await rail.request(bench.token, BOB)
    payer = bench.payer(1_000)
    steps: list[Any] = []
    for address, units in ((alice.address, 100), (bob.address, 200), (alice.address, 3)):
        owner = Pubkey.from_string(address)
        account = ix.token_account(owner, bench.mint)
        steps += [
            ix.create_token_account(payer.pubkey(), owner, bench.mint),
            ix.transfer_tokens(payer.pubkey(), bench.mint, account, units, 6),
        ]
    reference = bench.carry_out(payer, *steps)
    bench.pass_slots(2)
    deposits = (await rail.incoming(b"")).deposits
    assert {(one.account, one.units) for one in deposits} == {(ALICE, 103), (BOB, 200)}
    assert {one.reference for one in deposits} == {reference}
    assert len({one.id for one in deposits}) == 2


async def test_a_failed_payment_is_no_deposit(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    payer = bench.payer(10)
    bench.pay(payer, alice.address, 1)
    owner = Pubkey.from_string(alice.address)
    too_much = ix.transfer_tokens(
        payer.pubkey(), bench.mint, ix.token_account(owner, bench.mint), 10_000, 6
    )
    bench.carry_out(payer, too_much, skip_preflight=True)
    bench.pass_slots(2)
    assert [one.units for one in (await rail.incoming(b"")).deposits] == [1]


async def test_each_token_of_the_rail_is_told_by_its_name(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    payer = bench.payer(10)
    wish = {"mint": bench.usdc.reference, "owner": str(payer.pubkey()), "units": "9"}
    bench.devnet.call("aisa_mint", wish)
    bench.pay(payer, alice.address, 4)
    bench.pay(payer, alice.address, 5, bench.usdc)
    bench.pass_slots(2)
    deposits = (await rail.incoming(b"")).deposits
    assert [(one.token, one.units) for one in deposits] == [(bench.token, 4), (bench.usdc, 5)]
    assert await rail.holdings() == {bench.token: 4, bench.usdc: 5}


async def test_a_chain_tx_that_a_node_lists_late_is_not_lost(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    payer = bench.payer(100)
    first = bench.pay(payer, alice.address, 1)
    bench.pass_slots(1)
    bench.pay(payer, alice.address, 2)
    bench.pass_slots(5)
    bench.wire.tampers["*", "getSignaturesForAddress"] = lambda rows: [
        row for row in rows if row["signature"] != first
    ]
    early = await rail.incoming(b"")
    assert [one.units for one in early.deposits] == [2]
    bench.wire.tampers.clear()
    late = await rail.incoming(early.cursor)
    assert [one.units for one in late.deposits] == [1]
    assert (await rail.incoming(late.cursor)).deposits == ()


async def test_a_chain_tx_that_is_listed_but_not_readable_is_waited_for(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    payer = bench.payer(100)
    bench.pay(payer, alice.address, 1)
    bench.pass_slots(100)
    bench.pay(payer, alice.address, 2)
    bench.pass_slots(2)
    hidden = {"count": 1}

    def hide_newest(landed: Any) -> Any:
        amount = landed["meta"]["postTokenBalances"]
        is_second = any(row["uiTokenAmount"]["amount"] == "3" for row in amount)
        return None if is_second and hidden["count"] else landed

    bench.wire.tampers["*", "getTransaction"] = hide_newest
    early = await rail.incoming(b"")
    assert [one.units for one in early.deposits] == [1]
    assert (await rail.incoming(early.cursor)).deposits == ()
    hidden["count"] = 0
    late = await rail.incoming(early.cursor)
    assert [one.units for one in late.deposits] == [2]


async def test_what_is_not_final_waits(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    bench.pay(bench.payer(100), alice.address, 1)
    first = await rail.incoming(b"")
    bench.pass_slots(1)
    second = await rail.incoming(first.cursor)
    bench.pass_slots(1)
    third = await rail.incoming(second.cursor)
    assert [len(one.deposits) for one in (first, second, third)] == [0, 0, 1]


async def test_long_histories_are_paged_and_told_in_pieces(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_PAGE", 4)
    monkeypatch.setattr(watcher, "_EVENTS_MAX", 5)
    rail = bench.rail(overlap_slots=3)
    requests = [await rail.request(bench.token, account) for account in (ALICE, BOB)]
    payer = bench.payer(10_000)
    for n in range(24):
        bench.pay(payer, requests[n % 2].address, n + 1)
        if n % 3 == 2:
            bench.pass_slots(1)
    bench.pass_slots(2)
    cursor, told = b"", list[int]()
    rounds = 0
    while True:
        found = await rail.incoming(cursor)
        if not found.deposits:
            break
        assert len(found.deposits) <= 6
        told += [one.units for one in found.deposits]
        cursor = found.cursor
        rounds += 1
    assert sorted(told) == list(range(1, 25))
    assert rounds >= 4
    assert len(cursor) < 500, "the cursor forgets what is out of its overlap"


async def test_payments_out_of_a_deposit_account_are_no_deposits(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    bench.fund(rail.treasury, 0)
    bench.pay(bench.payer(100), alice.address, 60)
    bench.pass_slots(2)
    first = await rail.incoming(b"")
    from aisa.settlement import Outgoing

    await rail.send(Outgoing("w", bench.token, 50, str(Keypair().pubkey())))
    bench.pass_slots(2)
    assert (await rail.incoming(first.cursor)).deposits == ()


async def test_the_cursor_of_an_idle_rail_moves_on(bench: Bench) -> None:
    rail = bench.rail()
    bench.pass_slots(1_000)
    first = await rail.incoming(b"")
    bench.pass_slots(1_000)
    second = await rail.incoming(first.cursor)
    assert first.cursor != second.cursor
    assert second.deposits == ()


async def test_unused_addresses_are_read_less_often_and_nothing_is_lost(bench: Bench) -> None:
    rail = bench.rail()
    idle = [await rail.request(bench.token, f"account:{n:02}:aiUSD") for n in range(10)]
    used = await rail.request(bench.token, ALICE)
    payer = bench.payer(10_000)
    bench.pay(payer, used.address, 1)
    bench.pass_slots(2)
    cursor = (await rail.incoming(b"")).cursor

    async def reads(rounds: int, round_ms: int) -> int:
        nonlocal cursor
        before = len(bench.wire.calls)
        for _ in range(rounds):
            bench.now_ms += round_ms
            found = await rail.incoming(cursor)
            assert found.deposits == ()
            cursor = found.cursor
        calls = bench.wire.calls[before:]
        return sum(method == "getSignaturesForAddress" for _, method in calls)

    tokens = len(bench.tokens)
    assert await reads(3, 1_000) == 3 * 11 * tokens, "in the first hour all are read in each round"
    bench.now_ms += 3 * rota.ALWAYS_MS
    await reads(1, 0)
    # Of an hour's 360 rounds an idle address has 12 to 25; what was used once has all of them.
    many = await reads(360, 10_000)
    assert 360 <= many <= 361 * (2 * tokens - 1) + 25 * 11 * tokens
    assert many < 360 * 11 * tokens // 3
    assert await reads(1, rota.PAUSE_MS_MAX) == 11 * tokens

    for units, request in enumerate([*idle, used], 100):
        bench.pay(payer, request.address, units)
    bench.pass_slots(500)  # far beyond the overlap
    bench.pay(payer, used.address, 99)
    bench.pass_slots(2)
    early = await rail.incoming(cursor)
    told = [one.units for one in early.deposits]
    assert {99, 110} <= set(told)
    # Another process, which must find the rest from the cursor alone, and tell nothing twice.
    late = await bench.rail().incoming(early.cursor)
    told += [one.units for one in late.deposits]
    assert sorted(told) == list(range(99, 111))
    assert len(early.deposits) < 12
    bench.now_ms += rota.PAUSE_MS_MAX
    again = await rail.incoming(early.cursor)
    assert len(again.deposits) + len(early.deposits) == 12
    assert (await rail.incoming(again.cursor)).deposits == ()


async def test_a_long_cursor_makes_a_round_of_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_SEEN_MAX", 5)
    rail = bench.rail(overlap_slots=1)
    await rail.request(bench.token, BOB)
    used = await rail.request(bench.token, ALICE)
    bench.now_ms += 3 * rota.ALWAYS_MS
    payer = bench.payer(1_000)
    cursor, longest = b"", 0
    for n in range(30):
        bench.pay(payer, used.address, n + 1)
        bench.pass_slots(3)
        found = await rail.incoming(cursor)
        assert len(found.deposits) == 1
        cursor = found.cursor
        longest = max(longest, len(watcher.parse_mark(cursor).seen))
    assert 5 < longest <= 8


def test_the_pause_of_an_unused_address_grows_to_five_minutes() -> None:
    hour_ms = 3_600_000
    ages_ms = [-1, 0, hour_ms, hour_ms + 12_000, 2 * hour_ms, 2000 * hour_ms]
    assert [rota.pause_ms(age_ms) for age_ms in ages_ms] == [0, 0, 0, 1000, 300_000, 300_000]


async def test_a_clock_that_is_set_back_delays_no_deposit(bench: Bench) -> None:
    rail = bench.rail()
    alice = await rail.request(bench.token, ALICE)
    bench.now_ms += 3 * rota.ALWAYS_MS
    cursor = (await rail.incoming(b"")).cursor
    bench.pay(bench.payer(10), alice.address, 1)
    bench.pass_slots(2)
    assert (await rail.incoming(cursor)).deposits == ()
    turns = rail._watcher._rota
    watched = list(rail._watcher._watched)
    assert turns.due(watched, bench.now_ms) == []
    assert turns.due(watched, bench.now_ms - 60_000) == watched
