from __future__ import annotations

from aisa.demo.conservation import ChainFee, Holding, Mint, asset_sums

NATIVE = "solana:x/slip44:501"
TOKEN = "solana:x/token:m"


def held(account: str, asset: str, units: int) -> Holding:
    return Holding("solana:x", account, "agent", asset, units)


def sums(after_units: int, after_lamports: int = 900) -> dict[str, bool]:
    found = asset_sums(
        [held("a", TOKEN, 5), held("a", NATIVE, 1000)],
        [held("b", TOKEN, after_units), held("a", NATIVE, after_lamports)],
        [Mint(TOKEN, 10)],
        [ChainFee("t1", 60), ChainFee("t2", 40)],
        native=NATIVE,
    )
    return {one.asset: one.is_conserved for one in found}


def test_what_was_and_came_is_what_stays_and_was_paid() -> None:
    assert sums(15) == {NATIVE: True, TOKEN: True}


def test_one_unit_too_many_or_too_few_is_seen() -> None:
    assert not sums(14)[TOKEN]
    assert not sums(16)[TOKEN]
    assert not sums(15, 899)[NATIVE]


def test_fees_are_paid_in_the_native_asset_only() -> None:
    found = asset_sums([], [], [Mint(TOKEN, 1)], [ChainFee("t", 1)], native=NATIVE)
    assert [(one.asset, one.fees) for one in found] == [(TOKEN, 0)]
