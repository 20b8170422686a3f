"""x402 `batch-settlement` as a facilitator serves it: channels opened, checked, claimed, paid, refunded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.payment.batch_facilitator import BatchFacilitator
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.evm_address import format_address
from aisa.protocol.fields import Fields
from aisa.protocol.x402 import (
    FacilitatorRequest,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    TokenExtra,
)
from aisa.protocol.x402.batch import BATCH, BatchVoucher, claims_digest, refund_digest
from aisa.protocol.x402.batch_payload import (
    BatchPayload,
    ClaimPayload,
    DepositPayload,
    RefundPayload,
    SettlePayload,
    VoucherPayload,
)
from aisa.protocol.x402.batch_state import BatchAnswer, BatchExtra, ChannelSnapshot
from tests.integration.escrow_world import DELAY_S, EscrowWorld, own_settings

pytestmark = pytest.mark.network


class Shop(EscrowWorld):
    """A seller with an authorizer's key of its own, and a facilitator."""

    def __init__(self, devnet: EthereumDevnet, symbol: str = "aiUSD") -> None:
        super().__init__(devnet, symbol)
        self.authorizer = EvmKey(secrets.token_bytes(32))
        self.facilitator = BatchFacilitator({self.devnet.network: self.escrow})

    def config(self, **changes: Any) -> ChannelConfig:
        return super().config(**{"receiver_authorizer": self.authorizer.address, **changes})

    def requirements(self, **changes: Any) -> PaymentRequirements:
        card = self.devnet.token(self.token.symbol)
        extra = BatchExtra(
            self.authorizer.address, DELAY_S, TokenExtra(card.domain_name, card.domain_version)
        )
        wanted = PaymentRequirements(
            *(BATCH, self.devnet.network, card.address, 10),
            *(format_address(self.receiver.address), 300, extra.to_json()),
        )
        return replace(wanted, **changes)

    def voucher(self, config: ChannelConfig, ceiling: int) -> BatchVoucher:
        claim = self.claim(config, ceiling)
        return BatchVoucher(config.channel_id(self.escrow.domain), ceiling, claim.signature)

    def ask(self, payload: BatchPayload, **changes: Any) -> FacilitatorRequest:
        wanted = self.requirements(**changes)
        return FacilitatorRequest(PaymentPayload(wanted, payload.to_json()), wanted)

    async def call(self, config: ChannelConfig, units: int, ceiling: int) -> DepositPayload:
        signed = (await self.deposit(config, units)).signed
        return DepositPayload(config, self.voucher(config, ceiling), units, signed)

    def signed_claim(self, *rows: tuple[ChannelConfig, int]) -> ClaimPayload:
        claims = tuple(self.claim(config, units) for config, units in rows)
        signature = self.authorizer.sign(claims_digest(self.escrow.domain, claims))
        return ClaimPayload(claims, signature)

    async def settled(self, payload: BatchPayload) -> SettlementResponse:
        async with self.pulsing():
            return await self.facilitator.settle(self.ask(payload))


@pytest.fixture
async def shop(ethereum: EthereumDevnet) -> AsyncIterator[Shop]:
    shop = Shop(ethereum)
    yield shop
    await shop.facilitator.close()
    await shop.close()


@pytest.mark.parametrize("symbol", ["aiUSD", "test-USDC"])
async def test_a_channel_through_the_facilitator(ethereum: EthereumDevnet, symbol: str) -> None:
    shop = Shop(ethereum, symbol)
    (kind,) = shop.facilitator.kinds()
    assert (kind.scheme, kind.network) == (BATCH, shop.devnet.network)
    config = shop.config()
    opening = shop.ask(await shop.call(config, 1_000, 10))
    checked = await shop.facilitator.verify(opening)
    assert checked.is_valid, checked
    assert checked.payer == format_address(shop.payer.address)
    async with shop.pulsing():
        opened = await shop.facilitator.settle(opening)
    assert (opened.success, opened.amount) == (True, 1_000)
    state = BatchAnswer.read(opened.extra).channel
    assert state == ChannelSnapshot(config.channel_id(shop.escrow.domain), 1_000, 0)

    voucher = VoucherPayload(config, shop.voucher(config, 300))
    checked = await shop.facilitator.verify(shop.ask(voucher))
    assert checked.is_valid
    assert ChannelSnapshot.read(Fields("extra", checked.extra or {})) == state

    claim = shop.signed_claim((config, 300))
    claimed = await shop.settled(claim)
    assert claimed.success, claimed
    assert await shop.settled(claim) == claimed
    payout = SettlePayload(config.receiver, config.token)
    paid = await shop.settled(payout)
    assert paid.success, paid
    assert await shop.units(format_address(config.receiver)) == 300
    again = await shop.settled(payout)
    assert again.error_reason == "invalid_batch_settlement_evm_nothing_to_settle"

    nonce = await shop.escrow.refund_nonce(config)
    digest = refund_digest(shop.escrow.domain, config.channel_id(shop.escrow.domain), nonce, 650)
    last = shop.signed_claim((config, 350))
    refund = RefundPayload(
        *(config, shop.voucher(config, 350), 650, nonce, last.claims),
        *(shop.authorizer.sign(digest), last.signature),
    )
    refunded = await shop.settled(refund)
    assert refunded.success, refunded
    assert await shop.channels(config) == [(350, 350)]
    assert await shop.settled(refund) == refunded
    await shop.close()


async def test_many_at_once_are_one_chain_tx(shop: Shop) -> None:
    config = shop.config()
    opening = shop.ask(await shop.call(config, 1_000, 10))
    async with shop.pulsing():
        answers = await asyncio.gather(*(shop.facilitator.settle(opening) for _ in range(300)))
    assert {(one.success, one.transaction) for one in answers} == {(True, answers[0].transaction)}
    used = shop.devnet.rpc.number("eth_getTransactionCount", shop.treasury, "latest")
    assert (used, await shop.channels(config)) == (1, [(1_000, 0)])
    other = BatchFacilitator({shop.devnet.network: shop.escrow})  # as after a restart
    assert (await other.settle(opening)).transaction == answers[0].transaction


async def test_what_is_wrong_is_told_in_x402s_words(shop: Shop) -> None:
    opened = shop.config()
    assert (await shop.settled(await shop.call(opened, 1_000, 10))).success
    assert (await shop.settled(shop.signed_claim((opened, 100)))).success
    used = shop.devnet.rpc.number("eth_getTransactionCount", shop.treasury, "latest")
    fresh = shop.config()
    good = await shop.call(fresh, 500, 10)
    stranger = "0x" + "66" * 20
    forged = BatchVoucher(good.voucher.channel, 10, bytes(64) + b"\x1b")
    other = shop.voucher(shop.config(), 10)
    poor = await shop.call(fresh, 10**9, 10)
    short = shop.config(withdraw_delay_s=DELAY_S - 1)
    wrong: list[tuple[str, FacilitatorRequest]] = [
        ("voucher_signature", shop.ask(replace(good, voucher=forged))),
        ("channel_id_mismatch", shop.ask(replace(good, voucher=other))),
        ("receiver_mismatch", shop.ask(good, pay_to=stranger)),
        ("token_mismatch", shop.ask(good, asset=shop.devnet.token("test-USDC").address)),
        ("receiver_authorizer_mismatch", shop.ask(good, extra={})),
        ("withdraw_delay_mismatch", shop.ask(await shop.call(short, 500, 10))),
        ("cumulative_exceeds_balance", shop.ask(await shop.call(fresh, 500, 501))),
        ("receive_authorization_signature", shop.ask(replace(good, amount=501))),
        ("insufficient_balance", shop.ask(poor)),
        ("channel_not_found", shop.ask(VoucherPayload(fresh, shop.voucher(fresh, 10)))),
        ("cumulative_exceeds_balance", shop.ask(_voucher(shop, opened, 1_001))),
        ("cumulative_below_claimed", shop.ask(_voucher(shop, opened, 100))),
        ("payload_type", shop.ask(shop.signed_claim((opened, 200)))),
        ("scheme", replace(shop.ask(good), requirements=shop.requirements(scheme="exact"))),
    ]
    for reason, request in wrong:
        told = await shop.facilitator.verify(request)
        assert told.invalid_reason == f"invalid_batch_settlement_evm_{reason}", request
        if isinstance(request.payload.payload.get("deposit"), dict):
            answer = await shop.facilitator.settle(request)
            assert answer.error_reason == told.invalid_reason
    elsewhere = shop.ask(good, network="eip155:5")
    assert (await shop.facilitator.verify(elsewhere)).invalid_reason == "invalid_network"
    assert shop.devnet.rpc.number("eth_getTransactionCount", shop.treasury, "latest") == used


def _voucher(shop: Shop, config: ChannelConfig, ceiling: int) -> VoucherPayload:
    return VoucherPayload(config, shop.voucher(config, ceiling))


async def test_only_the_sellers_own_word_claims_and_refunds(shop: Shop) -> None:
    """A payer can ask, too: for a refund before the seller claims, or for a claim that is forged."""
    mine = shop.config()
    ours = shop.config(receiver_authorizer=shop.escrow.operator)
    for config in (mine, ours):
        signed = (await shop.deposit(config, 1_000)).signed
        call = DepositPayload(config, shop.voucher(config, 10), 1_000, signed)
        extra = {**(shop.requirements().extra or {})}
        extra["receiverAuthorizer"] = format_address(config.receiver_authorizer)
        async with shop.pulsing():
            answer = await shop.facilitator.settle(shop.ask(call, extra=extra))
        assert answer.success, answer
    nonce = 0
    for config in (mine, ours):
        voucher, channel = shop.voucher(config, 10), config.channel_id(shop.escrow.domain)
        forged = shop.payer.sign(refund_digest(shop.escrow.domain, channel, nonce, 1_000))
        unsigned = RefundPayload(config, voucher, 1_000, nonce)
        for refund in (unsigned, replace(unsigned, refund_signature=forged)):
            assert not (await shop.settled(refund)).success
    unsigned_claim = replace(shop.signed_claim((mine, 10)), signature=None)
    forged_claim = replace(unsigned_claim, signature=shop.payer.sign(bytes(32)))
    for claim in (unsigned_claim, forged_claim):
        told = await shop.settled(claim)
        assert told.error_reason == "invalid_batch_settlement_evm_claim_payload"
    # Where the channel names the node, it claims for the seller: that can only be to its gain.
    assert (await shop.settled(ClaimPayload((shop.claim(ours, 10),)))).success
    assert await shop.channels(mine, ours) == [(1_000, 0), (1_000, 10)]


async def test_an_escrow_that_x402s_clients_do_not_know_is_not_offered(
    ethereum: EthereumDevnet,
) -> None:
    world = EscrowWorld(ethereum, settings=own_settings(ethereum))
    assert BatchFacilitator({world.devnet.network: world.escrow}).kinds() == ()
    await world.close()
