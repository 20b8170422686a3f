from __future__ import annotations

import json
from pathlib import Path

import pytest

from aisa.cli import main
from aisa.protocol.evm_address import parse_address
from aisa.sdk.home import ensure_agent_seed
from aisa.sdk.purse import agent_evm_key
from tests.unit.sdk.x402_sim import CONFIG, NETWORK


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_an_agent_has_one_address_on_each_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.replace("http://chain.test", "http://127.0.0.1:1"))
    words = ("wallet", "address", "--home", tmp_path)
    (one,) = json.loads(run(capsys, *words, "--json"))["addresses"]
    key = agent_evm_key(ensure_agent_seed(tmp_path, {}), NETWORK)
    assert (one["network"], parse_address(one["address"])) == (NETWORK, key.address)
    assert one["balances"][0]["units"] is None
    (other,) = json.loads(run(capsys, *words, "--network", "eip155:1", "--json"))["addresses"]
    assert other["address"] != one["address"]
    assert other["balances"] == []
    told = run(capsys, *words)
    assert one["address"] in told
    assert "unknown" in told


def test_without_tokens_it_says_where_they_are_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "agent.x402.asset" in run(capsys, "wallet", "address", "--home", tmp_path)
    assert main(["wallet", "address", "--network", "solana:x", "--home", str(tmp_path)]) != 0


def test_only_a_token_of_permit2_is_approved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    for symbol, told in [("DOGE", "0 tokens"), ("USDC", "needs method")]:
        assert main(["wallet", "approve", symbol, "--home", str(tmp_path)]) != 0
        assert told in capsys.readouterr().err
    config = CONFIG.replace("http://chain.test", "http://127.0.0.1:1") + 'method = "permit2"\n'
    (tmp_path / "config.toml").write_text(config)
    assert main(["wallet", "approve", "USDC", "--home", str(tmp_path)]) != 0
    assert "does not answer" in capsys.readouterr().err
