"""The API end to end: everything through the client and the application."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from aisa.client import (
    ChannelRole,
    ChannelState,
    DepositState,
    RedemptionClaim,
    RedemptionStatus,
    WithdrawalState,
)
from aisa.client.message import Direction
from aisa.errors import (
    IdempotencyMismatch,
    InsufficientFunds,
    NotFound,
    Unprocessable,
)
from aisa.identity import verify_signature
from aisa.protocol.aip import close_bytes, key_of_hub_network
from tests.unit.node.house import ALICE, ASSET, BOB, PAYER, THIEF, House, signed_open, voucher

M = 1_000_000


async def test_the_node_says_who_it_is(house: House) -> None:
    async with house.client(None) as client:
        info = await client.info()
        solvency = await client.solvency()
    assert key_of_hub_network(info.network) == info.node_key
    currency = info.currency("aiUSD")
    assert currency is not None
    assert (currency.fee_ppm, currency.account_cap) == (1000, 1000 * M)
    assert [token.asset for token in info.tokens] == [ASSET]
    assert info.withdrawals_open
    assert info.labels == ("memory network",)
    assert solvency.solvent


async def test_a_key_is_an_account_from_its_first_use(house: House) -> None:
    async with house.client(ALICE) as client:
        account = await client.account()
        assert account.key == ALICE.public_key
        assert account.available("aiUSD") == 0
        assert (await client.transfers("aiUSD")).transfers == ()


async def test_money_comes_in_is_paid_and_goes_out(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    terms = house.terms()
    async with house.client(ALICE) as alice, house.client(BOB) as bob:
        (deposit,) = (await alice.deposits()).deposits
        assert (deposit.units, deposit.state) == (5 * M, DepositState.CREDITED)
        opened = await alice.open_channel("open-1", terms, M, signed_open(terms))
        statement = opened.statement
        assert verify_signature(
            house.services.signer.public_key, statement.signing_bytes(), statement.signature
        )
        assert opened.channel.channel == terms.channel_id
        topped = await alice.top_up(terms.channel_id, "top-1", M)
        assert topped.statement.deposit == 2 * M
        (result,) = await bob.redeem(
            [RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))]
        )
        assert (result.status, result.fee) == (RedemptionStatus.APPLIED, 1000)
        (result,) = await bob.redeem([RedemptionClaim(terms.channel_id, M, final=True)])
        assert result.status is RedemptionStatus.APPLIED
        assert (await bob.channel(terms.channel_id)).state is ChannelState.CLOSED
        assert (await alice.account()).available("aiUSD") == 4 * M
        assert (await bob.account()).available("aiUSD") == M - 1000
        quote = await bob.withdrawal_quote(ASSET, 500_000, "memory:bob")
        assert quote.fee_units == 0
        withdrawal = await bob.withdraw("w-1", ASSET, 500_000, "memory:bob", 0)
        assert withdrawal.state is WithdrawalState.SETTLED
        assert withdrawal == await bob.withdrawal("w-1")
        assert (await bob.withdrawals()).withdrawals == (withdrawal,)
        history = (await bob.transfers("aiUSD")).transfers
        assert [(one.code, one.direction) for one in history] == [
            ("withdrawal", Direction.OUT),
            ("withdrawal", Direction.OUT),
            ("redemption", Direction.IN),
        ]
    token = house.services.withdrawals.token_of(ASSET)
    assert house.network.balance("memory:bob", token) == 500_000
    assert (await house.services.solvency.check()).solvent


async def test_a_receipt_is_signed_by_the_node_for_both_sides_alone(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    terms = house.terms()
    async with house.client(ALICE) as alice, house.client(BOB) as bob:
        await alice.open_channel("o", terms, M, signed_open(terms))
        await bob.redeem([RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))])
        (line,) = (await bob.transfers("aiUSD")).transfers
        receipt = await bob.transfer_receipt(line.id, "aiUSD")
        assert receipt.is_genuine
        assert (receipt.units, receipt.network) == (M - 1000, house.services.network)
        assert not replace(receipt, units=M).is_genuine
        with pytest.raises(NotFound):
            await alice.transfer_receipt(line.id, "aiUSD")


async def test_each_post_again_is_the_same(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    terms = house.terms()
    claim = RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))
    async with house.client(ALICE) as alice, house.client(BOB) as bob:
        address = await alice.deposit_address(ASSET)
        await alice.open_channel("o", terms, M, signed_open(terms))
        await alice.top_up(terms.channel_id, "t", M)
        await bob.redeem([claim])
        close = PAYER.sign(close_bytes(terms.channel_id))
        withdrawn = await alice.withdraw("w", ASSET, M, "memory:there", 0)
        digest = await house.services.store.digest()
        assert await alice.deposit_address(ASSET) == address
        await alice.open_channel("o", terms, M, signed_open(terms))
        await alice.top_up(terms.channel_id, "t", M)
        assert (await bob.redeem([claim]))[0].status is RedemptionStatus.REPEATED
        assert await alice.withdraw("w", ASSET, M, "memory:there", 0) == withdrawn
        assert await house.services.store.digest() == digest
        closing = await alice.close_channel(terms.channel_id, close)
        assert await alice.close_channel(terms.channel_id, close) == closing
        assert closing.closes_at_ms == house.time.now_ms + 86_400_000
        with pytest.raises(IdempotencyMismatch):
            await alice.withdraw("w", ASSET, M + 1, "memory:there", 0)


async def test_another_key_sees_nothing(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    terms = house.terms()
    async with house.client(ALICE) as alice, house.client(THIEF) as thief:
        await alice.open_channel("o", terms, M, signed_open(terms))
        await alice.withdraw("w", ASSET, M, "memory:there", 0)
        with pytest.raises(NotFound):
            await thief.channel(terms.channel_id)
        with pytest.raises(NotFound):
            await thief.withdrawal("w")
        with pytest.raises(NotFound):
            await thief.close_channel(terms.channel_id, PAYER.sign(close_bytes(terms.channel_id)))
        assert (await thief.deposits()).deposits == ()
        assert (await thief.channels(ChannelRole.OPENER)).channels == ()
        assert (await thief.channels(ChannelRole.PAYEE)).channels == ()
        assert (await thief.withdrawals()).withdrawals == ()
        (result,) = await thief.redeem(
            [RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))]
        )
        assert result.problem is not None
        assert isinstance(result.problem.error(), NotFound)


async def test_pages_follow_one_another(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    async with house.client(ALICE) as alice:
        for n in range(5):
            terms = house.terms(n + 1)
            await alice.open_channel(f"o-{n}", terms, 1000, signed_open(terms))
        seen: list[bytes] = []
        after = None
        while True:
            page = await alice.channels(ChannelRole.OPENER, after=after, limit=2)
            seen += [one.channel for one in page.channels]
            after = page.next_after
            if after is None:
                break
        assert len(seen) == len(set(seen)) == 5
        first = await alice.transfers("aiUSD", limit=4)
        second = await alice.transfers("aiUSD", before=first.next_before, limit=4)
        assert len(first.transfers) + len(second.transfers) == 6
        assert second.next_before is None


async def test_a_withdrawal_is_bounded_by_the_callers_fee_and_the_balance(house: House) -> None:
    await house.fund(ALICE, M)
    house.network.fee_units = 7
    async with house.client(ALICE) as alice:
        with pytest.raises(Unprocessable, match="fee"):
            await alice.withdraw("w", ASSET, 1000, "memory:there", 6)
        await house.fund(BOB, M)  # so that the rail could send more than Alice has
        with pytest.raises(InsufficientFunds):
            await alice.withdraw("w", ASSET, M, "memory:there", 7)
        settled = await alice.withdraw("w", ASSET, 1000, "memory:there", 7)
        assert (settled.state, settled.fee_units) == (WithdrawalState.SETTLED, 7)
        assert (await alice.account()).available("aiUSD") == M - 1007


async def test_the_document_describes_every_route(house: House) -> None:
    http = await house.http()
    document = (await http.get("/openapi.json")).json()
    paths = set(document["paths"])
    assert paths == {
        "/v1/account",
        "/v1/account/transfers",
        "/v1/account/transfers/{id}/receipt",
        "/v1/channels",
        "/v1/channels/{channel}",
        "/v1/channels/{channel}/close",
        "/v1/channels/{channel}/deposits",
        "/v1/channels/{channel}/statement",
        "/v1/deposit-addresses",
        "/v1/deposits",
        "/v1/node",
        "/v1/redemptions",
        "/v1/solvency",
        "/v1/withdrawal-quotes",
        "/v1/withdrawals",
        "/v1/withdrawals/{id}",
        "/x402/settle",
        "/x402/supported",
        "/x402/verify",
    }
    page = (Path(__file__).parents[3] / "docs" / "reference" / "http-api.md").read_text()
    listed = set(re.findall(r"`([A-Z]+) (/[^`?]*)", page))
    served = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert listed == served | {("GET", "/healthz"), ("GET", "/openapi.json")}
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas
    operation = document["paths"]["/v1/channels"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/OpenChannelRequest"
    }
    assert "422" not in operation["responses"]
    assert schemas["TopUpRequest"]["required"] == ["id", "units"]
