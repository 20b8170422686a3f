"""One anvil as a process: start, state over a restart, no orphan, blocks, time and re-orgs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aisa.devnet.ethereum.anvil import Anvil
from aisa.errors import RailError, RailUnavailable

pytestmark = pytest.mark.network

StartAnvil = Callable[..., Anvil]

TO = "0x1111111111111111111111111111111111111111"


def send(anvil: Anvil, wei: int = 1) -> str:
    tx = {"from": anvil.accounts()[0], "to": TO, "value": hex(wei)}
    return str(anvil.rpc.call("eth_sendTransaction", tx))


def balance(anvil: Anvil) -> int:
    return anvil.rpc.number("eth_getBalance", TO, "latest")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_chain_goes_on_after_a_restart_with_its_receipts_and_its_time(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    with Anvil(chain_id=777, state=state) as anvil:
        tx = send(anvil, 5)
        ahead = anvil.control.pass_time(86_400)
        assert anvil.stop() == 0
    with Anvil(chain_id=777, state=state) as again:
        assert again.network == "eip155:777"
        assert (balance(again), again.rpc.wait_for(tx)["transactionHash"]) == (5, tx)
        assert again.control.mine().time_s > ahead.time_s
        send(again)
        assert balance(again) == 6


def test_a_killed_chain_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    with Anvil(state=state) as anvil:
        send(anvil, 5)
    with Anvil(state=state) as anvil:
        send(anvil, 7)
        anvil.kill()
        assert not anvil.is_running
    with Anvil(state=state) as anvil:
        assert balance(anvil) == 5


def test_a_chain_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RailUnavailable, match=r"(?i)address already in use"):
            Anvil(port=taken.getsockname()[1])
    state = tmp_path / "chain.json"
    state.write_text("{}")
    with pytest.raises(RailUnavailable, match="failed to parse json"):
        Anvil(state=state)


def test_stopped_twice_and_asked_after_its_end(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    pid = anvil.pid
    assert anvil.stop() == 0
    assert anvil.stop() == 0
    assert not is_running(pid)
    with pytest.raises((RailUnavailable, RuntimeError)):
        anvil.rpc.call("eth_chainId")


def test_its_log_stays_short(start_anvil: StartAnvil, tmp_path: Path) -> None:
    anvil = start_anvil(log=tmp_path / "anvil.log")
    before = anvil.log.stat().st_size
    for _ in range(20):
        send(anvil)
    assert anvil.log.stat().st_size == before


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_no_chain_outlives_who_started_it(tmp_path: Path, signum: signal.Signals) -> None:
    """Even a starter that is killed leaves no orphan, and the chain is saved."""
    state = tmp_path / "chain.json"
    code = (
        "import sys, time, pathlib\n"
        "from aisa.devnet.ethereum.anvil import Anvil\n"
        "anvil = Anvil(state=pathlib.Path(sys.argv[1]))\n"
        "print(anvil.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert is_running(pid)
        os.kill(starter.pid, signum)
        starter.wait(10)
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert state.exists()


def test_a_reorg_loses_what_was_in_the_blocks(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    txs = [send(anvil) for _ in range(5)]
    before = [anvil.control.block(number).hash for number in range(6)]
    after = anvil.control.reorg(3)
    assert after.number == 5
    assert [anvil.control.block(number).hash == before[number] for number in range(6)] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert [anvil.rpc.receipt(tx) is not None for tx in txs] == [True, True, False, False, False]
    assert balance(anvil) == 2


def test_a_reorg_can_bring_other_chain_txs_instead(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    lost = [send(anvil, 100), send(anvil, 200)]
    other = {"from": anvil.accounts()[0], "to": TO, "value": hex(7)}
    anvil.control.reorg(2, instead=[(1, other)])
    assert anvil.control.block().number == 2
    assert [anvil.rpc.receipt(tx) for tx in lost] == [None, None]
    assert balance(anvil) == 7


def test_a_lost_chain_tx_can_come_back_as_it_was_signed(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    anvil.control.mine(2)
    tx = send(anvil, 9)
    raw = str(anvil.rpc.call("eth_getRawTransactionByHash", tx))
    anvil.control.reorg(2, instead=[(1, raw)])
    found = anvil.rpc.wait_for(tx)
    assert found["blockHash"] == anvil.control.block().hash
    assert balance(anvil) == 9


def test_a_reorg_that_is_not_possible_is_refused(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    anvil.control.mine(2)
    for depth in (0, 3, 65):
        with pytest.raises(RailError):
            anvil.control.reorg(depth)
    assert anvil.control.cut(1).number == 1


def test_blocks_come_when_they_are_asked_for(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    with anvil.control.held_mining():
        tx, dropped = send(anvil), send(anvil)
        assert anvil.rpc.receipt(tx) is None
        assert anvil.control.drop(dropped)
        assert not anvil.control.drop("0x" + "00" * 32)
        anvil.control.mine()
        assert anvil.rpc.receipt(tx) is not None
        forgotten = send(anvil)
        anvil.control.drop_all()
        waiting = send(anvil, 2)
    assert anvil.rpc.wait_for(waiting)["transactionHash"] == waiting
    assert [anvil.rpc.receipt(one) for one in (dropped, forgotten)] == [None, None]
    assert anvil.rpc.receipt(send(anvil)) is not None


def test_blocks_come_by_the_clock(start_anvil: StartAnvil) -> None:
    anvil = start_anvil(block_time_s=1)
    tx = send(anvil)
    assert anvil.rpc.wait_for(tx)["transactionHash"] == tx
    with anvil.control.held_mining():
        held = send(anvil)
        number = anvil.control.block().number
        time.sleep(1.3)
        assert anvil.control.block().number == number
    assert anvil.rpc.wait_for(held)["transactionHash"] == held
    anvil.control.set_block_time(0)
    assert anvil.rpc.receipt(send(anvil)) is not None


def test_finality_is_a_few_blocks_back(start_anvil: StartAnvil) -> None:
    anvil = start_anvil(epoch_slots=3)
    newest = anvil.control.mine(10).number
    assert anvil.control.block("safe").number == newest - 3
    assert anvil.control.block("finalized").number == newest - 6
    with pytest.raises(RailError, match="no block"):
        anvil.control.block(99)


def test_snapshots_go_back_once(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    before = anvil.control.snapshot()
    send(anvil)
    anvil.control.revert(before)
    assert (balance(anvil), anvil.control.block().number) == (0, 0)
    with pytest.raises(RailError):
        anvil.control.revert(before)


def test_other_levers(start_anvil: StartAnvil) -> None:
    anvil = start_anvil()
    anvil.control.set_balance(TO, 10**18)
    with anvil.control.impersonating(TO):
        tx = {"from": TO, "to": anvil.accounts()[1], "value": "0x1"}
        assert anvil.rpc.wait_for(str(anvil.rpc.call("eth_sendTransaction", tx)))
    anvil.control.set_base_fee(500 * 10**9)
    anvil.control.mine()
    block = anvil.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    assert block["baseFeePerGas"] == hex(500 * 10**9)
