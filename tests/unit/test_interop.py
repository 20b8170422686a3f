"""The peers of `make interop`: locked as versions.toml says, and counted honestly."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tests.interop.cast import CLIENTS, SERVERS, every_cell
from tests.interop.environment import OURS, PEERS
from tests.interop.locks import npm_package, package_json, python_lock, versions
from tests.interop.outcome import REFUSALS, Outcome, Refusal
from tests.interop.report import table

NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(\[.*\])?==(?P<version>[^;\s]+)")


@pytest.mark.parametrize("name", versions()["python"])
def test_a_python_lock_holds_what_is_wanted(name: str) -> None:
    lock = python_lock(name).read_text()
    for wanted in versions()["python"][name]:
        found = NAMED.match(wanted)
        assert found, wanted
        assert f"\n{found['name']}=={found['version']} " in f"\n{lock}"


@pytest.mark.parametrize("name", versions()["npm"])
def test_an_npm_lock_holds_what_is_wanted_and_no_address(name: str) -> None:
    wanted = versions()["npm"][name]
    folder = npm_package(name)
    assert (folder / "package.json").read_text() == package_json(name, wanted)
    lock = json.loads((folder / "package-lock.json").read_text())
    packages = lock["packages"]
    for package, version in wanted.items():
        assert packages[f"node_modules/{package}"]["version"] == version
    assert not [one for one in packages.values() if "resolved" in one]


def test_every_peer_has_its_script_and_environment() -> None:
    for peer in (*CLIENTS, *SERVERS):
        suffix = {"python": "py", "javascript": "mjs"}[peer.runtime]
        assert (PEERS / f"{peer.script}.{suffix}").exists()
        kind = {"python": "python", "javascript": "npm"}[peer.runtime]
        assert peer.environment in {*versions()[kind], OURS}


def test_cells_are_named_once() -> None:
    titles = [one.title for one in every_cell()]
    assert len(titles) == len(set(titles))


PAID = Outcome(
    "c", "s", "exact", paid_units=100, refusals={name: Refusal(402, 0) for name in REFUSALS}
)


def test_only_what_was_paid_and_refused_holds() -> None:
    assert PAID.state == "ok"
    assert replace(PAID, paid_units=0).state == "failed"
    assert replace(PAID, failure="it said nothing").state == "failed"
    assert replace(PAID, not_built="later").state == "not built"
    for name in REFUSALS:
        missing = {other: one for other, one in PAID.refusals.items() if other != name}
        assert replace(PAID, refusals=missing).state == "failed"
        for bad in (Refusal(200, 0), Refusal(402, 1), Refusal(500, 0)):
            assert replace(PAID, refusals={**PAID.refusals, name: bad}).state == "failed"


def test_a_table_hides_nothing() -> None:
    sold = replace(PAID, refusals={**PAID.refusals, "replay": Refusal(200, 0)})
    again = Refusal(200, 0, is_repeated=True)
    repeated = replace(PAID, refusals={**PAID.refusals, "replay": again})
    text = table([PAID, repeated, sold, replace(PAID, not_built="later")])
    assert "2 ok, 1 failed, 1 not built" in text
    assert "repeated" in text
    assert "NOT REFUSED" in text
    assert "not built: later (1 cells)" in text
