from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aisa.demo.conservation import AssetSum, ChainFee, Holding
from aisa.demo.outcome import Books, Job, Outcome, rows, verdicts

ASSET = "solana:x/token:m"
KEYS = [
    *("calls", "served", "failed", "paid_total", "fee_total", "p50_ms", "p99_ms", "calls_per_s"),
    *("ledger_ok", "chain_before", "chain_after", "chain_fees", "conserved"),
]


def outcome() -> Outcome:
    return Outcome(
        asset=ASSET,
        job=Job(10, 10, 0, 1000, 2.0, 1.5, 3.25, "12.34"),
        books=Books(ledger_ok=True, customers_units=30, fees_units=2, held_units=32),
        fee_units=2,
        before=[],
        after=[Holding("solana:x", "a", "seller", ASSET, 998)],
        chain_fees=[ChainFee("t", 5000)],
        sums=[AssetSum(ASSET, 0, 1030, 1030, 0)],
        euro_sum_expected=Decimal("12.34"),
        checks={"served": True},
    )


def test_the_document_has_exactly_its_keys() -> None:
    document = outcome().document()
    assert list(document) == KEYS
    assert document["chain_after"] == [
        {"network": "solana:x", "account": "a", "role": "seller", "asset": ASSET, "units": 998}
    ]
    assert document["chain_fees"] == [{"tx": "t", "lamports": 5000}]
    assert document["conserved"] is True
    assert document["calls_per_s"] == 5.0


def test_it_holds_only_if_everything_does() -> None:
    assert outcome().holds
    good = outcome()
    assert not replace(good, books=replace(good.books, ledger_ok=False)).holds
    assert not replace(good, books=replace(good.books, held_units=31)).is_conserved
    assert not replace(good, sums=[AssetSum(ASSET, 0, 1030, 1029, 0)]).holds
    assert not replace(good, checks={"served": False}).holds


def test_a_person_reads_the_same() -> None:
    table = dict(rows(outcome()))
    assert table["calls served and paid"] == "10 of 10"
    assert table["paid by the agent"] == "0.001 aiUSD"
    assert table["on the chain now: seller"] == "0.000998 aiUSD"
    assert ("the ledger verifies", True) in verdicts(outcome())
