"""Prices, the list of them, quotas and the limit on unpaid requests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aisa.errors import ConfigInvalid, InvalidAmount, UnknownCurrency
from aisa.money import AIUSD, EUR, Amount, parse_amount
from aisa.paywall import FreeQuota, PaidCall, RequestFacts, charge, paid
from aisa.paywall.limiter import DailyQuota, UnpaidLimiter, peer_name
from aisa.paywall.price import check_currency, price_of
from aisa.paywall.pricelist import PriceList, price_list

T0 = 1_800_000_000_000


@pytest.mark.parametrize("price", ["0.0001 aiUSD", Amount(100, AIUSD)])
def test_a_fixed_price(price: Any) -> None:
    made = price_of(price)
    assert (made.units_max, made.currency, made.compute, made.is_stated_later) == (
        100,
        AIUSD,
        None,
        False,
    )


@pytest.mark.parametrize(
    "text",
    ["", "NaN aiUSD", "-1 aiUSD", "1e-7 aiUSD", "0.0000001 aiUSD", "9223372036854.775808 aiUSD"],
)
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(InvalidAmount):
        paid(text)


def test_prices_that_cannot_be() -> None:
    with pytest.raises(ConfigInvalid, match="needs at_most"):
        paid()
    with pytest.raises(ConfigInvalid, match="no at_most"):
        paid("1 aiUSD", at_most="2 aiUSD")
    with pytest.raises(UnknownCurrency):
        paid("1 shells")
    with pytest.raises(UnknownCurrency):
        check_currency(price_of("1 EUR"), AIUSD)
    check_currency(price_of("1 EUR"), EUR)


def test_a_stated_price_is_bounded_and_in_the_same_currency() -> None:
    price = price_of(None, at_most="0.001 aiUSD")
    assert price.units_of("0.0005 aiUSD") == 500
    assert price.units_of(parse_amount("0.001 aiUSD")) == 1000
    for amount in ("0.0011 aiUSD", "0.0001 EUR"):
        with pytest.raises(ConfigInvalid):
            price.units_of(amount)


def test_only_a_handler_of_such_a_route_states_a_price() -> None:
    with pytest.raises(ConfigInvalid, match="no paid call"):
        charge("1 aiUSD")
    call = PaidCall(price_of("0.0001 aiUSD"), b"", 100)
    with pytest.raises(ConfigInvalid, match="fixed"):
        call.charge("0.0001 aiUSD")


def test_request_facts() -> None:
    headers = [(b"a", b"1"), (b"a", b"2"), (b"b", b"\xe9")]
    facts = RequestFacts.of("GET", "/x", b"q=1&q=2&e=", headers, "127.0.0.1")
    assert facts.query == {"q": "2", "e": ""}
    assert facts.headers == {"a": "2", "b": "é"}


def test_paths_methods_and_patterns() -> None:
    listed = price_list(
        {
            "/any": "0.0001 aiUSD",
            "GET /read": "0.0002 aiUSD",
            "PUT,POST /write/{id}": paid("0.0003 aiUSD"),
            "/files/{name:path}": price_of("0.0004 aiUSD"),
        }
    )

    def units(path: str, method: str = "GET") -> int | None:
        found = listed.find(path, method)
        return None if found is None else found.units_max

    assert units("/any") == units("/any", "DELETE") == 100
    assert units("/any", "OPTIONS") is None
    assert units("/read") == units("/read", "HEAD") == 200
    assert units("/read", "POST") is None
    assert units("/write/7", "POST") == units("/write/x.y", "PUT") == 300
    assert units("/write/7") is None
    assert units("/write/7/8", "POST") is None
    assert units("/writes/7", "POST") is None
    assert units("/files/a/b/c") == 400
    assert units("/files/a", "OPTIONS") is None
    assert units("/any/") is None
    assert len(listed.prices()) == 4


@pytest.mark.parametrize("route", ["read", "get /read", "", "GET  /read", "GET /a b"])
def test_routes_that_are_none(route: str) -> None:
    with pytest.raises(ConfigInvalid):
        price_list({route: "0.0001 aiUSD"})


def test_a_route_has_one_price() -> None:
    listed = PriceList()
    price = price_of("0.0001 aiUSD")
    listed.add("/x", price, ("GET",))
    listed.add("/x", price, ("GET",))
    with pytest.raises(ConfigInvalid, match="two prices"):
        listed.add("/x", price_of("0.0001 aiUSD"), ("GET",))


def test_a_given_pattern_is_used() -> None:
    listed = PriceList()
    listed.add("/x/{n}", price_of("0.0001 aiUSD"), pattern=re.compile(r"^/x/\d+$"))
    assert listed.find("/x/12", "GET")
    assert listed.find("/x/ab", "GET") is None


def test_a_bucket_fills_and_empties() -> None:
    limiter = UnpaidLimiter(per_s=50, burst=3)
    assert [limiter.take("a", T0) for _ in range(4)] == [0, 0, 0, 1]
    assert limiter.take("b", T0) == 0
    assert [limiter.take("a", T0 + 20) for _ in range(2)] == [0, 1]
    assert limiter.take("a", T0) > 0, "a clock that goes back gives nothing"
    assert [limiter.take("a", T0 + 10_000) for _ in range(4)] == [0, 0, 0, 1]


def test_a_slow_bucket_says_how_long_to_wait() -> None:
    limiter = UnpaidLimiter(per_s=0.1, burst=1)
    limiter.take("a", T0)
    assert limiter.take("a", T0) == 10


def test_the_silent_are_forgotten_first() -> None:
    limiter = UnpaidLimiter(burst=1, peers_max=2)
    for peer in ("a", "b", "a", "c"):
        limiter.take(peer, T0)
    assert list(limiter._peers) == ["a", "c"]


def test_a_quota_is_per_day_price_and_name() -> None:
    quota = DailyQuota(names_max=2)
    assert [quota.take(1, "a", 2, T0) for _ in range(3)] == [True, True, False]
    assert quota.take(2, "a", 1, T0)
    assert not quota.take(1, "b", 1, T0), "a full table gives nothing to new names"
    assert quota.take(1, "b", 1, T0 + 86_400_000)
    assert FreeQuota(3).per_payer is False


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_peers_are_counted_by_what_they_own(host: str, name: str) -> None:
    assert peer_name(host) == name
