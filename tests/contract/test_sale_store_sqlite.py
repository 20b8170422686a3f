"""Sales in the payee's file: written over, found by either name, forgotten in time, migrated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from aisa.channel.sale import SaleRow, SaleState
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.errors import StoreUnavailable

PAYEE = b"p" * 32
ROW = SaleRow(
    id=b"1" * 32,
    state=SaleState.SETTLING,
    at_ms=1_000,
    network="eip155:1",
    payer=b"a" * 20,
    currency="aiUSD",
    units=100,
    request=b"r" * 32,
    fingerprint=b"f" * 32,
    identifier="order-0000000001",
    valid_until_s=2**40,
    asked=b"{}",
)
SOLD = replace(
    ROW, state=SaleState.SOLD, at_ms=2_000, status=200, answer=b"answer", response="e30="
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteChannelStore]:
    with closing(SqliteChannelStore(tmp_path / "s.sqlite", PAYEE)) as opened:
        yield opened


def test_a_sale_is_written_over_by_itself_only(store: SqliteChannelStore) -> None:
    sales = store.sales
    assert sales.find(ROW.id) is None
    sales.put(ROW)
    assert sales.find(ROW.id) == sales.find_identifier(ROW.identifier) == ROW
    sales.put(SOLD)
    assert sales.find(ROW.id) == SOLD
    with pytest.raises(StoreUnavailable):
        sales.put(replace(ROW, id=b"2" * 32))
    assert sales.find_identifier(ROW.identifier) == SOLD
    for number in (3, 4):
        sales.put(replace(ROW, id=bytes([number]) * 32, identifier=""))
    assert sales.find_identifier("") is None
    sales.forget(ROW.id)
    assert sales.find(ROW.id) is None


def test_what_is_settling_is_read_page_by_page(store: SqliteChannelStore) -> None:
    rows = [replace(ROW, id=bytes([n]) * 32, identifier="") for n in range(5)]
    for row in reversed(rows):
        store.sales.put(row)
    store.sales.put(replace(SOLD, id=b"s" * 32, identifier=""))
    first = store.sales.settling(b"", 3)
    assert list(first) == rows[:3]
    assert list(store.sales.settling(first[-1].id, 3)) == rows[3:]


def test_what_is_old_is_forgotten_unless_it_is_settling(store: SqliteChannelStore) -> None:
    sales = store.sales
    sales.put(SOLD)
    settling = replace(ROW, id=b"2" * 32, identifier="", answer=b"kept")
    sales.put(settling)
    sales.prune(answers_before_ms=2_000, sales_before_ms=2_000, rows_max=9)
    assert sales.find(SOLD.id) == SOLD
    sales.prune(answers_before_ms=2_001, sales_before_ms=2_000, rows_max=9)
    assert sales.find(SOLD.id) == replace(SOLD, answer=b"")
    sales.prune(answers_before_ms=2_001, sales_before_ms=2_001, rows_max=9)
    assert sales.find(SOLD.id) is None
    assert sales.find(settling.id) == settling


def test_sales_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        store.sales.put(SOLD)
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        assert store.sales.find(SOLD.id) == SOLD


def test_a_file_of_version_4_learns_of_sales(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    SqliteChannelStore(path, PAYEE).close()
    with sqlite3.connect(path) as raw:
        raw.executescript("DROP TABLE sale; PRAGMA user_version=4;")
    raw.close()
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        store.sales.put(SOLD)
        assert store.sales.find(SOLD.id) == SOLD
