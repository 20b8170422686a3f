from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from aisa.cli import withdrawal
from aisa.cli.account import Account
from aisa.cli.command import Session
from aisa.client import (
    AccountInfo,
    BalanceInfo,
    CurrencyInfo,
    NodeInfo,
    SyncNodeClient,
    TokenInfo,
    WithdrawalInfo,
    WithdrawalQuote,
    WithdrawalState,
)
from aisa.errors import (
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    NodeUnavailable,
    OutcomeUnknown,
    RailError,
    UnknownCurrency,
)
from aisa.identity import SigningKey

ASSET = "solana:x/token:m"
INFO = NodeInfo(
    "aisa:n",
    bytes(32),
    "1",
    (CurrencyInfo("aiUSD", 6, 1000, 10**9),),
    (TokenInfo(ASSET, "aiUSD", "solana:x", 6, "aiUSD"),),
    True,
    (),
)
PENDING = WithdrawalInfo("wd", WithdrawalState.PENDING, ASSET, "aiUSD", 0, 7, "dest", 0)


@dataclass
class Node:
    """A node whose withdrawals go through the listed states."""

    states: Iterator[WithdrawalState | Exception]
    available: int = 1000
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def account(self) -> AccountInfo:
        return AccountInfo(bytes(32), (BalanceInfo("aiUSD", self.available, self.available),))

    def withdrawal_quote(self, asset: str, units: int, destination: str) -> WithdrawalQuote:
        return WithdrawalQuote(asset, units, 7, 1)

    def withdraw(
        self,
        id: str,  # noqa: A002 - the client's word
        asset: str,
        units: int,
        destination: str,
        fee_units_max: int,
    ) -> WithdrawalInfo:
        self.asked.append((id, units, fee_units_max))
        return replace(PENDING, id=id, units=units)

    def withdrawal(self, id: str) -> WithdrawalInfo:  # noqa: A002 - as above
        state = next(self.states)
        if isinstance(state, Exception):
            raise state
        return replace(PENDING, id=id, state=state, reference="tx", reason="because")


def send(node: Node, amount: str = "0.0005", **options: str | None) -> object:
    account = Account(cast("SyncNodeClient", node), INFO, SigningKey(bytes(32)))
    given: dict[str, str | None] = {"asset": None, "fee_max": None, "request_id": None, **options}
    session = Session(Path("/nowhere"), as_json=True)
    return withdrawal.withdraw_and_wait(
        session,
        account,
        amount,
        destination="dest",
        asset=given["asset"],
        fee_max=given["fee_max"],
        request_id=given["request_id"],
    ).document


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawal, "_POLL_S", 0.0)


def test_it_is_followed_until_it_is_settled() -> None:
    node = Node(iter([WithdrawalState.PENDING, WithdrawalState.UNKNOWN, WithdrawalState.SETTLED]))
    document = cast("dict[str, str]", send(node, request_id="mine"))
    assert (document["state"], document["reference"]) == ("settled", "tx")
    assert node.asked == [("mine", 500, 7)]


def test_a_failed_one_is_an_error_of_the_network() -> None:
    with pytest.raises(RailError, match="because"):
        send(Node(iter([WithdrawalState.FAILED])))


def test_one_that_stays_unknown_says_how_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawal, "_WAIT_S_MAX", 0.0)
    with pytest.raises(OutcomeUnknown) as caught:
        send(Node(itertools.repeat(WithdrawalState.UNKNOWN)), request_id="mine")
    assert "--id mine" in caught.value.hint


def test_a_node_that_is_away_for_a_moment_is_asked_again() -> None:
    away: list[WithdrawalState | Exception] = [NodeUnavailable("away"), WithdrawalState.SETTLED]
    assert cast("dict[str, str]", send(Node(iter(away))))["state"] == "settled"


def test_all_leaves_the_fee() -> None:
    node = Node(iter([WithdrawalState.SETTLED]))
    send(node, "all")
    assert node.asked[0][1:] == (993, 7)
    with pytest.raises(InsufficientFunds):
        send(Node(iter(()), available=0), "all")


def test_a_fee_limit_goes_to_the_node() -> None:
    node = Node(iter([WithdrawalState.SETTLED, WithdrawalState.SETTLED]))
    send(node, fee_max="0")
    send(node, fee_max="0.00001")
    assert [fee for _, _, fee in node.asked] == [0, 10]


@pytest.mark.parametrize(
    ("amount", "asset", "error"),
    [
        ("0", None, InvalidAmount),
        ("1e-7", None, InvalidAmount),
        ("NaN", None, InvalidAmount),
        ("-1", None, InvalidAmount),
        ("9223372036854775808", None, InvalidAmount),
        ("", None, InvalidAmount),
        ("1 EUR", None, UnknownCurrency),
        ("1", "DOGE", InvalidRequest),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything(
    amount: str, asset: str | None, error: type[Exception]
) -> None:
    node = Node(iter(()))
    with pytest.raises(error):
        send(node, amount, asset=asset)
    assert node.asked == []
