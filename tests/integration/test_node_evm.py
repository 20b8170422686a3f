"""A node process over an EVM chain: a deposit in, a withdrawal out, SIGKILL on the way."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aisa.client import WithdrawalState
from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.errors import NodeUnavailable
from aisa.identity import SigningKey
from aisa.ledger.sqlite_backup import verify_file
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
from tests.integration.node_process import NodeProcess, eventually
from tests.integration.x402_payer import held

pytestmark = [pytest.mark.network, pytest.mark.slow]

M = 1_000_000
ALICE = SigningKey(b"\x21" * 32)
THERE = "0x" + "5e" * 20
CONFIG = """\
port = 0
reconcile_ms = 100
deposit_poll_ms = 100

[[currency]]
code = "aiUSD"

[[rail]]
kind = "evm"
network = "{network}"
rpc_urls = ["{url}"]
confirmations = 3

[[rail.token]]
symbol = "aiUSD"
issuer = "test"
asset = "{asset}"
scale = 6
currency = "aiUSD"
"""


@pytest.fixture
def folder(tmp_path: Path, ethereum: EthereumDevnet) -> Path:
    folder = tmp_path / "node"
    asset = ethereum.token("aiUSD").asset
    init_node(folder, config=CONFIG.format(network=ethereum.network, url=ethereum.url, asset=asset))
    config = load_config(folder / "node.toml", {})
    ((network, address),) = treasuries(config, open_seed(config, None))
    assert network == ethereum.network
    ethereum.control.set_balance(address, 10**18)
    return folder


@contextlib.contextmanager
def pulsing(devnet: EthereumDevnet) -> Iterator[None]:
    """Let blocks come by themselves inside; the connection is the thread's own."""
    done = threading.Event()

    def pulse() -> None:
        with type(devnet.rpc)(devnet.url) as rpc:
            while not done.wait(0.05):
                rpc.call("anvil_mine", "0x1")

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def deposit(node: NodeProcess, devnet: EthereumDevnet, units: int) -> None:
    with node.client(ALICE) as client:
        address = client.deposit_address(devnet.token("aiUSD").asset).address
        before = client.account().available("aiUSD")
        devnet.faucet.give_token("aiUSD", address, units)
        eventually(lambda: client.account().available("aiUSD") == before + units)


def test_money_comes_in_and_goes_out_and_the_books_hold(
    folder: Path, ethereum: EthereumDevnet
) -> None:
    asset = ethereum.token("aiUSD").asset
    with pulsing(ethereum), NodeProcess(folder) as node:
        deposit(node, ethereum, 10 * M)
        with node.client(ALICE) as alice:
            alice.withdraw("w", asset, 4 * M, THERE, 0)
            settled = eventually(
                lambda: (
                    found
                    if (found := alice.withdrawal("w")).state is WithdrawalState.SETTLED
                    else None
                )
            )
            assert settled.reference.startswith("0x")
            assert alice.account().available("aiUSD") == 6 * M
            solvency = eventually(lambda: one if (one := alice.solvency()).holdings else None)
            assert solvency.solvent
        assert node.stop() == 0
    assert held(ethereum, "aiUSD", THERE) == 4 * M
    assert verify_file(folder / "ledger.sqlite").ok


def test_a_node_killed_after_it_sent_pays_once(folder: Path, ethereum: EthereumDevnet) -> None:
    asset = ethereum.token("aiUSD").asset
    with pulsing(ethereum):
        with NodeProcess(folder) as node:
            deposit(node, ethereum, 10 * M)
            assert node.stop() == 0
        # What is sent first is a sweep of the deposit, then the payment itself.
        with NodeProcess(folder, faults="node.evm.send.after:2=kill") as node:
            with node.client(ALICE) as alice:
                eventually(lambda: alice.info().withdrawals_open)
                with contextlib.suppress(NodeUnavailable):
                    alice.withdraw("w", asset, 4 * M, THERE, 0)
            assert node.was_killed()
        with NodeProcess(folder) as node, node.client(ALICE) as alice:
            eventually(lambda: alice.withdrawal("w").state is WithdrawalState.SETTLED)
            assert alice.account().available("aiUSD") == 6 * M
            assert node.stop() == 0
    assert held(ethereum, "aiUSD", THERE) == 4 * M
    assert verify_file(folder / "ledger.sqlite").ok
