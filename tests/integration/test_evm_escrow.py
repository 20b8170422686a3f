"""Channels in the escrow of a real EVM chain: opened, claimed, settled, left; each thing once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.proxy import RpcProxy
from aisa.errors import (
    ConfigInvalid,
    IdempotencyMismatch,
    InvalidRequest,
    RailError,
    RailUnavailable,
)
from aisa.identity import EvmKey
from aisa.protocol.evm_address import format_address, format_bytes, parse_address
from aisa.protocol.x402.batch import claims_digest, refund_digest
from aisa.settlement import Failed, FailureReason, PullProblem, Settled, Unknown
from aisa.settlement.escrow import SignedDeposit
from aisa.settlement.evm import EscrowSettings
from tests.integration.escrow_world import DELAY_S, HELD, EscrowWorld, own_settings
from tests.integration.evm_world import CONFIRMATIONS, now_ms

pytestmark = pytest.mark.network

STRANGER = EvmKey(b"\x51" * 32)


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EscrowWorld]:
    world = EscrowWorld(ethereum)
    yield world
    await world.close()


async def used(world: EscrowWorld) -> int:
    return world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest")


@pytest.mark.parametrize("symbol", ["aiUSD", "test-USDC"])
@pytest.mark.parametrize("is_own", [False, True])
async def test_the_life_of_a_channel(ethereum: EthereumDevnet, symbol: str, is_own: bool) -> None:
    world = EscrowWorld(ethereum, symbol, own_settings(ethereum) if is_own else None)
    escrow, config = world.escrow, world.config()
    await escrow.check_contract()
    first, more = await world.deposit(config, 600), await world.deposit(config, 400)
    assert (await escrow.check_deposit(first)).is_valid
    async with world.pulsing():
        assert isinstance(await escrow.deposit("open", first), Settled)
        assert isinstance(await escrow.deposit("top-up", more), Settled)
        assert await world.channels(config) == [(1_000, 0)]
        assert await world.units(format_address(world.payer.address)) == HELD - 1_000

        claim = world.claim(config, 350, ceiling=500)
        assert isinstance(await escrow.claim("claim-1", [claim]), Settled)
        assert await world.channels(config) == [(1_000, 350)]
        assert (await escrow.earnings(config.receiver, world.token)).unsettled_units == 350
        assert isinstance(await escrow.settle("settle", config.receiver, world.token), Settled)
        assert await world.units(format_address(config.receiver)) == 350

        assert isinstance(await escrow.refund("close", config, 10_000), Settled)
    assert await world.channels(config) == [(350, 350)]
    assert await world.units(format_address(world.payer.address)) == HELD - 350
    assert (await escrow.earnings(config.receiver, world.token)).unsettled_units == 0
    await world.close()


async def test_a_deposit_by_permit2_of_a_token_without_eip3009(ethereum: EthereumDevnet) -> None:
    world = EscrowWorld(ethereum, "test-USDT")
    config = world.config()
    signed = world.permit2_deposit(config, 700)
    assert (await world.escrow.check_deposit(signed)).is_valid
    async with world.pulsing():
        assert isinstance(await world.escrow.deposit("open", signed), Settled)
    assert await world.channels(config) == [(700, 0)]
    assert (await world.escrow.check_deposit(signed)).problem is PullProblem.NONCE_USED
    other = replace(signed, config=world.config())
    assert (await world.escrow.check_deposit(other)).problem is PullProblem.SIGNATURE
    await world.close()


async def test_the_treasury_opens_and_leaves_a_channel_of_its_own(world: EscrowWorld) -> None:
    await world.hold(5_000)
    own = {"payer": world.escrow.operator, "payer_authorizer": bytes(20)}
    config = world.config(receiver_authorizer=world.receiver.address, **own)
    async with world.pulsing():
        funded = await asyncio.gather(
            world.escrow.fund("fund-1", config, 1_000), world.escrow.fund("fund-2", config, 500)
        )
        assert all(isinstance(one, Settled) for one in funded)
        again = await world.escrow.fund("fund-1", config, 1_000)
        assert again == funded[0]
        assert await world.channels(config) == [(1_500, 0)]
        assert await world.units(world.treasury) == 3_500
        begun = await world.escrow.begin_withdrawal("begin", config, 1_500)
        assert isinstance(begun, Settled)
        with pytest.raises(RailError):
            await world.escrow.end_withdrawal("too-early", config)
        world.devnet.control.pass_time(DELAY_S)
        assert isinstance(await world.escrow.end_withdrawal("end", config), Settled)
    assert await world.units(world.treasury) == 5_000
    with pytest.raises(InvalidRequest):
        await world.escrow.fund("other", world.config(), 5)


@pytest.mark.parametrize("count", [1, 10, 50])
async def test_many_channels_are_claimed_in_one_chain_tx(world: EscrowWorld, count: int) -> None:
    configs = [world.config() for _ in range(count)]
    signed = [await world.deposit(config, 1_000) for config in configs]
    async with world.pulsing():
        await asyncio.gather(
            *(world.escrow.deposit(f"open-{n}", one) for n, one in enumerate(signed))
        )
        before = await used(world)
        claims = [world.claim(config, 10 + n, 999) for n, config in enumerate(configs)]
        settled = await world.escrow.claim("claim", claims)
    assert isinstance(settled, Settled)
    assert await used(world) == before + 1
    assert await world.channels(*configs) == [(1_000, 10 + n) for n in range(count)]
    total = sum(10 + n for n in range(count))
    assert (
        await world.escrow.earnings(world.receiver.address, world.token)
    ).unsettled_units == total
    receipt = world.devnet.rpc.receipt(settled.reference)
    assert receipt is not None
    assert (
        int(str(receipt["gasUsed"]), 16) <= 60_000 + count * 20_000
    )  # what `claim_fee` reckons with


async def test_an_older_voucher_claims_nothing_and_is_not_sent(world: EscrowWorld) -> None:
    config, other = await world.opened(), await world.opened()
    async with world.pulsing():
        newer = world.claim(config, 300)
        assert isinstance(await world.escrow.claim("newer", [newer]), Settled)
        before = await used(world)
        for old in (newer, world.claim(config, 200), world.claim(config, 100, 900)):
            with pytest.raises(InvalidRequest, match="claimed before"):
                await world.escrow.claim(f"old-{old.claimed}", [old])
        assert await used(world) == before
        # Beside a row that claims something, it is left out.
        rows = [world.claim(config, 200), world.claim(other, 50)]
        assert isinstance(await world.escrow.claim("both", rows), Settled)
    assert await world.channels(config, other) == [(1_000, 300), (1_000, 50)]
    assert await world.escrow.claim("newer", [newer]) == await world.escrow.look_up("newer")
    with pytest.raises(IdempotencyMismatch):
        await world.escrow.claim("newer", [world.claim(config, 301)])


async def test_what_is_forged_is_refused_before_the_chain(world: EscrowWorld) -> None:
    config = await world.opened()
    foreign = replace(world.token, symbol="else")
    before = await used(world), dict(world.journal.bodies)
    good = world.claim(config, 300)
    keyless = world.config(payer_authorizer=bytes(20))
    wrong = [
        good._replace(ceiling=400),
        good._replace(claimed=301),
        good._replace(claimed=0),
        good._replace(signature=bytes(65)),
        good._replace(signature=good.signature[:64]),
        world.claim(config, 300, by=STRANGER),
        world.claim(world.config(), 300)._replace(config=config),
        world.claim(config, 1_001),
        world.claim(replace(config, withdraw_delay_s=DELAY_S - 1), 300),
        world.claim(replace(config, receiver_authorizer=STRANGER.address), 300),
        world.claim(replace(config, token=STRANGER.address), 300),
        world.claim(keyless, 300, by=STRANGER),
    ]
    for claim in wrong:
        with pytest.raises(InvalidRequest) as refused:
            await world.escrow.claim("forged", [good, claim] if claim.config != config else [claim])
        assert refused.value.facts["channel"], claim
    with pytest.raises(InvalidRequest):
        await world.escrow.claim("twice", [good, good])
    with pytest.raises(InvalidRequest):
        await world.escrow.settle("foreign", config.receiver, foreign)
    assert (await used(world), world.journal.bodies) == before


async def test_deposits_that_would_not_go_through_are_told(world: EscrowWorld) -> None:
    config, now_s = world.config(), now_ms() // 1000
    good = await world.deposit(config, 500)
    assert not isinstance(good.signed, type(None))
    poor = await world.deposit(config, HELD + 1)
    cases: dict[PullProblem, list[SignedDeposit]] = {
        PullProblem.SIGNATURE: [
            replace(good, units=501),
            replace(good, config=world.config()),
            replace(good, signed=replace(good.signed, salt=bytes(32))),
            replace(good, signed=replace(good.signed, signature=bytes(65))),
        ],
        PullProblem.EXPIRED: [await world.deposit(config, 500, valid_before=now_s + 3)],
        PullProblem.TOO_EARLY: [await world.deposit(config, 500, valid_after=now_s + 300)],
        PullProblem.BALANCE: [poor],
        PullProblem.UNSUPPORTED: [
            await world.deposit(replace(config, token=STRANGER.address), 500)
        ],
        PullProblem.MALFORMED: [
            replace(good, units=0),
            replace(good, units=2**128),
            await world.deposit(replace(config, withdraw_delay_s=DELAY_S - 1), 500),
            await world.deposit(replace(config, receiver=bytes(20)), 500),
            await world.deposit(replace(config, receiver=world.escrow_settings.contract), 500),
        ],
    }
    for problem, deposits in cases.items():
        for deposit in deposits:
            assert (await world.escrow.check_deposit(deposit)).problem is problem, deposit
            with pytest.raises(InvalidRequest) as refused:
                await world.escrow.deposit("bad", deposit)
            assert refused.value.facts["problem"] == str(problem)
    assert (await used(world), world.journal.bodies) == (0, {})


async def test_one_id_opens_once_and_one_signature_is_used_once(world: EscrowWorld) -> None:
    config = world.config()
    signed = await world.deposit(config, 500)
    async with world.pulsing():
        outcomes = await asyncio.gather(*(world.escrow.deposit("open", signed) for _ in range(50)))
        assert len(set(outcomes)) == 1
        assert isinstance(outcomes[0], Settled)
        with pytest.raises(InvalidRequest) as refused:
            await world.escrow.deposit("again", signed)
        with pytest.raises(IdempotencyMismatch):
            await world.escrow.deposit("open", await world.deposit(config, 500))
    assert refused.value.facts["problem"] == "nonce-used"
    assert (await used(world), await world.channels(config)) == (1, [(500, 0)])


async def test_who_is_overtaken_sees_the_deposit_settled(world: EscrowWorld) -> None:
    config = world.config()
    signed = await world.deposit(config, 500)
    rail = world.made(send_timeout_s=0.1)
    assert rail.escrow is not None
    await world.disturb("delay")
    assert isinstance(await rail.escrow.deposit("open", signed), Unknown)
    call = rail.escrow._deposits.call(signed, "escrow-deposit")
    other = world.send(format_address(call.to), call.data)
    await world.land_delayed()
    world.settle_blocks()
    assert await rail.escrow.deposit("open", signed) == Settled(other)
    assert await world.channels(config) == [(500, 0)]


async def test_claims_and_refunds_under_the_authorizers_signature(world: EscrowWorld) -> None:
    authorizer = EvmKey(secrets.token_bytes(32))
    config = await world.opened(receiver_authorizer=authorizer.address)
    claims = [world.claim(config, 100)]
    signature = authorizer.sign(claims_digest(world.escrow.domain, claims))
    forged = STRANGER.sign(claims_digest(world.escrow.domain, claims))
    channel = config.channel_id(world.escrow.domain)
    async with world.pulsing():
        for wrong in (None, forged):
            with pytest.raises(InvalidRequest):
                await world.escrow.claim("claim", claims, wrong)
        assert isinstance(await world.escrow.claim("claim", claims, signature), Settled)
        nonce = await world.escrow.refund_nonce(config)
        digest = refund_digest(world.escrow.domain, channel, nonce, 400)
        refund = {"nonce": nonce, "signature": authorizer.sign(digest)}
        with pytest.raises(InvalidRequest):
            await world.escrow.refund("refund", config, 400)
        with pytest.raises(InvalidRequest):
            await world.escrow.refund("refund", config, 401, **refund)
        settled = await world.escrow.refund("refund", config, 400, **refund)
        assert isinstance(settled, Settled)
        assert await world.escrow.refund("refund", config, 400, **refund) == settled
        with pytest.raises(InvalidRequest):
            await world.escrow.refund("refund-2", config, 400, **refund)
    assert await world.channels(config) == [(600, 100)]


async def test_a_reorg_under_an_opening_is_not_believed_and_mended(world: EscrowWorld) -> None:
    config = world.config()
    signed = await world.deposit(config, 500)
    rail = world.made(send_timeout_s=0.3)
    assert rail.escrow is not None
    assert isinstance(await rail.escrow.deposit("open", signed), Unknown)
    assert await world.channels(config) == [(0, 0)]  # seen, and not final
    world.mine(1)
    world.devnet.control.reorg(2)
    world.devnet.control.drop_all()
    assert isinstance(await rail.escrow.look_up("open"), Unknown)
    async with world.pulsing():
        assert isinstance(await world.escrow.deposit("open", signed), Settled)
    assert (await used(world), await world.channels(config)) == (1, [(500, 0)])


async def test_withdrawals_are_seen_at_once_and_again_when_final(world: EscrowWorld) -> None:
    config, still = await world.opened(), await world.opened()
    start = await world.escrow.leaving(b"")
    assert start.notices == ()
    reference = world.leave(config, 800)
    fresh = await world.escrow.leaving(start.cursor)
    (notice,) = fresh.notices
    channel = config.channel_id(world.escrow.domain)
    assert (notice.channel, notice.is_final, notice.reference) == (channel, False, reference)
    view = await world.view(config)
    assert view.leaving == notice.leaving
    assert notice.leaving.units == 800
    assert view.time_left_s is not None
    assert DELAY_S - 60 < view.time_left_s <= DELAY_S
    assert (await world.view(still)).time_left_s is None
    # The chain takes it back: it was never final, so nothing is left of it.
    world.devnet.control.reorg(1)
    world.devnet.control.drop_all()
    assert (await world.escrow.leaving(fresh.cursor)).notices == ()
    assert (await world.view(config)).leaving is None
    world.leave(config, 700)
    world.settle_blocks()
    final = await world.escrow.leaving(fresh.cursor)
    assert [(one.channel, one.is_final) for one in final.notices] == [(channel, True)]
    assert (await world.escrow.leaving(final.cursor)).notices == ()
    world.devnet.control.pass_time(DELAY_S)
    assert (await world.view(config)).time_left_s == 0


async def test_a_final_withdrawal_that_the_chain_takes_back_is_not_the_last_word(
    world: EscrowWorld,
) -> None:
    config = await world.opened()
    world.mine(25)
    cursor = (await world.escrow.leaving(b"")).cursor
    world.mine(2)
    cursor = (await world.escrow.leaving(cursor)).cursor
    world.leave(config, 800)
    world.settle_blocks()
    told = await world.escrow.leaving(cursor)
    assert [one.is_final for one in told.notices] == [True]
    world.devnet.control.reorg(CONFIRMATIONS + 1)
    world.devnet.control.drop_all()
    assert (await world.escrow.leaving(told.cursor)).notices == ()
    world.leave(config, 700)
    world.settle_blocks()
    again = await world.escrow.leaving(told.cursor)
    assert [(one.leaving.units, one.is_final) for one in again.notices] == [(700, True)]
    # Even if all that the cursor remembers is gone.
    world.devnet.control.reorg(20)
    world.devnet.control.drop_all()
    world.settle_blocks()
    assert (await world.escrow.leaving(again.cursor)).notices == ()


async def test_a_server_that_lies_hides_no_withdrawal_and_makes_up_no_deposit(
    world: EscrowWorld,
) -> None:
    config = await world.opened()
    world.leave(config, 800)
    cursor = (await world.escrow.leaving(b"")).cursor
    async with RpcProxy(world.devnet.url) as proxy:
        rail = world.made([proxy.url, world.devnet.url], agreeing_min=1)
        assert rail.escrow is not None
        await rail.escrow.check_contract()
        proxy.lie("eth_getLogs", lambda _: [])
        assert len((await rail.escrow.leaving(cursor)).notices) == 1
        proxy.lie("eth_call", without_withdrawal)
        (view,) = await rail.escrow.view([config])
        assert (view.deposit_units, view.leaving is not None) == (1_000, True)
        proxy.disarm()
        proxy.lie("eth_call", lambda _: "0x" + f"{5_000:064x}" + "0" * 64)
        with pytest.raises(RailUnavailable, match="disagree"):
            await rail.escrow.view([config])
    assert (await world.view(config)).leaving is not None


def without_withdrawal(result: object) -> object:
    """The answer of a contract that nobody leaves: a word that is a time is none."""
    is_time = len(str(result)) == 130 and int(str(result)[66:], 16) > 10**9
    return "0x" + "0" * 128 if is_time else result


@pytest.mark.parametrize("what", ["nothing", "token", "changed", "collector"])
async def test_another_contract_at_the_address_is_refused(
    ethereum: EthereumDevnet, what: str
) -> None:
    good = own_settings(ethereum)
    card = ethereum.card
    usdc = parse_address(card.token("test-USDC").address)
    settings = {
        "nothing": replace(good, contract=b"\x77" * 20),
        "token": replace(good, contract=usdc, code_hash=None),
        "changed": good,
        "collector": replace(good, eip3009_collector=EscrowSettings().eip3009),
    }[what]
    world = EscrowWorld(ethereum, settings=settings)
    if what == "changed":
        code = str(ethereum.rpc.call("eth_getCode", format_bytes(good.contract), "latest"))
        ethereum.control.set_code(format_address(good.contract), code + "00")
    config = world.config()
    signed = await world.deposit(config, 500)
    if what != "collector":
        for refused in (
            world.escrow.check_contract(),
            world.rail.check_network(),  # type: ignore[attr-defined]
            world.escrow.view([config]),
            world.escrow.claim("claim", [world.claim(config, 5)]),
        ):
            with pytest.raises(ConfigInvalid):
                await refused
    with pytest.raises(ConfigInvalid):
        await world.escrow.deposit("open", signed)
    assert (await used(world), world.journal.bodies) == (0, {})
    await world.close()


async def test_other_code_is_refused_even_at_x402s_address(ethereum: EthereumDevnet) -> None:
    world = EscrowWorld(ethereum)
    token = ethereum.card.token("aiUSD").address
    code = str(ethereum.rpc.call("eth_getCode", token, "latest"))
    ethereum.control.set_code(format_address(world.escrow_settings.contract), code)
    with pytest.raises(ConfigInvalid, match="no escrow of this network"):
        await world.escrow.check_contract()
    await world.close()


async def test_what_was_never_asked_for_was_never_sent(world: EscrowWorld) -> None:
    found = await world.escrow.look_up("nothing")
    assert isinstance(found, Failed)
    assert found.reason is FailureReason.NEVER_SENT
    for bad in ("", "x" * 65, "ä"):
        with pytest.raises(InvalidRequest):
            await world.escrow.settle(bad, world.receiver.address, world.token)
    assert CONFIRMATIONS > 1
