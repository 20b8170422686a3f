"""`aisa devnet up --ethereum`: money comes in and goes out on a real EVM chain, from the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aisa.demo.devnet_file import read_devnet_file
from aisa.demo.port import free_ports
from aisa.devnet.ethereum.rpc import Rpc
from aisa.protocol.evm_address import parse_address
from aisa.settlement.evm.erc20 import balance_data
from tests.integration.node_process import eventually

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(400)]

OUTSIDE = "0x" + "5e" * 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("home")
    base = str(max(1024, free_ports(1)[0] - 1))
    aisa(made, "devnet", "up", "--ethereum", "--background", "--port-base", base)
    try:
        yield made
    finally:
        aisa(made, "devnet", "down")


def aisa(home: Path, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "aisa", *words, "--home", str(home), "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_a_deposit_on_ethereum_is_credited_and_withdrawn(home: Path) -> None:
    devnet = read_devnet_file(home)
    assert devnet is not None
    card = devnet.chain("ethereum")
    token = card.token("aiUSD")
    before = available(home)
    fund = aisa(home, "wallet", "fund", "--asset", token.asset, "--no-wait")
    assert fund["network"] == card.network
    aisa(
        home, "devnet", "faucet", fund["address"], "--chain", "ethereum", "--token", "aiUSD",
        "--amount", "7",
    )  # fmt: skip
    eventually(lambda: available(home) == before + 7_000_000)
    sent = aisa(home, "wallet", "withdraw", "2", "--asset", token.asset, "--to", OUTSIDE)
    assert sent["state"] == "settled"
    assert available(home) == before + 5_000_000
    with Rpc(card.url) as rpc:
        call = {"to": token.address, "data": "0x" + balance_data(parse_address(OUTSIDE)).hex()}
        assert rpc.number("eth_call", call, "latest") == 2_000_000


def available(home: Path) -> int:
    shown = aisa(home, "wallet", "show")
    return next(int(one["available"]) for one in shown["balances"] if one["currency"] == "aiUSD")
