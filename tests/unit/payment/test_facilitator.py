"""The facilitator over a network whose outcomes a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aisa.errors import IdempotencyMismatch, InvalidRequest, RailUnavailable
from aisa.identity import EvmKey
from aisa.ledger.sqlite import SqliteStore
from aisa.money import Token
from aisa.payment.facilitator import Facilitator
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    FacilitatorRequest,
    PaymentIdentifier,
    PaymentPayload,
    PaymentRequirements,
    TokenExtra,
)
from aisa.protocol.x402.exact import Eip3009Payload
from aisa.settlement.pull import PullCheck, PullProblem, SignedTransfer
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled, Unknown

NETWORK = "eip155:31337"
CONTRACT = format_address(bytes([7]) * 20)
SELLER = format_address(bytes([0x5E]) * 20)
TOKEN = Token("USDC", "test", NETWORK, f"{NETWORK}/erc20:{CONTRACT}", 6, "USDC")
PAYER = EvmKey(bytes([3]) * 32)
ASKED = PaymentRequirements(
    "exact", NETWORK, CONTRACT, 100, SELLER, 300, TokenExtra("USDC", "2").to_json()
)


@dataclass
class FakePull:
    """Does what it is told next, and counts what reached it."""

    outcomes: list[Outcome | BaseException] = field(default_factory=list[Outcome | BaseException])
    problem: PullProblem | None = None
    settled: list[SignedTransfer] = field(default_factory=list[SignedTransfer])
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    last: Outcome = field(default_factory=lambda: Failed(FailureReason.NEVER_SENT))

    async def check(self, transfer: SignedTransfer) -> PullCheck:
        return PullCheck(self.problem, "as told")

    async def settle(self, transfer: SignedTransfer) -> Outcome:
        self.settled.append(transfer)
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else Settled("0xabc")
        if isinstance(outcome, BaseException):
            raise outcome
        self.last = outcome
        return outcome

    async def look_up_transfer(self, transfer: SignedTransfer) -> Outcome:
        return self.last


def payment(nonce: int = 1, *, identifier: str = "", amount: int = 100) -> FacilitatorRequest:
    asked = replace(ASKED, amount=amount)
    signed = Authorization(
        PAYER.address, parse_address(SELLER), amount, 0, 2**40, nonce.to_bytes(32)
    )
    domain = TokenExtra("USDC", "2").domain(31337, parse_address(CONTRACT))
    payload = Eip3009Payload(signed, PAYER.sign(domain.digest(signed.transfer_hash())))
    named = {PAYMENT_IDENTIFIER: PaymentIdentifier(False, identifier).to_json()}
    extensions = named if identifier else None
    return FacilitatorRequest(
        PaymentPayload(asked, payload.to_json(), extensions=extensions), asked
    )


class World:
    """A ledger, and facilitators that come and go over it."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.pull = FakePull()
        self.facilitator = self.started()

    def started(self, *, tokens: tuple[Token, ...] = (TOKEN,)) -> Facilitator:
        return Facilitator(self.store, {NETWORK: self.pull}, tokens, {NETWORK: SELLER})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "ledger.sqlite", clock=lambda: 1_800_000_000_000)
    yield World(store)
    await store.close()


async def test_a_payment_that_is_not_decided_is_asked_for_again(world: World) -> None:
    world.pull.outcomes = [Unknown("0x1"), Unknown("0x1"), Settled("0x1")]
    for _ in range(2):
        pending = await world.facilitator.settle(payment(), "key")
        assert (pending.success, pending.error_reason) == (False, "settlement_pending")
        assert pending.transaction == "0x1"
    settled = await world.facilitator.settle(payment(), "key")
    assert (settled.success, settled.transaction, settled.amount) == (True, "0x1", 100)
    assert await world.facilitator.settle(payment(), "key") == settled
    assert len(world.pull.settled) == 3


async def test_another_caller_is_told_of_the_first(world: World) -> None:
    world.pull.gate = asyncio.Event()
    first = asyncio.create_task(world.facilitator.settle(payment(), "one"))
    await world.pull.arrived.wait()
    for key in ("", "two"):
        other = await world.facilitator.settle(payment(), key)
        assert (other.success, other.error_reason) == (False, "duplicate_settlement")
    world.pull.gate.set()
    assert (await first).success
    assert (await world.facilitator.settle(payment())).error_reason == "duplicate_settlement"
    assert len(world.pull.settled) == 1


async def test_what_was_not_sent_may_be_asked_for_by_anyone(world: World) -> None:
    refused = InvalidRequest("too little", problem=str(PullProblem.BALANCE))
    world.pull.outcomes = [refused, RailUnavailable("away")]
    told = await world.facilitator.settle(payment(), "one")
    assert (told.success, told.error_reason) == (False, "insufficient_funds")
    with pytest.raises(RailUnavailable):
        await world.facilitator.settle(payment(), "two")
    assert (await world.facilitator.settle(payment(), "three")).success


async def test_a_chain_that_refused_has_refused(world: World) -> None:
    world.pull.outcomes = [Failed(FailureReason.REFUSED, "reverted", "0x2")]
    failed = await world.facilitator.settle(payment(), "one")
    assert (failed.error_reason, failed.transaction) == ("transaction_failed", "0x2")
    assert await world.facilitator.settle(payment(), "one") == failed
    assert len(world.pull.settled) == 1


async def test_a_key_or_an_identifier_is_for_one_payment(world: World) -> None:
    assert (await world.facilitator.settle(payment(1, identifier="a" * 16))).success
    with pytest.raises(IdempotencyMismatch):
        await world.facilitator.settle(payment(2, identifier="a" * 16))
    with pytest.raises(IdempotencyMismatch):
        await world.facilitator.settle(payment(1, identifier="b" * 16), "a" * 16)
    assert len(world.pull.settled) == 1


async def test_what_a_crash_left_is_carried_out_by_the_next(world: World) -> None:
    world.pull.outcomes = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await world.facilitator.settle(payment(), "one")
    later = world.started()
    assert await later.resume() == 0
    assert len(world.pull.settled) == 2
    assert (await later.settle(payment(), "one")).success
    assert await later.resume() == 0
    assert len(world.pull.settled) == 2


async def test_what_is_not_decided_stays_to_be_looked_at(world: World) -> None:
    world.pull.outcomes = [Unknown(None), Unknown(None), RailUnavailable("away"), Settled("0x9")]
    await world.facilitator.settle(payment(), "one")
    later = world.started()
    assert await later.resume() == 1
    assert await later.resume() == 1, "away now, but it may have been sent"
    assert (await later.settle(payment(), "two")).error_reason == "duplicate_settlement"
    assert (await later.settle(payment(), "one")).success
    assert await later.resume() == 0


async def test_a_token_that_was_taken_away_stops_nothing(world: World) -> None:
    world.pull.outcomes = [Unknown(None)]
    await world.facilitator.settle(payment(), "one")
    assert await world.started(tokens=()).resume() == 0


async def test_checking_says_what_the_network_says(world: World) -> None:
    good = await world.facilitator.verify(payment())
    assert (good.is_valid, good.payer) == (True, format_address(PAYER.address))
    for problem in PullProblem:
        world.pull.problem = problem
        bad = await world.facilitator.verify(payment())
        assert not bad.is_valid
        assert bad.invalid_reason
    assert not world.pull.settled
