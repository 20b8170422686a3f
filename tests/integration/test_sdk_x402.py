"""The SDK pays the official x402 server; our node settles, and real tokens move on a chain."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.cli import main
from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.errors import AnswerGone, BudgetExceeded, OutcomeUnknown
from aisa.protocol.evm_address import format_address
from aisa.sdk import Agent, AsyncAgent, Outcome, PaymentTransport
from aisa.sdk.home import ensure_agent_seed
from aisa.sdk.purse import agent_evm_key
from tests.integration.node_process import NodeProcess
from tests.integration.x402_desk import FacilitatorDesk
from tests.integration.x402_payer import facilitator_folder, held
from tests.interop.environment import python
from tests.interop.process import PeerProcess

pytestmark = [pytest.mark.network, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SELLER = Path(__file__).parent / "x402_official_seller.py"
PRICE = 100
DEAR = 20_000
CONFIG = """\
[[agent.x402.asset]]
asset = "{asset}"
symbol = "test-USDC"
currency = "USDC"
scale = 6
name = "{name}"
version = "{version}"
per_call = "0.01 USDC"
per_day = "{per_day}"
rpc_url = "{rpc_url}"
method = "{method}"
"""
PAYER = """
import os, sys
from aisa import faults
from aisa.errors import AisaError, BudgetExceeded
from aisa.sdk import Agent

home, url, call_id, calls = sys.argv[1:]
paid = 0
with Agent(home) as agent:
    faults.arm(os.environ)
    try:
        for n in range(int(calls)):
            paid += agent.get(url, call_id=f"{call_id}{n}", timeout_s=60).status == 200
    except BudgetExceeded:
        pass
    except AisaError as error:
        print(error.slug)
print(paid)
"""


@dataclass
class Market:
    """One chain and node, the official server, and the seller's address."""

    devnet: EthereumDevnet
    desk: FacilitatorDesk
    url: str
    seller: str

    @property
    def earned(self) -> int:
        return held(self.devnet, "test-USDC", self.seller)

    def home(self, folder: Path, *, per_day: str = "1 USDC", method: str = "eip3009") -> Path:
        """An agent with tokens, and its owner's leave to spend them."""
        home = folder / "home"
        home.mkdir()
        card = self.devnet.token("test-USDC")
        (home / "config.toml").write_text(
            CONFIG.format(
                asset=card.asset,
                name=card.domain_name,
                version=card.domain_version,
                per_day=per_day,
                rpc_url=self.devnet.url,
                method=method,
            )
        )
        key = agent_evm_key(ensure_agent_seed(home, {}), self.devnet.network)
        self.devnet.faucet.give_token("test-USDC", format_address(key.address), 100_000)
        return home


@pytest.fixture(scope="module")
def market(
    tmp_path_factory: pytest.TempPathFactory, ethereum_devnet: EthereumDevnet
) -> Iterator[Market]:
    scratch = tmp_path_factory.mktemp("x402")
    seller = format_address(secrets.token_bytes(20))
    with NodeProcess(facilitator_folder(scratch / "node", ethereum_devnet)) as node:
        desk = FacilitatorDesk(f"{node.url}/x402")
        settings = seller_settings(ethereum_devnet, desk.url, seller)
        command = [str(python("x402")), str(SELLER)]
        with PeerProcess(command, settings, scratch / "seller.log") as peer:
            yield Market(ethereum_devnet, desk, peer.url, seller)
        desk.stop()


def seller_settings(devnet: EthereumDevnet, facilitator: str, seller: str) -> dict[str, Any]:
    card = devnet.token("test-USDC")
    extra = {"name": card.domain_name, "version": card.domain_version}
    routes = [
        {"path": path, "amount": str(units), "asset": card.address, "extra": extra}
        for path, units in (("/paid", PRICE), ("/dear", DEAR))
    ]
    permit2 = {**extra, "assetTransferMethod": "permit2"}
    routes.append({**routes[0], "path": "/permit2", "extra": permit2})
    return {
        "network": devnet.network,
        "facilitator": facilitator,
        "pay_to": seller,
        "routes": routes,
    }


def pay_in_a_process(
    home: Path, url: str, call_id: str, calls: int = 1, fault: str = ""
) -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "AISA_DEVNET": "1",
        "AISA_FAULTS": f"{fault}:1=kill" if fault else "",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PAYER, str(home), url, call_id, str(calls)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_seller_of_others_is_paid(market: Market, tmp_path: Path) -> None:
    before = market.earned
    with Agent(market.home(tmp_path)) as agent:
        assert str(agent.quote(market.url + "/paid").price) == "0.0001 USDC"
        answer = agent.get(market.url + "/paid")
        assert (answer.status, "sold" in answer.json()) == (200, True)
        payment = answer.payment
        assert payment is not None
        assert (payment.outcome, str(payment.charged)) == (Outcome.SETTLED, "0.0001 USDC")
        assert payment.asset == market.devnet.token("test-USDC").asset
        landed = market.devnet.rpc.call("eth_getTransactionReceipt", payment.transaction)
        assert landed["status"] == "0x1"
        assert agent.unknown_calls() == []
    assert market.earned - before == PRICE


def test_every_way_to_call_pays(market: Market, tmp_path: Path) -> None:
    before, home, url = market.earned, market.home(tmp_path), market.url + "/paid"
    with Agent(home) as agent, httpx2.Client(transport=PaymentTransport(agent)) as client:
        response = client.get(url)
        assert response.status_code == 200
        assert response.extensions["aisa_payment"].outcome is Outcome.SETTLED

    async def play() -> None:
        async with AsyncAgent(home) as paying:
            answers = await asyncio.gather(*(paying.get(url) for _ in range(3)))
            assert {one.status for one in answers} == {200}

    asyncio.run(play())
    assert market.earned - before == 4 * PRICE


def test_permit2_moves_a_token_once_it_is_approved(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, home = market.earned, market.home(tmp_path, method="permit2")
    words = ["wallet", "approve", "test-USDC", "--home", str(home)]
    key = agent_evm_key(ensure_agent_seed(home, {}), market.devnet.network)
    with Agent(home) as agent:
        with pytest.raises(OutcomeUnknown, match="allowance") as told_why:
            agent.get(market.url + "/permit2")
        assert "aisa wallet approve" in (told_why.value.hint or "")
        assert main(words) != 0, "the address has no gas"
        market.devnet.control.set_balance(format_address(key.address), 10**18)
        capsys.readouterr()
        for told in ("Permit2 may move test-USDC: 0x", "already"):
            assert main(words) == 0
            assert told in capsys.readouterr().out
        answer = agent.get(market.url + "/permit2")
        assert answer.status == 200
        assert answer.payment is not None
        assert answer.payment.outcome is Outcome.SETTLED
        assert agent.unknown_calls() == []
    assert market.earned - before == PRICE


def test_what_is_above_the_limits_is_not_paid(market: Market, tmp_path: Path) -> None:
    before = market.earned
    with Agent(market.home(tmp_path, per_day="0.00025 USDC")) as agent:
        with pytest.raises(BudgetExceeded, match="per_call"):
            agent.get(market.url + "/dear")
        for _ in range(2):
            agent.get(market.url + "/paid")
        with pytest.raises(BudgetExceeded, match="per_day"):
            agent.get(market.url + "/paid")
    assert market.earned - before == 2 * PRICE


def test_a_call_with_an_id_is_paid_once(market: Market, tmp_path: Path) -> None:
    before, home = market.earned, market.home(tmp_path)
    with Agent(home) as agent:
        assert agent.get(market.url + "/paid", call_id="one").status == 200
    with Agent(home) as agent:
        with pytest.raises(AnswerGone):
            agent.get(market.url + "/paid", call_id="one")
        assert agent.unknown_calls() == []
    assert market.earned - before == PRICE


@pytest.mark.parametrize("call_id", ["late", None])
def test_a_seller_that_says_failed_and_settles_later_is_paid_once(
    market: Market, tmp_path: Path, call_id: str | None
) -> None:
    before, home = market.earned, market.home(tmp_path, per_day="0.00025 USDC")
    market.desk.holds = True
    with Agent(home) as agent:
        for _ in range(3):
            with pytest.raises(OutcomeUnknown, match="unexpected_settle_error"):
                agent.get(market.url + "/paid", call_id=call_id)
        (unknown,) = agent.unknown_calls()
        assert (unknown.units, market.earned) == (PRICE, before)
        kept = [json.loads(body)["paymentPayload"]["payload"] for body in market.desk.kept]
        assert len(kept) == 3
        assert kept[0] == kept[1] == kept[2]
        assert market.desk.settle_kept() == 1
        assert market.earned - before == PRICE
        if call_id:
            with pytest.raises(AnswerGone):
                agent.get(market.url + "/paid", call_id=call_id)
        else:
            assert agent.get(market.url + "/paid").status == 200
        assert agent.unknown_calls() == []
    assert market.earned - before == (PRICE if call_id else 2 * PRICE)


@pytest.mark.parametrize(
    "point",
    [
        "agent.transfer.before",
        "agent.transfer.after",
        "agent.send.after",
        "agent.transferred.before",
    ],
)
def test_a_kill_pays_once(market: Market, tmp_path: Path, point: str) -> None:
    before, home = market.earned, market.home(tmp_path)
    killed = pay_in_a_process(home, market.url + "/paid", "k", fault=point)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    was_paid = market.earned - before == PRICE
    told, _ = pay_in_a_process(home, market.url + "/paid", "k").communicate(timeout=60)
    assert told.split() == (["answer-gone", "0"] if was_paid else ["1"])
    assert market.earned - before == PRICE


def test_several_processes_keep_one_budget(market: Market, tmp_path: Path) -> None:
    before, home = market.earned, market.home(tmp_path, per_day="0.0007 USDC")
    running = [pay_in_a_process(home, market.url + "/paid", name, calls=6) for name in "ab"]
    paid = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sum(paid) == 7
    assert market.earned - before == 7 * PRICE
