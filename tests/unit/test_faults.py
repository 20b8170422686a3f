"""Failpoints do nothing until armed, and then exactly what was asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aisa import faults
from aisa.errors import ConfigInvalid

DEVNET = {"AISA_DEVNET": "1"}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    faults.arm({})
    yield
    faults.arm({})


def test_unarmed_a_hit_does_nothing_and_counts_nothing() -> None:
    faults.hit("ledger.commit.before")
    assert faults.counts() == {}


@pytest.mark.parametrize(
    "text",
    [
        "ledger.commit.before",
        "ledger.commit.before:1",
        "ledger.commit.before=kill",
        "ledger.commit.before:0=kill",
        "ledger.commit.before:-1=kill",
        "ledger.commit.before:x=kill",
        "ledger.commit.before:1=sleep",
        ":1=kill",
        "a:1=kill,b",
    ],
)
def test_text_that_is_not_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="name:nth=kill"):
        faults.arm({**DEVNET, "AISA_FAULTS": text})


@pytest.mark.parametrize("setting", [{"AISA_FAULTS": "a:1=kill"}, {"AISA_FAULTS_COUNT": "1"}])
@pytest.mark.parametrize("devnet", [{}, {"AISA_DEVNET": "0"}, {"AISA_DEVNET": "yes"}])
def test_arming_is_only_for_a_devnet(setting: dict[str, str], devnet: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid, match="only for a devnet"):
        faults.arm({**setting, **devnet})


def test_counting_kills_nothing() -> None:
    faults.arm({**DEVNET, "AISA_FAULTS_COUNT": "1"})
    for _ in range(3):
        faults.hit("ledger.commit.before")
    faults.hit("ledger.commit.after")
    assert faults.counts() == {"ledger.commit.before": 3, "ledger.commit.after": 1}


def test_arming_again_starts_from_nothing() -> None:
    faults.arm({**DEVNET, "AISA_FAULTS": "a:9=kill"})
    faults.hit("a")
    faults.arm({**DEVNET, "AISA_FAULTS": "b:9=kill"})
    assert faults.counts() == {}


def test_other_points_pass_while_one_is_armed() -> None:
    faults.arm({**DEVNET, "AISA_FAULTS": "a:1=kill,b:2=kill"})
    faults.hit("c")
    faults.hit("b")
    assert faults.counts() == {"c": 1, "b": 1}


@pytest.mark.parametrize("nth", [1, 3])
def test_the_nth_hit_ends_the_process_with_sigkill(nth: int) -> None:
    script = (
        "import os; from aisa import faults; faults.arm(os.environ)\n"
        "for n in range(1, 6): print(n, flush=True); faults.hit('ledger.commit.before')\n"
    )
    armed = {**os.environ, **DEVNET, "AISA_FAULTS": f"ledger.commit.before:{nth}=kill"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=armed,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL
    assert result.stdout.split() == [str(n) for n in range(1, nth + 1)]
