"""A seller's books: every charge once, by day, whether the seller runs or crashed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.channel.store import LaneRow, StoreBatch
from aisa.cli.application import run
from aisa.cli.seller_folder import ensure_seller_seed, seller_files
from aisa.identity import SigningKey
from tests.contract.channel_store_suite import channel_row, charge

DAY_MS = 86_400_000
FIRST = int(datetime(2026, 11, 20, 23, 59, 59, 999_000, UTC).timestamp() * 1000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def filled(home: Path) -> SqliteChannelStore:
    """Three calls, the last of a day, the first of the next one, and one that was taken back."""
    files = seller_files(home)
    payee = SigningKey(ensure_seller_seed(files)).public_key
    store = SqliteChannelStore(files.store, payee)
    store.commit(StoreBatch(1, FIRST, new_channels=(channel_row(),)))
    for number, at_ms in ((1, FIRST), (2, FIRST + 1), (3, FIRST + DAY_MS)):
        row = channel_row(charged=100 * number, redeemed=100)
        lane = LaneRow(1, 0, 100 * number, closed=False)
        made = charge(number, 100 * number)
        store.commit(StoreBatch(number + 1, at_ms, (), (row,), (), (lane,), (made,)))
    row = channel_row(charged=200, redeemed=100)
    store.commit(StoreBatch(5, FIRST + DAY_MS, channels=(row,), voids=((1, 0, 3),)))
    return store


class Shell:
    """Runs the command as a terminal would."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, *words: str, home: Path | None = None, code: int = 0) -> str:
        got = run(["seller", "revenue", *words, "--home", str(home or self.home)])
        out, err = self._capsys.readouterr()
        assert (got == 0) is (code == 0), err
        return out if code == 0 else err


@pytest.fixture
def shell(home: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(home, capsys)


def test_sales_are_added_up_by_day(home: Path, shell: Shell) -> None:
    filled(home).close()
    told = json.loads(shell("--json"))
    assert told["earned"] == [{"currency": "aiUSD", "units": "200"}]
    assert [(one["day"], one["calls"], one["units"]) for one in told["days"]] == [
        ("2026-11-20", 1, "100"),
        ("2026-11-21", 1, "100"),
    ]
    assert "2 calls, 0.0002 aiUSD" in shell()


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (("--since", "2026-11-21"), 1),
        (("--until", "2026-11-20"), 1),
        (("--since", "2026-11-20", "--until", "2026-11-21"), 2),
        (("--since", "2026-11-22"), 0),
    ],
)
def test_a_span_is_of_whole_days(
    home: Path, shell: Shell, words: tuple[str, ...], calls: int
) -> None:
    filled(home).close()
    assert json.loads(shell(*words, "--json"))["calls"] == calls


def test_every_call_is_a_line(home: Path, tmp_path: Path, shell: Shell) -> None:
    filled(home).close()
    target = tmp_path / "book.csv"
    told = json.loads(shell("--csv", str(target), "--json"))
    assert told["csv"] == str(target)
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert [(row["time"], row["units"], row["voided"], row["redeemed"]) for row in rows] == [
        ("2026-11-20T23:59:59.999Z", "100", "0", "1"),
        ("2026-11-21T00:00:00.000Z", "100", "0", "0"),
        ("2026-11-21T23:59:59.999Z", "0", "1", "0"),
    ]
    assert rows[0]["amount"] == "0.0001"
    assert rows == list(csv.DictReader(io.StringIO(shell("--csv", "-"))))


def test_a_file_is_not_written_over(home: Path, tmp_path: Path, shell: Shell) -> None:
    filled(home).close()
    target = tmp_path / "book.csv"
    target.write_text("mine")
    told = json.loads(shell("--csv", str(target), "--json", code=1))
    assert "exists already" in told["detail"]
    assert target.read_text() == "mine"


def test_it_reads_beside_a_running_seller(home: Path, shell: Shell) -> None:
    with closing(filled(home)):
        assert json.loads(shell("--json"))["calls"] == 2


def test_what_a_crash_left_in_the_journal_counts(home: Path, tmp_path: Path, shell: Shell) -> None:
    files = seller_files(home)
    store = filled(home)
    row, lane = channel_row(charged=300), LaneRow(1, 0, 300, closed=False)
    store.commit(StoreBatch(6, FIRST + DAY_MS, (), (row,), (), (lane,), (charge(4, 300),)))
    left = tmp_path / "crashed"
    shutil.copytree(home, left)
    store.close()
    assert files.store.exists()
    assert json.loads(shell("--json", home=left))["calls"] == 3


def test_nothing_is_said_as_nothing(home: Path, shell: Shell) -> None:
    filled(home).close()
    assert "nothing was sold" in shell("--since", "2027-01-01")
    other = home / "other"
    assert json.loads(shell("--json", home=other, code=1))["slug"] == "not-found"
