"""What a newcomer does wrong is answered by a sentence that says what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from aisa.cli import devnet
from aisa.cli.application import run
from aisa.cli.node_folder import node_files
from aisa.cli.seller_folder import seller_files
from aisa.cli.service import Service, write_service


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(list(words))
    caught = capsys.readouterr()
    return code, caught.out, caught.err


@pytest.mark.parametrize("words", [(), ("wallet",), ("node",)])
def test_a_noun_alone_shows_its_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: aisa")
    assert "Commands:" in err


def test_a_program_that_names_a_noun_alone_gets_a_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call(capsys, "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["slug"] == "invalid-request"


def test_a_url_that_is_none_is_shown_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = call(capsys, "pay", "rates/USD", "--home", str(tmp_path), "--dry-run")
    assert code == 2
    assert "hint: write it whole" in err


def test_a_second_node_of_a_home_is_told_of_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_service(node_files(tmp_path).process, Service.of_this_process("http://127.0.0.1:8401"))
    code, _, err = call(capsys, "node", "up", "--home", str(tmp_path))
    assert code == 7
    assert "runs already at http://127.0.0.1:8401" in err
    assert "aisa node stop" in err


def test_a_second_seller_of_a_home_is_told_of_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_service(seller_files(tmp_path).process, Service.of_this_process("http://127.0.0.1:8402"))
    code, _, err = call(capsys, "seller", "up", "module:app", "--home", str(tmp_path))
    assert code == 7
    assert "runs already at http://127.0.0.1:8402" in err
    assert "without --seller" in err
    assert "--home DIR" in err


@pytest.mark.parametrize(
    ("called", "on_path", "words"),
    [
        (".venv/bin/aisa", None, ".venv/bin/aisa"),
        (".venv/bin/aisa", ".venv/bin/aisa", "aisa"),
        ("src/aisa/__main__.py", None, "aisa"),
    ],
)
def test_the_next_step_is_told_in_words_that_work_here(
    called: str,
    on_path: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [called])
    found = None if on_path is None else str(tmp_path / on_path)
    monkeypatch.setattr("shutil.which", lambda name: found)
    assert devnet._this_command() == words
