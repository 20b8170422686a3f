from __future__ import annotations

import asyncio
from typing import Any

import pytest
from solders.keypair import Keypair

from aisa.errors import (
    ConfigInvalid,
    InvalidRequest,
    LedgerCorrupt,
    RailError,
    RailUnavailable,
)
from aisa.money import Token
from aisa.settlement import Failed, FailureReason, Outgoing, Settled, Unknown
from aisa.settlement.solana import SolanaRail, SolanaSettings
from tests.unit.settlement.solana_bench import Bench

EXPIRED_SLOTS = 150 + 32 + 2 + 1


def stranger() -> str:
    return str(Keypair().pubkey())


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def settled(bench: Bench, rail: SolanaRail, outgoing: Outgoing) -> Any:
    """Send while slots pass."""
    task = asyncio.create_task(rail.send(outgoing))
    while not task.done():
        bench.pass_slots(1)
        await asyncio.sleep(0.002)
    return await task


async def deposit(bench: Bench, rail: SolanaRail, account: str, units: int) -> str:
    request = await rail.request(bench.token, account)
    bench.pay(bench.payer(units), request.address, units)
    return request.address


async def test_five_deposits_and_a_long_id_fit_into_one_chain_tx(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 0)
    addresses = [await deposit(bench, rail, f"account:{n}:aiUSD", 100) for n in range(6)]
    to = stranger()
    outcome = await settled(bench, rail, Outgoing("w" * 64, bench.token, 450, to))
    assert isinstance(outcome, Settled)
    assert bench.units(to) == 450
    assert sorted(bench.units(one) for one in addresses) == [0, 0, 0, 0, 50, 100]
    fee = await rail.fees(outcome.reference)
    assert fee.units == 6 * 5_000
    assert fee.asset == f"{rail.network}/slip44:501"


async def test_many_small_deposits_are_swept_together_first(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 0)
    for n in range(12):
        await deposit(bench, rail, f"account:{n}:aiUSD", 10 + n)
    total = sum(10 + n for n in range(12))
    to = stranger()
    assert isinstance(await settled(bench, rail, Outgoing("w", bench.token, total, to)), Settled)
    assert bench.units(to) == total
    bench.pass_slots(2)
    assert (await rail.holdings())[bench.token] == 0
    told = (await rail.incoming(b"")).deposits
    assert sum(one.units for one in told) == total, "a sweep is no deposit"


async def test_the_treasury_pays_alone_when_it_can(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 500)
    address = await deposit(bench, rail, "account:a:aiUSD", 900)
    await settled(bench, rail, Outgoing("w", bench.token, 400, stranger()))
    assert (bench.units(rail.treasury), bench.units(address)) == (100, 900)


async def test_open_sends_are_not_promised_twice(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=0.05)
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "delay", "slots": 50})
    first = await rail.send(Outgoing("w1", bench.token, 700, stranger()))
    assert isinstance(first, Unknown)
    with pytest.raises(RailUnavailable, match="can send 300"):
        await rail.send(Outgoing("w2", bench.token, 700, stranger()))
    assert (await rail.liquidity())[0].units_sendable == 300


async def test_without_sol_for_fees_nothing_is_sent(bench: Bench) -> None:
    rail = bench.rail()
    bench.fund(rail.treasury, 1_000, lamports=900_000)
    with pytest.raises(RailUnavailable, match="lamports") as caught:
        await rail.send(Outgoing("w", bench.token, 1, stranger()))
    assert rail.treasury in caught.value.hint
    assert bench.journal.bodies == {}
    assert "sendTransaction" not in {method for _, method in bench.wire.calls}


async def test_an_expired_blockhash_is_not_signed_on(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "stale_blockhash", "count": 2})
    assert isinstance(
        await settled(bench, rail, Outgoing("w1", bench.token, 1, stranger())), Settled
    )
    bench.devnet.call("aisa_fault", {"name": "stale_blockhash", "count": 3})
    with pytest.raises(RailUnavailable, match="expired blockhashes"):
        await rail.send(Outgoing("w2", bench.token, 1, stranger()))
    assert set(bench.journal.bodies) == {"w1"}


async def test_what_the_network_would_refuse_is_never_signed(bench: Bench) -> None:
    rail = bench.rail()
    bench.fund(rail.treasury, 1_000)
    bench.wire.tampers["*", "simulateTransaction"] = lambda result: {
        **result,
        "value": {"err": {"InstructionError": [1, "InvalidAccountData"]}},
    }
    with pytest.raises(RailError, match="InvalidAccountData"):
        await rail.send(Outgoing("w", bench.token, 1, stranger()))
    assert bench.journal.bodies == {}


async def test_a_failure_that_landed_is_never_called_settled(bench: Bench) -> None:
    """The status says finalized and carries an error: the error is looked at first."""
    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "land_with_error"})
    outcome = await settled(bench, rail, Outgoing("w", bench.token, 1, stranger()))
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.REFUSED
    assert outcome.reference is not None
    assert (await rail.fees(outcome.reference)).units == 10_000 - 5_000


async def test_a_failure_that_is_not_final_is_unknown(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=0.05)
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "land_with_error"})
    assert isinstance(await rail.send(Outgoing("w", bench.token, 1, stranger())), Unknown)
    bench.pass_slots(2)
    assert isinstance(await rail.look_up("w"), Failed)


async def test_expiry_needs_every_node_and_its_history(bench: Bench) -> None:
    rail = bench.rail(hosts="one two")
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "drop"})
    outgoing = Outgoing("w", bench.token, 1, stranger())
    assert isinstance(await rail.send(outgoing), Unknown)
    bench.devnet.call("aisa_fault", {"name": "drop", "count": 100})
    bench.pass_slots(151)
    assert isinstance(await rail.look_up("w"), Unknown), "within the margin"
    bench.pass_slots(EXPIRED_SLOTS - 151)
    for host, method, tamper in (
        ("two", "getBlockHeight", lambda height: height - 1_000),
        ("two", "getFirstAvailableBlock", lambda slot: slot + 10_000),
    ):
        bench.wire.tampers[host, method] = tamper
        assert isinstance(await rail.look_up("w"), Unknown), method
        bench.wire.tampers.clear()
    bench.wire.statuses["two"] = 503
    assert isinstance(await rail.look_up("w"), Unknown), "a silent node proves nothing"
    bench.wire.statuses.clear()
    outcome = await rail.look_up("w")
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.EXPIRED


async def test_one_node_that_saw_it_land_is_enough(bench: Bench) -> None:
    rail = bench.rail(hosts="one two", send_timeout_s=0.05)
    bench.fund(rail.treasury, 1_000)
    bench.wire.tampers["one", "getSignatureStatuses"] = lambda result: {
        **result,
        "value": [None],
    }
    assert isinstance(await rail.send(Outgoing("w", bench.token, 1, stranger())), Unknown)
    bench.pass_slots(EXPIRED_SLOTS)
    assert isinstance(await rail.look_up("w"), Settled)


async def test_a_lost_send_is_repeated_while_it_can_land(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5, rebroadcast_s=0.02)
    bench.fund(rail.treasury, 1_000)
    bench.devnet.call("aisa_fault", {"name": "drop", "count": 2})
    to = stranger()
    assert isinstance(await settled(bench, rail, Outgoing("w", bench.token, 9, to)), Settled)
    assert bench.units(to) == 9


@pytest.mark.parametrize("silence", [0, 200, 429, 503])
async def test_another_node_is_asked_when_one_is_silent(bench: Bench, silence: int) -> None:
    rail = bench.rail(hosts="one two", send_timeout_s=5)
    bench.fund(rail.treasury, 1_000)
    await rail.request(bench.token, "account:a:aiUSD")
    bench.wire.statuses["one"] = silence
    bench.wire.bodies["one"] = b"<html>busy</html>"
    assert isinstance(
        await settled(bench, rail, Outgoing("w", bench.token, 9, stranger())), Settled
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id":0,"result":{"value":"x"}}', b"\xff"])
async def test_a_node_that_talks_nonsense_is_refused(bench: Bench, body: bytes) -> None:
    rail = bench.rail()
    bench.wire.bodies["one"] = body
    for ask in (rail.holdings, lambda: rail.incoming(b""), rail.conditions):
        with pytest.raises(RailUnavailable):
            await ask()
    with pytest.raises(RailUnavailable):
        await rail.send(Outgoing("w", bench.token, 1, stranger()))
    assert bench.journal.bodies == {}


async def test_an_rpc_of_another_network_is_refused(bench: Bench) -> None:
    rail = bench.rail()
    await rail.check_network()
    bench.wire.tampers["*", "getGenesisHash"] = lambda _: stranger()
    with pytest.raises(ConfigInvalid, match="not of"):
        await rail.check_network()


async def test_a_foreign_token_is_refused_at_construction(bench: Bench) -> None:
    bench.tokens = (Token("X", "x", "solana:else", "solana:else/token:x", 6, "aiUSD"),)
    with pytest.raises(ConfigInvalid):
        bench.rail()


async def test_another_seed_does_not_take_over_given_addresses(bench: Bench) -> None:
    await bench.rail().request(bench.token, "account:a:aiUSD")
    other = bench.rail(seed=bytes(32))
    with pytest.raises(ConfigInvalid, match="seed"):
        await other.holdings()


async def test_a_frozen_destination_is_refused(bench: Bench) -> None:
    rail = bench.rail()
    bench.fund(rail.treasury, 1_000)
    to = Keypair()
    bench.fund(str(to.pubkey()), 1)
    chain = bench.devnet.chain
    tx_keys = [one for one in chain.touched if bench.units(str(to.pubkey())) == 1]
    chain._freeze(tx_keys)
    with pytest.raises(InvalidRequest, match="frozen"):
        await rail.send(Outgoing("w", bench.token, 1, str(to.pubkey())))


async def test_a_token_account_can_be_the_destination(bench: Bench) -> None:
    from aisa.settlement.solana.keys import token_account

    rail = bench.rail(send_timeout_s=5)
    bench.fund(rail.treasury, 1_000)
    to = Keypair().pubkey()
    bench.fund(str(to), 1)
    account = str(token_account(to, bench.mint))
    assert isinstance(await settled(bench, rail, Outgoing("w", bench.token, 10, account)), Settled)
    assert bench.units(str(to)) == 11


@pytest.mark.parametrize("bad", ["", "x" * 65, "ü"])
async def test_an_id_that_fits_no_memo_is_refused(bench: Bench, bad: str) -> None:
    with pytest.raises(InvalidRequest):
        await bench.rail().send(Outgoing(bad, bench.token, 1, stranger()))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"version":2}'])
async def test_a_journal_of_someone_else_is_not_guessed_at(bench: Bench, body: bytes) -> None:
    bench.journal.bodies["w"] = body
    with pytest.raises(LedgerCorrupt):
        await bench.rail().look_up("w")


async def test_a_priority_price_is_paid_within_the_limit(bench: Bench) -> None:
    rail = bench.rail(send_timeout_s=5, priority_price_max=50_000)
    bench.fund(rail.treasury, 1_000)
    bench.wire.tampers["*", "getRecentPrioritizationFees"] = lambda rows: [
        {**row, "prioritizationFee": 80_000} for row in rows
    ]
    to = stranger()
    quote = await rail.quote(bench.token, 1, to)
    outcome = await settled(bench, rail, Outgoing("w", bench.token, 1, to))
    assert isinstance(outcome, Settled)
    fee = await rail.fees(outcome.reference)
    assert fee.units == 5_000 + 96_000 * 50_000 // 1_000_000
    assert fee.units <= quote.fee_units
    assert (await rail.conditions()).congestion_ppm == 1_000_000


@pytest.mark.parametrize(
    "settings", [{"finality": "processed"}, {"expiry_margin": -1}, {"poll_s": 0}]
)
def test_settings_that_cannot_work_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigInvalid):
        SolanaSettings(**settings)


def test_no_secret_is_shown(bench: Bench) -> None:
    rail = bench.rail()
    assert SEED_HEX not in repr(rail._keys)
    assert rail.treasury in repr(rail._keys)


async def test_a_url_is_used_whole(bench: Bench) -> None:
    from aisa.settlement.solana.rpc import SolanaRpc

    rpc = SolanaRpc(["http://one.test/v2/key?token=1"], transport=bench.wire)
    assert await rpc.call(str, "getHealth") == "ok"
    assert bench.wire.urls == ["http://one.test/v2/key?token=1"]


SEED_HEX = bytes(range(32)).hex()
