"""A devnet that runs is not changed by asking for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.cli.devnet_parts import Parts
from aisa.demo.devnet_file import FORMAT, DevnetFile
from aisa.devnet.ethereum.card import ChainCard
from aisa.errors import StateConflict


def running(folder: Path, *chains: str) -> DevnetFile:
    cards = tuple(
        ChainCard("label", name, "http://127.0.0.1:1", "eip155:1", 1, "ETH", "a", 0, str(folder), {}, (), ())
        for name in chains
    )  # fmt: skip
    return DevnetFile(FORMAT, "label", "node", "network", None, "solana", "s", (), (), cards)


def test_what_runs_already_is_enough(tmp_path: Path) -> None:
    Parts(chains=("polygon",)).check_running(running(tmp_path, "ethereum", "polygon"))
    Parts().check_running(running(tmp_path))


def test_what_is_missing_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    with pytest.raises(StateConflict, match="without ethereum") as caught:
        Parts(chains=("ethereum",)).check_running(running(tmp_path, "polygon"))
    assert caught.value.hint == "aisa devnet down, then aisa devnet up --ethereum"
