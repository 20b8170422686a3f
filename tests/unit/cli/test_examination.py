from __future__ import annotations

from pathlib import Path

import pytest

from aisa.cli import examination
from aisa.cli.examination import Verdict


def found(home: Path) -> dict[str, examination.Finding]:
    return {one.name: one for one in examination.examine(home, lambda _: None)}


def test_a_fresh_home_without_a_node_is_warned_about(aisa_home: Path) -> None:
    findings = found(aisa_home)
    assert findings["python"].verdict is Verdict.OK
    assert findings["home"].verdict is Verdict.OK
    assert findings["disk"].verdict is not Verdict.PROBLEM
    assert findings["node"].verdict is Verdict.WARNING
    assert "aisa devnet up" in findings["node"].hint


def test_a_home_open_to_others_is_told(aisa_home: Path) -> None:
    aisa_home.mkdir(mode=0o755)
    aisa_home.chmod(0o755)
    finding = found(aisa_home)["home"]
    assert finding.verdict is Verdict.WARNING
    assert "chmod 700" in finding.hint


def test_a_node_that_does_not_answer_is_a_problem(
    aisa_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AISA_NODE", "http://127.0.0.1:1")
    finding = found(aisa_home)["node"]
    assert finding.verdict is Verdict.PROBLEM
    assert finding.hint


def test_an_old_python_and_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination.sys, "version_info", (3, 10, 1))
    assert examination.check_python().verdict is Verdict.PROBLEM
    monkeypatch.setattr(examination, "find_spec", lambda _: None)
    assert all(one.hint for one in examination.check_packages())


def test_a_slow_disk_is_a_warning(aisa_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "fsync_ms", lambda _: 80.0)
    assert examination.check_disk(aisa_home).verdict is Verdict.WARNING


def test_a_home_that_is_not_ours_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Asked of the system rather than set by chmod: root may write everywhere.
    monkeypatch.setattr(examination.os, "access", lambda *_: False)
    assert examination.check_home(tmp_path / "home").verdict is Verdict.PROBLEM
