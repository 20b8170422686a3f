from __future__ import annotations

from dataclasses import replace

import pytest

from aisa.channel.payer_offer import check_offer, check_statement, common_hub, origin_of
from aisa.errors import (
    ChallengeInvalid,
    InvalidRequest,
    NoCommonNode,
    OriginRefused,
    SignatureInvalid,
    StatementRefused,
    UnknownCurrency,
)
from aisa.identity import SigningKey
from aisa.protocol.aip import (
    DepositStatement,
    Hub,
    SessionRequest,
    hub_network,
    payee_exchange_bytes,
)

PAYEE, NODE = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
NETWORK = hub_network(NODE.public_key)
OFFER = SessionRequest(
    amount=100,
    currency="aiUSD",
    scale=6,
    payee=PAYEE.public_key,
    hubs=(Hub(NETWORK, 1000),),
    payee_x25519=bytes(32),
    x_expiry=2000,
    x_signature=PAYEE.sign(payee_exchange_bytes(bytes(32), 2000)),
    session_url="https://api.example/aisa/session",
    deposit_min=1,
    ceiling_step_max=1,
)


def test_an_honest_offer_is_accepted() -> None:
    check_offer(OFFER, origin="https://api.example", now_s=1999)
    check_offer(
        replace(OFFER, session_url="https://API.example:443/s"),
        origin="https://api.example",
        now_s=0,
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"session_url": "https://thief.example/aisa/session"}, OriginRefused),
        ({"session_url": "http://api.example/aisa/session"}, OriginRefused),
        ({"session_url": "https://api.example:8443/aisa/session"}, OriginRefused),
        ({"session_url": "https://api.example@thief.example/"}, OriginRefused),
        ({"session_url": "/aisa/session"}, OriginRefused),
        ({"x_expiry": 1000}, ChallengeInvalid),
        ({"x_expiry": 3000}, ChallengeInvalid),
        ({"payee": NODE.public_key}, ChallengeInvalid),
        ({"payee_x25519": bytes([1]) * 32}, ChallengeInvalid),
        ({"currency": "GOLD"}, UnknownCurrency),
        ({"scale": 2}, InvalidRequest),
    ],
)
def test_a_dishonest_offer_is_refused(changes: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_offer(replace(OFFER, **changes), origin="https://api.example", now_s=1000)


def test_a_node_is_never_taken_from_the_challenge() -> None:
    thief = hub_network(PAYEE.public_key)
    assert common_hub([Hub(thief, 1), Hub(NETWORK, 2)], ["other", NETWORK]).fee_ppm_max == 2
    with pytest.raises(NoCommonNode):
        common_hub([Hub(thief, 1)], [NETWORK])


def statement(**changes: object) -> DepositStatement:
    plain = replace(DepositStatement(bytes(32), 100, 500, 0), **changes)
    return replace(plain, signature=NODE.sign(plain.signing_bytes()))


def test_a_statement_is_checked_against_what_was_paid_in() -> None:
    wanted = {"network": NETWORK, "channel": bytes(32), "deposit": 100, "fee_ppm_max": 500}
    check_statement(statement(), **wanted)
    check_statement(statement(deposit=101), **wanted)
    for changes in ({"channel": bytes([1]) * 32}, {"deposit": 99}, {"fee_ppm": 501}):
        with pytest.raises(StatementRefused):
            check_statement(statement(**changes), **wanted)
    with pytest.raises(SignatureInvalid):
        check_statement(replace(statement(), issued=1), **wanted)


def test_origins_have_one_spelling() -> None:
    assert origin_of("HTTP://Example.com:80/x?y") == "http://example.com"
    assert origin_of("http://127.0.0.1:8402/") == "http://127.0.0.1:8402"
    for bad in ("ftp://x", "example.com", "http://", "http://user@host/"):
        with pytest.raises(InvalidRequest):
            origin_of(bad)
