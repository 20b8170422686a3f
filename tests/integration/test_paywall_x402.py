"""x402 payments at the paywall: offered beside AIP, settled once, answered once, refused for a reason."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aisa.channel.sale import SaleState
from aisa.errors import ConfigInvalid
from aisa.paywall import PaywallOptions, RequestFacts, paid
from aisa.paywall.revenue import revenue
from aisa.protocol.permit2 import Permit
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    PaymentPayload,
    PaymentRequirements,
    format_payload,
)
from tests.integration.paying import ORIGIN, PAYEE, Answer, Payer, answer, call, open_channel
from tests.integration.x402_shop import (
    ASSET,
    SELLER,
    FakeFacilitator,
    X402Shop,
    offer,
    required_of,
    settled_of,
)

PERMIT2 = offer(method="permit2", asset="0x" + "a6" * 20, domain_name="test-USDT")


def prepaid() -> Any:
    return offer(flow="upfront")


async def test_both_dialects_are_offered_on_one_route(tmp_path: Path) -> None:
    prices = {"/paid": paid("0.0001 aiUSD", description="A rate", mime_type="application/json")}
    shop = X402Shop(tmp_path, FakeFacilitator(), offer(), PERMIT2, prices=prices)
    async with shop:
        refused = await call(shop.app, query="a=1", headers={"Origin": "https://page.example"})
        assert refused.status == 402
        assert (refused.header("www-authenticate") or "").startswith("Payment ")
        required = required_of(refused)
        assert [one.amount for one in required.accepts] == [100, 100]
        first = required.accepts[0]
        assert (first.scheme, first.network, first.max_timeout_s) == ("exact", "eip155:31337", 60)
        assert (first.asset.lower(), first.pay_to.lower()) == (ASSET, SELLER)
        assert first.extra == {"name": "test-USDC", "version": "2"}
        assert required.accepts[1].extra == {
            "name": "test-USDT",
            "version": "2",
            "assetTransferMethod": "permit2",
        }
        resource = required.resource
        assert resource is not None
        assert (resource.url, resource.description, resource.mime_type) == (
            f"{ORIGIN}/paid?a=1",
            "A rate",
            "application/json",
        )
        assert required.error is None
        assert PAYMENT_IDENTIFIER in (required.extensions or {})
        exposed = refused.header("access-control-expose-headers") or ""
        assert {"PAYMENT-REQUIRED", "PAYMENT-RESPONSE"} <= set(exposed.split(", "))
        payer = Payer()
        assert (await open_channel(shop.app, payer, shop.clock)).status == 200, "AIP still pays"


@pytest.mark.parametrize("which", [0, 1])
async def test_a_payment_is_checked_served_and_settled_once(tmp_path: Path, which: int) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(), offer(), PERMIT2)
    async with shop:
        header = await shop.sign(which=which)
        first = await shop.pay(header)
        assert (first.status, first.body) == (200, b'{"n":1}')
        told = settled_of(first)
        assert (told.success, told.transaction, told.amount) == (True, "0xfeed", 100)
        again = await shop.pay(header)
        assert (again.status, again.body, settled_of(again)) == (200, first.body, told)
        assert (len(shop.served), shop.facilitator.asked, shop.facilitator.verified) == (1, 1, 1)
        assert len(shop.facilitator.keys[0]) == 64
    (sale,) = revenue(tmp_path / "seller.sqlite", PAYEE, from_ms=0, until_ms=2**50)
    assert (sale.earned, sale.network, sale.reference) == (100, "eip155:31337", "0xfeed")
    assert sale.payer == shop.wallet.key.address


async def test_the_second_flow_settles_before_it_serves(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(), prepaid())
    async with shop:

        async def fails(scope: Any, receive: Any, send: Any) -> None:
            assert len(shop.facilitator.settled) == 1
            await answer(send, status=500)

        shop.handle = fails
        header = await shop.sign()
        failed = await shop.pay(header)
        assert failed.status == 500
        assert settled_of(failed).success, "the payer can prove what it paid"
        shop.handle = shop.answer_ok
        good = await shop.pay(header)
        assert (good.status, good.body) == (200, b'{"n":1}')
        assert (await shop.pay(header)).body == good.body
        assert (shop.facilitator.asked, shop.facilitator.verified, len(shop.served)) == (1, 0, 1)


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_what_is_not_charged_is_not_settled(tmp_path: Path, status: int) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:

        async def fails(scope: Any, receive: Any, send: Any) -> None:
            await answer(send, status=status)

        shop.handle = fails
        header = await shop.sign()
        failed = await shop.pay(header)
        assert (failed.status, failed.header("payment-response")) == (status, None)

        async def raises(scope: Any, receive: Any, send: Any) -> None:
            raise ZeroDivisionError

        shop.handle = raises
        with pytest.raises(ZeroDivisionError):
            await shop.pay(header)
        assert shop.facilitator.asked == 0
        shop.handle = shop.answer_ok
        assert (await shop.pay(header)).status == 200


async def test_repeats_at_once_wait_for_the_first(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        header = await shop.sign()
        answers = await asyncio.gather(*(shop.pay(header) for _ in range(8)))
        assert {(one.status, one.body) for one in answers} == {(200, b'{"n":1}')}
        assert (len(shop.served), shop.facilitator.asked) == (1, 1)


def bad_payments(shop: X402Shop, wanted: PaymentRequirements) -> dict[str, tuple[str, str]]:
    wallet = shop.wallet
    good = wallet.pay(wanted)

    def echoed(**changes: Any) -> str:
        return format_payload(replace(good, accepted=replace(wanted, **changes)))

    def signed(**changes: Any) -> str:
        return format_payload(wallet.pay(wanted, **changes))

    asked = "invalid_payment_requirements"
    value = "invalid_exact_evm_payload_authorization_value_mismatch"
    over = "invalid_exact_evm_payload_authorization_valid_before"
    permit = PaymentPayload(wanted, wallet.pay(PERMIT2_WANTED).payload)
    return {
        "no base64": ("%%%", "invalid_payload"),
        "no json": ("e30x", "invalid_payload"),
        "empty": ("", "invalid_payload"),
        "no object": ("W10=", "invalid_payload"),
        "no members": ("e30=", "invalid_payload"),
        "too long": ("A" * 9000, "invalid_payload"),
        "not latin": ("\x80", "invalid_payload"),
        "no way": (format_payload(replace(good, payload={})), "invalid_payload"),
        "another way": (format_payload(permit), "invalid_payload"),
        "amount": (echoed(amount=1), asked),
        "payee": (echoed(pay_to="0x" + "66" * 20), asked),
        "network": (echoed(network="eip155:1"), asked),
        "scheme": (echoed(scheme="upto"), asked),
        "extra": (echoed(extra={"name": "x", "version": "2"}), asked),
        "signed amount": (signed(value=99), value),
        "signed payee": (
            signed(to=bytes(20)),
            "invalid_exact_evm_payload_recipient_mismatch",
        ),
        "ended": (signed(valid_before=shop.clock.now_s - 1), over),
        "ends now": (signed(valid_before=shop.clock.now_s + 3), over),
    }


PERMIT2_WANTED = PaymentRequirements(
    "exact",
    "eip155:31337",
    ASSET,
    100,
    SELLER,
    60,
    {"name": "x", "version": "1", "assetTransferMethod": "permit2"},
)


def is_refused(told: Answer, reason: str, name: str = "") -> None:
    assert (told.status, told.slug) == (402, "payment-invalid"), (name, told.body)
    assert told.json()["facts"]["reason"] == reason, name
    fresh = required_of(told)
    assert fresh.error == reason
    assert fresh.accepts


async def test_bad_payments_get_a_fresh_offer(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        wanted = (await shop.offered()).accepts[0]
        for name, (header, reason) in bad_payments(shop, wanted).items():
            is_refused(await shop.pay(header), reason, name)
        assert not shop.served
        assert shop.facilitator.asked == shop.facilitator.verified == 0


async def test_bad_permits_are_refused(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(), PERMIT2)
    async with shop:
        wanted = (await shop.offered()).accepts[0]
        bad = shop.wallet.pay(wanted, permit=Permit(bytes(20), 1, 2**40))
        is_refused(await shop.pay(format_payload(bad)), "invalid_permit2_spender")
        late = shop.wallet.pay(wanted, valid_before=shop.clock.now_s)
        is_refused(await shop.pay(format_payload(late)), "permit2_deadline_expired")


async def test_what_the_facilitator_refuses_is_not_served(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(refuse="insufficient_funds"))
    async with shop:
        header = await shop.sign()
        is_refused(await shop.pay(header), "insufficient_funds")
        with_body = await shop.pay(header, method="POST", body=b"x" * 100)
        is_refused(with_body, "insufficient_funds")
        assert (shop.served, shop.facilitator.asked) == ([], 0)


async def test_a_payment_is_for_one_request(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(), prices={"/{name}": "0.0001 aiUSD"})
    async with shop:
        header = await shop.sign("/paid")
        assert (await shop.pay(header)).status == 200
        is_refused(await shop.pay(header, "/other"), "payment_already_used")
        is_refused(await shop.pay(header, query="x=1"), "payment_already_used")
        is_refused(await shop.pay(header, method="POST", body=b"x"), "payment_already_used")
        shop.clock.forward(601)
        is_refused(await shop.pay(header), "payment_already_used")
        assert len(shop.served) == shop.facilitator.asked == 1


async def test_a_nonce_pays_once_whatever_is_signed_with_it(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        first = await shop.sign(nonce=bytes(32))
        other = await shop.sign(nonce=bytes(32), valid_before=2**39)
        assert (await shop.pay(first)).status == 200
        is_refused(await shop.pay(other), "payment_already_used")


async def test_an_identifier_is_one_payment(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        first = await shop.sign(identifier="order-0000000001")
        told = await shop.pay(first)
        assert (await shop.pay(first)).body == told.body
        other = await shop.pay(await shop.sign(identifier="order-0000000001"))
        assert (other.status, other.slug) == (409, "idempotency-mismatch")
        assert shop.facilitator.asked == 1


async def test_without_the_extension_a_name_means_nothing(tmp_path: Path) -> None:
    options = PaywallOptions(commit="inline", x402_extensions=())
    async with X402Shop(tmp_path, FakeFacilitator(), options=options) as shop:
        assert (await shop.offered()).extensions is None
        for _ in range(2):
            header = await shop.sign(identifier="order-0000000001")
            assert (await shop.pay(header)).status == 200


async def test_a_settlement_that_failed_serves_nothing(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(weakness="failing"))
    async with shop:
        header = await shop.sign()
        failed = await shop.pay(header)
        is_refused(failed, "broke")
        assert b'"n"' not in failed.body
        assert (settled_of(failed).success, settled_of(failed).error_reason) == (False, "broke")
        shop.facilitator.weakness = ""
        assert (await shop.pay(header)).status == 200


async def test_a_facilitator_that_is_down_costs_nothing(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(weakness="down"))
    async with shop:
        header = await shop.sign()
        told = await shop.pay(header)
        assert (told.status, told.slug) == (503, "rail-unavailable")
        assert told.header("retry-after")
        assert not shop.served
        shop.facilitator.weakness = ""
        assert (await shop.pay(header)).status == 200


async def test_what_is_not_decided_is_asked_again(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(weakness="pending"))
    async with shop:
        header = await shop.sign()
        told = await shop.pay(header)
        assert (told.status, told.slug) == (402, "settlement-pending")
        assert required_of(told).error == "settlement_pending"
        assert settled_of(told).transaction == "0xaa"
        assert told.header("retry-after")
        shop.facilitator.weakness = ""
        good = await shop.pay(header)
        assert (good.status, good.body) == (200, b'{"n":1}')
        assert (len(shop.served), len(set(shop.facilitator.keys))) == (1, 1)


async def test_an_answer_that_was_lost_is_found_again(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(weakness="silent"))
    async with shop:
        header = await shop.sign()
        assert (await shop.pay(header)).slug == "settlement-pending"
        shop.facilitator.weakness = ""
        assert (await shop.pay(header)).status == 200
        assert len(shop.facilitator.settled) == len(shop.served) == 1


async def test_one_that_keeps_no_keys_proves_nothing_by_no(tmp_path: Path) -> None:
    facilitator = FakeFacilitator(weakness="silent", keeps_keys=False)
    shop = X402Shop(tmp_path, facilitator, offer(facilitators=["http://127.0.0.1:9/x402"]))
    async with shop:
        header = await shop.sign()
        assert (await shop.pay(header)).slug == "settlement-pending"
        facilitator.weakness = ""
        assert (await shop.pay(header)).slug == "settlement-pending", "it may have been paid"
        assert shop.paywall.sales._store.settling(b"", 9)


async def test_a_worker_finishes_what_nobody_repeats(tmp_path: Path) -> None:
    facilitator = FakeFacilitator(weakness="silent")
    async with X402Shop(tmp_path, facilitator) as shop:
        header = await shop.sign()
        assert (await shop.pay(header)).slug == "settlement-pending"
    facilitator.weakness = ""
    async with X402Shop(tmp_path, facilitator) as again:
        sales = again.paywall.sales._store
        for _ in range(200):
            if not sales.settling(b"", 9):
                break
            await asyncio.sleep(0.01)
        told = await again.pay(header)
        assert (told.status, told.body, again.served) == (200, b'{"n":1}', [])


async def test_a_client_that_leaves_is_settled_to_its_end(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        header = await shop.sign()
        going = asyncio.Event()
        client = next(iter(shop.paywall.sales._clients.values()))
        ask = client.settle

        async def slowly(*args: Any, **more: Any) -> Any:
            going.set()
            await asyncio.sleep(0.05)
            return await ask(*args, **more)

        client.settle = slowly  # type: ignore[method-assign]
        leaving = asyncio.create_task(shop.pay(header))
        await going.wait()
        leaving.cancel()
        told = await shop.pay(header)
        assert (told.status, told.body) == (200, b'{"n":1}')
        assert (len(shop.served), shop.facilitator.asked) == (1, 1)


async def test_a_long_answer_is_settled_when_it_starts(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:

        async def streams(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(3):
                await send({"type": "http.response.body", "body": b"part", "more_body": True})
                assert shop.facilitator.settled
            await send({"type": "http.response.body", "body": b""})

        shop.handle = streams
        header = await shop.sign()
        told = await shop.pay(header)
        assert (told.body, settled_of(told).success) == (b"partpartpart", True)
        gone = await shop.pay(header)
        assert (gone.status, gone.slug) == (409, "answer-gone")


async def test_in_pieces_of_a_known_length_it_is_kept(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:

        async def pieces(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-length", b"200000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for _ in range(2):
                assert not shop.facilitator.settled
                body = {"type": "http.response.body", "body": b"x" * 100_000}
                await send({**body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        shop.handle = pieces
        header = await shop.sign()
        told = await shop.pay(header)
        assert told.body == b"x" * 200_000
        assert (await shop.pay(header)).body == told.body


async def test_prices_from_the_request_and_from_the_handler(tmp_path: Path) -> None:
    def deep(facts: RequestFacts) -> str:
        return "0.001 aiUSD" if "deep" in facts.query else "0.0001 aiUSD"

    prices = {"/computed": paid(deep, at_most="0.001 aiUSD"), "/later": paid(at_most="0.01 aiUSD")}
    shop = X402Shop(tmp_path, FakeFacilitator(), prices=prices)
    async with shop:
        assert (await shop.offered("/computed")).accepts[0].amount == 100
        assert (await shop.offered("/computed", query="deep=1")).accepts[0].amount == 1000
        header = await shop.sign("/computed")
        is_refused(
            await shop.pay(header, "/computed", query="deep=1"), "invalid_payment_requirements"
        )
        assert (await shop.pay(header, "/computed")).status == 200
        refused = await call(shop.app, "/later")
        assert refused.header("payment-required") is None
        told = await shop.pay(header, "/later")
        assert (told.status, told.slug) == (402, "payment-invalid")


async def test_scales_are_converted_exactly(tmp_path: Path) -> None:
    async with X402Shop(tmp_path, FakeFacilitator(), offer(decimals=18)) as shop:
        assert (await shop.offered()).accepts[0].amount == 100 * 10**12
    shop = X402Shop(tmp_path, FakeFacilitator(), offer(decimals=2))
    with pytest.raises(ConfigInvalid, match="whole number of units"):
        await call(shop.app)
    await shop.paywall.stop()


@pytest.mark.parametrize(
    "bad",
    [
        {"network": "solana:x"},
        {"asset": "0x12"},
        {"pay_to": "me"},
        {"decimals": 40},
        {"method": "erc7710"},
        {"flow": "escrow"},
        {"max_timeout_s": 0},
        {"domain_name": ""},
    ],
)
def test_offers_that_cannot_work_are_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid):
        X402Shop(tmp_path, FakeFacilitator(), offer(**bad))


def test_so_are_too_many_and_twins(tmp_path: Path) -> None:
    for offers in ([offer()] * 2, [offer(network=f"eip155:{n}") for n in range(1, 6)]):
        with pytest.raises(ConfigInvalid):
            X402Shop(tmp_path, FakeFacilitator(), *offers)
    with pytest.raises(ConfigInvalid, match="extension"):
        X402Shop(tmp_path, FakeFacilitator(), options=PaywallOptions(x402_extensions=("bazaar",)))


async def test_headers_stay_under_8_kib(tmp_path: Path) -> None:
    offers = [offer(network=f"eip155:{n}", domain_name="N" * 128) for n in range(1, 5)]
    prices = {"/{path:path}": paid("0.0001 aiUSD", description="d" * 1000, mime_type="m" * 900)}
    shop = X402Shop(tmp_path, FakeFacilitator(), *offers, prices=prices)
    async with shop:
        refused = await call(shop.app, "/" + "p" * 2000, query="q" * 3000)
        assert len(required_of(refused).accepts) == 4
        assert sum(len(k) + len(v) for k, v in refused.headers) < 8 * 1024


async def test_strangers_cannot_make_us_ask_without_end(tmp_path: Path) -> None:
    options = PaywallOptions(commit="inline", unpaid_per_s=1, unpaid_burst=5)
    shop = X402Shop(tmp_path, FakeFacilitator(refuse="no"), options=options)
    async with shop:
        header = await shop.sign()
        statuses = [(await shop.pay(header)).status for _ in range(8)]
        assert statuses.count(429) == 4
        assert shop.facilitator.verified == 4


async def test_the_file_knows_how_far_each_sale_is(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator())
    async with shop:
        sales = shop.paywall.sales._store
        assert (await shop.pay(await shop.sign())).status == 200
        header = await shop.sign(identifier="order-0000000001")
        await shop.pay(header)
        row = sales.find_identifier("order-0000000001")
        assert row is not None
        assert (row.state, row.reference) == (SaleState.SOLD, "0xfeed")
        sales.prune(answers_before_ms=2**50, sales_before_ms=0, rows_max=9)
        gone = await shop.pay(header)
        assert (gone.status, gone.slug) == (409, "answer-gone")
        sales.prune(answers_before_ms=2**50, sales_before_ms=2**50, rows_max=9)
        assert sales.find(row.id) is None


async def test_the_owner_is_told_of_offers_that_cannot_settle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offers = [offer(network="eip155:1"), offer()]
    async with X402Shop(tmp_path, FakeFacilitator(), *offers) as shop:
        await asyncio.gather(shop.paywall.sales._workers[1])
    assert [one.getMessage() for one in caplog.records] == [
        "no facilitator of the x402 offer on eip155:1 settles there"
    ]
    caplog.clear()
    async with X402Shop(tmp_path, FakeFacilitator(weakness="down")) as shop:
        await asyncio.gather(shop.paywall.sales._workers[1])
    assert "answers" in caplog.text


async def test_a_body_is_read_only_for_a_payment_that_holds(tmp_path: Path) -> None:
    shop = X402Shop(tmp_path, FakeFacilitator(), prepaid())
    async with shop:
        header = await shop.sign()
        good = await shop.pay(header, method="POST", body=b"one")
        assert (good.status, shop.facilitator.verified) == (200, 1)
        is_refused(await shop.pay(header, method="POST", body=b"two"), "payment_already_used")
        big = await shop.pay(await shop.sign(), method="POST", body=b"x" * 2_000_000)
        assert (big.status, big.slug) == (413, "body-too-large")
        shop.facilitator.refuse = "invalid_signature"
        forged = await shop.pay(await shop.sign(), method="POST", body=b"x" * 2_000_000)
        is_refused(forged, "invalid_signature")
        assert shop.facilitator.asked == 1


async def test_a_browser_is_told_of_x402(tmp_path: Path) -> None:
    async with X402Shop(tmp_path, FakeFacilitator()) as shop:
        shown = await call(shop.app, headers={"Accept": "text/html"})
        assert shown.status == 402
        assert b"PAYMENT-REQUIRED" in shown.body
        assert required_of(shown).accepts
