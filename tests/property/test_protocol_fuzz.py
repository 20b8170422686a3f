"""Ten thousand broken inputs per parser; `make drills` tries a million."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from tests.fuzz import run as fuzz
from tests.fuzz.generators import mutate_bytes, mutate_json, mutate_text
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("parser", sorted(TARGETS))
def test_every_input_is_refused_or_has_one_canonical_form(parser: str) -> None:
    stats = fuzz.run(parser, cases=10_000, seed=20261122)
    assert not stats.failures
    assert stats.cases == 10_000
    assert stats.accepted + stats.refused == stats.cases
    assert min(stats.accepted, stats.refused) > 100, "the inputs are not both good and bad"


def test_a_seed_gives_the_same_inputs_again() -> None:
    def drawn() -> list[Any]:
        random = Random(3)
        return [
            mutate_text('Payment id="a"', random, ("Basic x=y",)),
            mutate_json('{"a":[1,{"b":"c"}]}', random),
            mutate_bytes(bytes(50), random),
        ]

    assert drawn() == drawn()


def _broken(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[str]:
    monkeypatch.setitem(TARGETS, "broken", replace(TARGETS["json"], name="broken", **changes))
    return fuzz.run("broken", cases=400, seed=1).failures


def test_the_fuzzer_sees_a_foreign_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = _broken(monkeypatch, parse=json.loads, write=json.dumps)
    assert len(failures) == fuzz.FAILURES_MAX
    assert "JSONDecodeError" in "".join(failures)


def test_the_fuzzer_sees_a_value_that_changes_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "another value" in _broken(monkeypatch, write=lambda value: json.dumps([value]))[0]


def test_the_fuzzer_sees_two_canonical_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = iter(range(10_000))
    failures = _broken(monkeypatch, write=lambda value: json.dumps(value) + " " * next(forms))
    assert "two canonical forms" in failures[0]


def test_the_fuzzer_sees_a_value_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> str:
        raise MalformedMessage("no")

    assert "cannot be written" in _broken(monkeypatch, write=refuse)[0]


def test_the_fuzzer_sees_a_parser_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CPU_S_MAX", -1.0)
    assert fuzz.run("amount", cases=3).failures[0].startswith("took")


def test_the_command_prints_a_line_per_parser(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["amount", "agent-id", "--cases", "50"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_command_fails_when_a_parser_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "CPU_S_MAX", -1.0)
    assert fuzz.main(["amount", "--cases", "3"]) == 1
    assert "took" in capsys.readouterr().out
