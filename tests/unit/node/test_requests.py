"""Requests that must be refused: each with a problem, and nothing moved."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from aisa.client import ChannelRole, ChannelState, RedemptionClaim, WithdrawalState, calls
from aisa.client.exchange import Exchange
from aisa.errors import (
    AisaError,
    InvalidAmount,
    InvalidRequest,
    NotFound,
    RateLimited,
    SignatureInvalid,
    SolvencyAlarm,
    UnknownCurrency,
)
from aisa.identity import SigningKey
from aisa.node.auth import NonceTable
from aisa.node.config import parse_config
from aisa.node.exchange import REPEATABLE_POSTS
from aisa.protocol import base64url
from aisa.protocol.aip import close_bytes
from aisa.protocol.httpsig import SignatureParams, sign_request
from aisa.protocol.problem import CONTENT_TYPE, error_of, parse_problem
from tests.unit.node.house import (
    ALICE,
    ASSET,
    BOB,
    CONFIG,
    ORIGIN,
    PAYER,
    THIEF,
    House,
    open_house,
    signed_open,
    voucher,
)

M = 1_000_000
BAD_UNITS = ["9223372036854775808", "NaN", "1e-7", "-1", "", "0", "0x10", " 1", 7, 1.5, None, "1.0"]


def headers(
    method: str,
    url: str,
    body: bytes,
    *,
    key: SigningKey = ALICE,
    created_s: int = 1_800_000_000,
    nonce: str = "nonce",
    keyid: bytes | None = None,
) -> dict[str, str]:
    params = SignatureParams(base64url.encode(keyid or key.public_key), created_s, nonce)
    return sign_request(method, url, body, params, key.sign)


def problem(response: httpx2.Response) -> AisaError:
    assert response.headers["content-type"] == CONTENT_TYPE
    assert response.headers["cache-control"] == "no-store"
    found = parse_problem(response.content)
    assert found.status == response.status_code
    return error_of(found)


async def post(house: House, path: str, document: object, nonce: str = "nonce") -> AisaError:
    http = await house.http()
    body = json.dumps(document).encode()
    before = await house.services.store.digest()
    response = await http.post(
        path, content=body, headers=headers("POST", ORIGIN + path, body, nonce=nonce)
    )
    assert response.status_code >= 400
    assert await house.services.store.digest() == before
    return problem(response)


@pytest.mark.parametrize("units", BAD_UNITS)
async def test_an_amount_that_is_none_is_a_400_that_names_it(house: House, units: object) -> None:
    terms = house.terms()
    channel = {
        "id": "o",
        "network": terms.network,
        "payer": base64url.encode(terms.payer),
        "payee": base64url.encode(terms.payee),
        "currency": "aiUSD",
        "salt": base64url.encode(terms.salt),
        "deposit": units,
        "payer_signature": base64url.encode(signed_open(terms)),
    }
    withdrawal = {
        "id": "w",
        "asset": ASSET,
        "units": units,
        "destination": "memory:there",
        "fee_units_max": "0",
    }
    error = await post(house, "/v1/channels", channel, "n-1")
    assert (error.status, error.facts.get("field")) == (400, "body.deposit")
    error = await post(house, "/v1/withdrawals", withdrawal, "n-2")
    assert (error.status, error.facts.get("field")) == (400, "body.units")
    top_up = f"/v1/channels/{'00' * 32}/deposits"
    error = await post(house, top_up, {"id": "t", "units": units}, "n-3")
    assert (error.status, error.facts.get("field")) == (400, "body.units")
    claim = {"channel": base64url.encode(b"\x00" * 32), "cumulative": units}
    if units != "0":
        error = await post(house, "/v1/redemptions", [claim], "n-4")
        assert (error.status, error.facts.get("field")) == (400, "body[0].cumulative")


async def test_a_message_of_another_shape_is_a_400(house: House) -> None:
    path = "/v1/deposit-addresses"
    for n, document in enumerate([{}, [], "x", {"asset": ASSET, "more": 1}, {"asset": 1}]):
        error = await post(house, path, document, f"n-{n}")
        assert isinstance(error, InvalidRequest)
    error = await post(house, path, {"asset": "eip155:1/erc20:0x0"}, "n-9")
    assert isinstance(error, NotFound)
    claims = [{"channel": base64url.encode(b"\x00" * 32), "cumulative": "1"}] * 257
    error = await post(house, "/v1/redemptions", claims, "n-10")
    assert "256" in error.detail


async def test_a_signature_is_accepted_once(house: House) -> None:
    http = await house.http()
    signed = headers("GET", f"{ORIGIN}/v1/account", b"")
    assert (await http.get("/v1/account", headers=signed)).status_code == 200
    again = await http.get("/v1/account", headers=signed)
    assert isinstance(problem(again), SignatureInvalid)
    assert again.headers["www-authenticate"].startswith("Signature")


async def test_a_request_signed_by_nobody_or_another_is_refused(house: House) -> None:
    http = await house.http()
    url = f"{ORIGIN}/v1/account"
    elsewhere = headers("GET", "http://thief.test/v1/account", b"", nonce="e")
    wrong = [
        {},
        headers("GET", url, b"", key=THIEF, keyid=ALICE.public_key),
        headers("GET", url + "?x=1", b""),
        headers("POST", url, b""),
        headers("GET", url, b"body"),
        headers("GET", url, b"", created_s=1_800_000_301),
        headers("GET", url, b"", created_s=1_799_999_699),
        elsewhere,
        {**elsewhere, "host": "thief.test"},
    ]
    for sent in wrong:
        response = await http.get("/v1/account", headers=sent)
        assert response.status_code == 401, sent
        assert isinstance(problem(response), SignatureInvalid)
    short = headers("GET", url, b"", keyid=b"\x00" * 31)
    assert (await http.get("/v1/account", headers=short)).status_code == 400


async def test_a_changed_body_is_refused(house: House) -> None:
    http = await house.http()
    url = f"{ORIGIN}/v1/deposit-addresses"
    signed = headers("POST", url, b'{"asset":"a"}')
    response = await http.post(url, content=b'{"asset":"b"}', headers=signed)
    assert isinstance(problem(response), SignatureInvalid)


async def test_a_signature_from_before_the_start_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        time, network = house.time, house.network
        http = await house.http()
        time.now_ms += 5000
        signed = headers("GET", f"{ORIGIN}/v1/account", b"", created_s=1_800_000_005)
        assert (await http.get("/v1/account", headers=signed)).status_code == 200
    time.now_ms += 2000
    async with open_house(tmp_path, time=time, network=network) as house:
        http = await house.http()
        response = await http.get("/v1/account", headers=signed)
        assert isinstance(problem(response), SignatureInvalid)


def test_the_nonce_table_is_bounded_and_forgets() -> None:
    table = NonceTable(4)
    names = iter(range(100))

    def claim(now_s: int, nonce: str | None = None, *, is_repeatable: bool = False) -> None:
        params = SignatureParams("k", now_s, nonce or f"n{next(names)}")
        table.claim(params, now_s, is_known=True, is_repeatable=is_repeatable)

    claim(0, "first")
    claim(0)
    claim(300)
    with pytest.raises(RateLimited):
        claim(300)
    claim(300, "unnoted", is_repeatable=True)
    claim(300, "unnoted", is_repeatable=True)
    with pytest.raises(SignatureInvalid):
        claim(600, "first", is_repeatable=True)
    claim(900, "first")


def test_strangers_fill_their_own_share_of_the_nonce_table_only() -> None:
    table = NonceTable(8)

    def claim(nonce: int, *, is_known: bool) -> None:
        params = SignatureParams("k", 0, f"n{nonce}")
        table.claim(params, 0, is_known=is_known, is_repeatable=False)

    claim(0, is_known=False)
    claim(1, is_known=False)
    with pytest.raises(RateLimited):
        claim(2, is_known=False)
    for nonce in range(2, 8):
        claim(nonce, is_known=True)
    with pytest.raises(SignatureInvalid):
        claim(0, is_known=True)  # what a stranger signed is spent after its first deposit too


async def test_a_flood_of_strangers_stops_nobody_who_has_something_to_lose(tmp_path: Path) -> None:
    text = f"nonces_max = 100\nstrangers_per_s = 4\n{CONFIG}"
    async with open_house(tmp_path, config=parse_config(text, {}, tmp_path)) as house:
        await house.fund(ALICE, 5 * M)
        terms = house.terms()
        async with house.client(ALICE) as alice:
            await alice.open_channel("o", terms, M, signed_open(terms))
        refused = 0
        for n in range(45):
            key = SigningKey(n.to_bytes(32))
            try:
                async with house.client(key) as stranger:
                    await stranger.account()
            except RateLimited as error:
                refused += error.facts["retry_after_s"] == 1
        assert refused == 6  # one of the burst of 40 was Alice's, before she had money
        async with house.client(ALICE) as alice, house.client(BOB) as bob:
            for _ in range(60):  # more than the share of those who are known, too
                await alice.account()
                await bob.channels(role=ChannelRole.PAYEE, state=ChannelState.CLOSING)
            await alice.close_channel(terms.channel_id, PAYER.sign(close_bytes(terms.channel_id)))
        house.time.now_ms += 1000
        async with house.client(THIEF) as stranger:
            await stranger.account()


async def test_strangers_get_only_so_many_deposit_addresses(tmp_path: Path) -> None:
    text = f"addresses_per_hour = 3\naddresses_max = 4\n{CONFIG}"
    config = parse_config(text, {}, tmp_path)

    async def ask(house: House, n: int) -> str:
        async with house.client(SigningKey(n.to_bytes(32))) as stranger:
            return (await stranger.deposit_address(ASSET)).address

    async with open_house(tmp_path, config=config) as house:
        time, network = house.time, house.network
        await house.fund(ALICE, 5 * M)  # the first of three, and not waiting any more
        first = await ask(house, 1)
        await ask(house, 2)
        before = await house.services.store.digest()
        with pytest.raises(RateLimited, match="addresses_per_hour") as caught:
            await ask(house, 3)
        assert caught.value.facts["retry_after_s"] == 1200
        assert await house.services.store.digest() == before
        assert await ask(house, 1) == first
        time.now_ms += 3_600_000
        for n in (3, 4):
            await ask(house, n)
    async with open_house(tmp_path, config=config, time=time, network=network) as house:
        with pytest.raises(RateLimited, match="addresses_max"):
            await ask(house, 5)
        token = house.services.withdrawals.token_of(ASSET)
        network.mint("memory:outside", token, M)
        network.pay("memory:outside", first, token, M)
        assert await house.services.deposits.step(house.services.rails[0]) == 1
        await ask(house, 5)
        with pytest.raises(RateLimited, match="addresses_max"):
            await ask(house, 6)
        async with house.client(ALICE) as alice, house.client(PAYER) as payer:
            terms = house.terms()
            await alice.open_channel("o", terms, M, signed_open(terms))
            claim = RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))
            async with house.client(BOB) as bob:
                await bob.redeem([claim])
                assert (await bob.deposit_address(ASSET)).address  # he has money: no limit
            with pytest.raises(RateLimited):
                await payer.deposit_address(ASSET)


async def test_every_route_says_whether_it_may_be_repeated(house: House) -> None:
    paths = house.app.openapi()["paths"]
    assert {path for path, verbs in paths.items() if "post" in verbs} == REPEATABLE_POSTS


async def test_a_clock_that_is_set_back_refuses_nobody_and_never_shows_in_the_ledger(
    house: House,
) -> None:
    await house.fund(ALICE, 5 * M)
    house.time.now_ms += 10_000
    terms = house.terms()
    async with house.client(ALICE) as alice:
        opened = await alice.open_channel("o", terms, M, signed_open(terms))
        (last, *_) = (await alice.transfers("aiUSD")).transfers
        house.time.now_ms -= 60_000  # before the start of this run
        raised = await alice.top_up(terms.channel_id, "t", M)
        assert raised.channel.deposit == 2 * M
        # A statement is of now; payees take one that is some minutes old.
        assert raised.statement.issued == opened.statement.issued - 60
        transfers = (await alice.transfers("aiUSD")).transfers
        assert transfers[0].seq > last.seq
        assert transfers[0].at_ms == last.at_ms
        await alice.close_channel(terms.channel_id, PAYER.sign(close_bytes(terms.channel_id)))
    async with house.client(BOB) as bob:
        claim = RedemptionClaim(terms.channel_id, M, voucher(terms.channel_id, M))
        (result,) = await bob.redeem([claim])
        assert result.redeemed == M
    assert (await house.services.store.verify()).ok


async def test_a_body_too_long_is_a_413(house: House) -> None:
    http = await house.http()
    limit = house.services.config.body_bytes_max
    url = f"{ORIGIN}/v1/redemptions"
    declared = await http.post(url, content=b"x" * (limit + 1))
    assert declared.status_code == 413
    assert problem(declared).slug == "body-too-large"

    async def chunks() -> object:
        for _ in range(limit // 1000 + 1):
            yield b"x" * 1000

    assert (await http.post(url, content=chunks())).status_code == 413


async def test_what_the_framework_refuses_is_a_problem_too(house: House) -> None:
    http = await house.http()
    assert isinstance(problem(await http.get("/nothing")), NotFound)
    method = await http.delete("/v1/account")
    assert method.status_code == 405
    assert method.headers["allow"] == "GET"
    problem(method)
    for query in (
        "limit=0",
        "limit=1001",
        "limit=x",
        "role=owner",
        "state=gone",
        "after=" + "a" * 201,
    ):
        url = f"{ORIGIN}/v1/channels?{query}"
        error = problem(await http.get(url, headers=headers("GET", url, b"", nonce=query[:20])))
        assert error.status == 400
        assert error.facts["field"] == query.partition("=")[0]
    url = f"{ORIGIN}/v1/account/transfers?currency=XXX"
    error = problem(await http.get(url, headers=headers("GET", url, b"")))
    assert isinstance(error, UnknownCurrency)
    for n, channel in enumerate(["x", "00", "G" * 64, "AA" * 32]):
        url = f"{ORIGIN}/v1/channels/{channel}"
        response = await http.get(url, headers=headers("GET", url, b"", nonce=f"c{n}"))
        assert response.status_code == 404


async def test_an_unforeseen_failure_tells_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(house.services.channels), "get", fail)
    http = await house.http()
    url = f"{ORIGIN}/v1/channels/{'00' * 32}"
    response = await http.get(url, headers=headers("GET", url, b""))
    assert response.status_code == 500
    assert problem(response).slug == "internal"
    assert b"secret" not in response.content


async def test_an_alarm_stops_withdrawals_and_nothing_else(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    token = house.services.withdrawals.token_of(ASSET)
    for address in [address for (address, _), units in house.network._balances.items() if units]:
        stolen = house.network.balance(address, token)
        house.network.pay(address, "memory:thief", token, stolen)
    house.services.solvency._pause_s = 0
    assert not (await house.services.solvency.check()).solvent
    async with house.client(ALICE) as alice:
        info = await alice.info()
        assert not info.withdrawals_open
        assert (await alice.solvency()).holdings[0].short == 5 * M
        with pytest.raises(SolvencyAlarm):
            await alice.withdraw("w", ASSET, M, "memory:there", 0)
        terms = house.terms()
        await alice.open_channel("o", terms, M, signed_open(terms))
        house.network.mint("memory:treasury", token, 5 * M)
        assert (await house.services.solvency.check()).solvent
        done = await alice.withdraw("w", ASSET, M, "memory:there", 0)
        assert done.state is WithdrawalState.SETTLED


async def test_ids_and_signatures_have_their_shapes(house: House) -> None:
    for n, bad in enumerate(["", "a b", "x" * 65, "ü", 5]):
        error = await post(
            house, f"/v1/channels/{'00' * 32}/deposits", {"id": bad, "units": "1"}, f"i{n}"
        )
        assert error.facts["field"] == "body.id"
    assert not isinstance(error, InvalidAmount)
    error = await post(house, f"/v1/channels/{'00' * 32}/close", {"payer_signature": "AA"}, "s")
    assert error.facts["field"] == "body.payer_signature"


def test_the_exchange_signs_each_time_anew() -> None:
    nonces = iter(["a", "b"])
    exchange = Exchange(ORIGIN, ALICE, lambda: 1, lambda: next(nonces))
    first, second = exchange.prepare(calls.account()), exchange.prepare(calls.account())
    assert first.headers["Signature"] != second.headers["Signature"]


async def test_no_two_nodes_share_a_ledger(tmp_path: Path) -> None:
    config = parse_config(CONFIG, {}, tmp_path)
    async with open_house(tmp_path, config=config):
        with pytest.raises(AisaError) as caught:
            async with open_house(tmp_path, config=config):
                pass
    assert caught.value.slug == "file-owned"
