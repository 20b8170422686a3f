"""Compiled contracts as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import aisa
from aisa.devnet.ethereum.artifact import read_artifact, read_if_there
from aisa.errors import ConfigInvalid

OURS = Path(aisa.__file__).parent / "settlement" / "evm" / "artifacts"


def write(folder: Path, **members: object) -> Path:
    path = folder / "Thing.json"
    path.write_text(json.dumps(members))
    return path


def test_ours_can_be_deployed() -> None:
    token = read_if_there(OURS, "PlainToken")
    assert token is not None
    assert (token.name, token.constructor) == (
        "PlainToken",
        ("string", "string", "uint8", "address"),
    )
    assert token.linked({}) == token.bytecode
    assert read_if_there(OURS, "NoSuchContract") is None


def test_a_library_is_linked_by_its_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        abi=[{"type": "fallback"}],
        bytecode="0xaa" + "__$" + "0" * 34 + "$__" + "bb",
        linkReferences={"lib.sol": {"Lib": [{"start": 1, "length": 20}]}},
    )
    artifact = read_artifact(path)
    assert artifact.constructor == ()
    assert artifact.linked({"Lib": "0x" + "CC" * 20}) == "0xaa" + "cc" * 20 + "bb"
    with pytest.raises(ConfigInvalid, match="library Lib"):
        artifact.linked({})


@pytest.mark.parametrize("text", ["", "[]", '{"abi": []}', '{"abi": [], "bytecode": "0x"}'])
def test_what_is_no_contract_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Thing.json"
    path.write_text(text)
    with pytest.raises(ConfigInvalid, match=r"Thing\.json"):
        read_artifact(path)
