"""The contracts: their own tests, their gas, and that what the node ships is what they compile to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts import __main__ as contracts

ROOT = Path(__file__).parents[2]
CODE_MOST = 24_576  # EIP-170
INIT_MOST = 49_152  # EIP-3860

# The first run compiles everything with a compiler in WebAssembly, on a machine that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*words: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "contracts", *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped() -> dict[str, dict[str, Any]]:
    return {one.stem: json.loads(one.read_text()) for one in contracts.ARTIFACTS.glob("*.json")}


def test_the_contracts_tests_pass_and_cost_what_was_noted() -> None:
    said = run("test")
    assert "0 failed, 0 skipped" in said


def test_what_is_shipped_is_what_the_sources_compile_to() -> None:
    run("check")


def test_a_changed_artifact_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in contracts.ARTIFACTS.glob("*.json"):
        text = one.read_text()
        changed = text.replace('"bytecode": "0x60', '"bytecode": "0x61')
        (tmp_path / one.name).write_text(changed if one.stem == "HashLock" else text)
    monkeypatch.setattr(contracts, "ARTIFACTS", tmp_path)
    assert contracts.main(["check"]) == 1
    assert capsys.readouterr().out.strip().endswith("(make contracts): HashLock.json")


def test_every_contract_fits_on_a_chain() -> None:
    artifacts = shipped()
    assert {"AIUSD", "Authority", "HashLock", "PlainToken"} <= set(artifacts)
    for name, one in artifacts.items():
        assert len(bytes.fromhex(one["deployed_bytecode"][2:])) <= CODE_MOST, name
        assert len(bytes.fromhex(one["bytecode"][2:])) <= INIT_MOST, name
        assert one["compiler"].startswith("solc 0.8.37+")
        assert one["settings"]["evmVersion"] == "cancun"


def test_every_error_and_event_can_be_read_from_the_artifact() -> None:
    kinds = {
        name: {(part["type"], part.get("name")) for part in one["abi"]}
        for name, one in shipped().items()
    }
    assert ("event", "Frozen") in kinds["AIUSD"]
    assert ("error", "AccountFrozen") in kinds["AIUSD"]
    assert ("error", "ERC3009UsedAuthorization") in kinds["AIUSD"]
    assert ("event", "Claimed") in kinds["HashLock"]
    assert ("error", "PreimageWrong") in kinds["HashLock"]


def test_both_forms_of_an_authorization_are_there() -> None:
    methods = shipped()["AIUSD"]["method_identifiers"]
    terms = "address,address,uint256,uint256,uint256,bytes32"
    # The selectors that every wallet and facilitator knows.
    assert methods[f"transferWithAuthorization({terms},uint8,bytes32,bytes32)"] == "e3ee160e"
    assert methods[f"transferWithAuthorization({terms},bytes)"] == "cf092995"
    assert methods[f"receiveWithAuthorization({terms},uint8,bytes32,bytes32)"] == "ef55bec6"
    assert methods[f"receiveWithAuthorization({terms},bytes)"] == "88b7ab63"
