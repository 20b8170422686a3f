"""The Ethereum devnet as a process, kept over a restart, and `aisa devnet` with EVM chains."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from aisa.cli.application import run
from aisa.demo.devnet_file import read_devnet_file
from aisa.demo.port import PORT_COUNT, free_ports
from aisa.devnet.ethereum.card import ChainCard, read_card
from aisa.devnet.ethereum.deployer import Deployer
from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.faucet import Faucet
from aisa.devnet.ethereum.rpc import Rpc, quantity
from aisa.devnet.ethereum.setting import POLYGON
from aisa.errors import RailUnavailable
from tests.integration.anvil import ARTIFACTS

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]

TO = "0x4444444444444444444444444444444444444444"
SOL_ADDRESS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"


def tokens_at(rpc: Rpc, card: ChainCard, symbol: str, address: str = TO) -> int:
    reader = Deployer(rpc, card.roles["deployer"])
    return quantity(reader.read(card.token(symbol).address, "balanceOf(address)", address))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_chain_is_found_again_as_it_was_left(tmp_path: Path) -> None:
    with EthereumDevnet(ARTIFACTS, POLYGON, folder=tmp_path) as devnet:
        first = devnet.card
        devnet.faucet.give_token("test-USDC", TO, 5)
        devnet.faucet.give_native(TO, 10**18)
        block = devnet.control.block()
    with EthereumDevnet(ARTIFACTS, POLYGON, folder=tmp_path, block_time_s=1) as again:
        assert (again.card.tokens, again.card.contracts) == (first.tokens, first.contracts)
        assert again.control.block(block.number) == block
        assert tokens_at(again.rpc, again.card, "test-USDC") == 5
        assert again.faucet.minted_units("test-USDC") == 5
        again.faucet.give_token("test-USDC", TO, 6)
        assert again.faucet.minted_units("test-USDC") == 11
    (tmp_path / "chain.json").write_text("{}")
    with pytest.raises(RailUnavailable, match="cannot be read") as caught:
        EthereumDevnet(ARTIFACTS, POLYGON, folder=tmp_path)
    assert "start anew" in caught.value.hint


def test_the_process_tells_when_it_is_ready_and_when_its_chain_has_died(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aisa.devnet.ethereum", "--artifacts", str(ARTIFACTS)]
    command += ["--port", "0", "--folder", str(tmp_path)]
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "{"
        card = read_card(ready)
        with Rpc(card.url) as rpc:
            Faucet(card, rpc).give_token("test-USDT", TO, 7)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = iter(process.stdout.readline, "}\n")
        card = json.loads("".join(lines) + "}")
        assert card["network"] == "eip155:31337"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait(30) == 1
        assert "anvil ended by itself" in process.stderr.read()


def aisa(*words: str, code: int = 0) -> Any:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        found = run([*words, "--json"])
    said, complained = out.getvalue(), err.getvalue()
    assert found == code, (words, said, complained)
    return json.loads(complained if code > 1 else said)


@pytest.mark.slow
def test_up_faucet_kill_up_again_down(aisa_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(min(max(1024, free_ports(1)[0] - 2), 65_536 - PORT_COUNT))
    words = ("devnet", "up", "--background", "--port-base", base)
    up = aisa(*words, "--ethereum", "--polygon")
    try:
        assert [one["network"] for one in up["chains"]] == ["eip155:31337", "eip155:31338"]
        names = [one["name"] for one in up["processes"]]
        assert names == ["supervisor", "ethereum", "polygon", "solana", "node"]
        assert aisa("devnet", "status")["chains"] == up["chains"]
        assert run(["devnet", "status"]) == 0
        assert "anvil" in capsys.readouterr().out
        _faucets(aisa_home)
        running = read_devnet_file(aisa_home)
        assert running is not None
        os.kill(running.processes[0].pid, signal.SIGKILL)
        for one in running.processes:
            wait_until_gone(one.pid)
        assert aisa("devnet", "status") == {"running": False}
        # Its node has money on both, so both come back without being asked for.
        again = aisa(*words)
        assert [one["network"] for one in again["chains"]] == ["eip155:31337", "eip155:31338"]
        running = read_devnet_file(aisa_home)
        assert running is not None
        with Rpc(running.chain("polygon").url) as rpc:
            assert tokens_at(rpc, running.chain("polygon"), "aiUSD") == 10_000_000
    finally:
        aisa("devnet", "down")
    for one in running.processes:
        wait_until_gone(one.pid)
    assert aisa("devnet", "faucet", TO, code=2)["slug"] == "config-invalid"


def _faucets(home: Path) -> None:
    running = read_devnet_file(home)
    assert running is not None
    assert aisa("devnet", "faucet", TO, code=2)["hint"] == "--chain ethereum or --chain polygon"
    given = aisa("devnet", "faucet", TO, "--chain", "polygon")
    assert (given["symbol"], given["units"]) == ("aiUSD", "10000000")
    coin = aisa("devnet", "faucet", TO, "--chain", "ethereum", "--token", "ETH", "--amount", "0.5")
    assert (coin["asset"], coin["units"]) == ("eip155:31337/slip44:60", str(5 * 10**17))
    for chain, symbol in (("ethereum", "ETH"), ("solana", "SOL"), ("solana", "aiUSD")):
        address = SOL_ADDRESS if chain == "solana" else TO
        wish = ("--chain", chain, "--token", symbol, "--amount", "2")
        assert aisa("devnet", "faucet", address, *wish)["tx"]
    card = running.chain("ethereum")
    with Rpc(card.url) as rpc:
        assert rpc.number("eth_getBalance", TO, "latest") == 25 * 10**17
    wrong = ("devnet", "faucet", "0x12", "--chain", "ethereum")
    assert aisa(*wrong, code=2)["slug"] == "invalid-request"
    assert aisa(*wrong[:2], TO, *wrong[3:], "--amount", "0", code=2)["slug"] == "invalid-amount"
    assert aisa(*wrong[:2], TO, *wrong[3:], "--token", "DOGE", code=2)["slug"] == "config-invalid"
