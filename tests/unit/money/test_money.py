"""Amounts, tokens, rates and pegs keep to exact integers of one currency."""

from __future__ import annotations

import pytest

from aisa.errors import InvalidAmount, InvalidRequest, NotAllowed
from aisa.money import AIUSD, BTC, USDC, Amount, Currency, Peg, PegTable, Rate, Token

NETWORK = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"


def token(scale: int = 6, symbol: str = "aiUSD") -> Token:
    return Token(symbol, "issuer", NETWORK, f"{NETWORK}/token:{symbol}", scale, "aiUSD")


def test_amounts_of_one_currency_add_and_subtract() -> None:
    assert Amount(3, AIUSD) + Amount(4, AIUSD) == Amount(7, AIUSD)
    assert Amount(4, AIUSD) - Amount(3, AIUSD) == Amount(1, AIUSD)
    assert Amount(4, AIUSD) * 3 == Amount(12, AIUSD)
    assert Amount(1, AIUSD) < Amount(2, AIUSD) <= Amount(2, AIUSD)


def test_amounts_never_mix_currencies_or_go_negative() -> None:
    with pytest.raises(InvalidAmount):
        _ = Amount(1, AIUSD) + Amount(1, USDC)
    with pytest.raises(InvalidAmount):
        _ = Amount(1, AIUSD) - Amount(2, AIUSD)
    with pytest.raises(InvalidAmount):
        _ = Amount(2**62, AIUSD) + Amount(2**62, AIUSD)


def test_all_bitcoin_fits_in_millisatoshi() -> None:
    assert Amount(21_000_000 * 10**11, BTC).units < 2**63


@pytest.mark.parametrize(
    ("code", "scale"), [("", 6), ("a", 6), ("a b", 6), ("aiUSD", 12), ("x" * 17, 2)]
)
def test_a_currency_has_a_plain_code_and_a_bounded_scale(code: str, scale: int) -> None:
    with pytest.raises(InvalidRequest):
        Currency(code, scale)


def test_a_token_belongs_to_its_network() -> None:
    with pytest.raises(InvalidRequest):
        Token("x", "issuer", NETWORK, "eip155:1/erc20:0x00", 6, "aiUSD")
    assert token().reference == "aiUSD"


def test_token_units_become_ledger_units_and_dust() -> None:
    assert token(9).to_ledger(1_999, 6) == (1, 999)
    assert token(6).to_ledger(7, 6) == (7, 0)
    assert token(2).to_ledger(7, 6) == (70_000, 0)
    assert token(9).from_ledger(1, 6) == 1_000
    with pytest.raises(InvalidAmount):
        token(2).from_ledger(1, 6)


def test_a_rate_rounds_down_and_tells_the_remainder() -> None:
    rate = Rate(AIUSD, USDC, 2, 3)
    assert rate.convert(Amount(10, AIUSD)) == (Amount(6, USDC), 2)
    with pytest.raises(InvalidAmount):
        rate.convert(Amount(10, USDC))
    with pytest.raises(InvalidAmount):
        Rate(AIUSD, USDC, 0, 3)


def test_only_a_listed_token_is_at_par() -> None:
    table = PegTable([Peg(token(), 10**12)])
    assert table.at_par(token().asset, "aiUSD").token == token()
    assert table.tokens == (token(),)
    with pytest.raises(NotAllowed):
        table.at_par(token().asset, "USDC")
    with pytest.raises(NotAllowed):
        table.at_par(token(symbol="other").asset, "aiUSD")
    with pytest.raises(InvalidRequest):
        PegTable([Peg(token(), 1), Peg(token(), 2)])
