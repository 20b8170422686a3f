"""A devnet node learns of EVM chains after it was made, once, and keeps what it had."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.errors import ConfigInvalid
from aisa.node.config import load_config
from aisa.node.initialise import DevnetChain, DevnetMint, add_chains, devnet_config
from aisa.protocol.escrow import BATCH_CONTRACT

LABEL = "anvil: real EVM and contracts, one process makes the blocks"
SOLANA = "solana:" + "1" * 32


def asset(network: str, number: int) -> str:
    return f"{network}/erc20:0x{number:040x}"


def chain(number: int, *symbols: str) -> DevnetChain:
    network = f"eip155:{number}"
    tokens = tuple(DevnetMint(one, asset(network, n), 6) for n, one in enumerate(symbols, 1))
    return DevnetChain(network, f"http://127.0.0.1:{number}", 60, tokens)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "node.toml"
    made.write_text(
        devnet_config(
            label="SVM in process",
            rpc_url="http://127.0.0.1:8899",
            network=SOLANA,
            issuer="issuer",
            mints=[DevnetMint("aiUSD", f"{SOLANA}/token:" + "2" * 32, 6)],
        )
    )
    return made


def test_rails_and_currencies_are_added(path: Path) -> None:
    add_chains(path, [chain(31337, "aiUSD", "test-USDC"), chain(31338, "aiUSD")], label=LABEL)
    config = load_config(path, {"AISA_NODE_EVM": "eip155:31338=http://127.0.0.1:99"})
    assert [(rail.kind, rail.network) for rail in config.rails] == [
        ("solana", SOLANA),
        ("evm", "eip155:31337"),
        ("evm", "eip155:31338"),
    ]
    assert config.rails[1].rpc_urls == ("http://127.0.0.1:31337",)
    assert config.rails[2].rpc_urls == ("http://127.0.0.1:99",)
    assert [terms.currency.code for terms in config.currencies] == ["aiUSD", "test-USDC"]
    assert config.labels == ("SVM in process", LABEL)
    assert config.facilitator == "open"
    assert [rail.escrow for rail in config.rails] == [None, BATCH_CONTRACT, BATCH_CONTRACT]


def test_what_is_known_stays_as_it_is(path: Path) -> None:
    add_chains(path, [chain(31337, "aiUSD")], label=LABEL)
    once = path.read_text()
    add_chains(path, [chain(31337, "aiUSD", "other")], label=LABEL)
    assert path.read_text() == once
    add_chains(path, [], label=LABEL)
    assert path.read_text() == once


def test_what_cannot_work_changes_nothing(path: Path) -> None:
    before = path.read_text()
    with pytest.raises(ConfigInvalid):
        add_chains(path, [chain(31337)], label=LABEL)
    assert path.read_text() == before
    assert sorted(one.name for one in path.parent.iterdir()) == ["node.toml"]
