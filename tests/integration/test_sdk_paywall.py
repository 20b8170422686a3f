"""Agents against the real paywall in a process of its own, with a node that is a stub."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.errors import (
    AnswerTooLarge,
    BudgetExceeded,
    CapExceeded,
    InsufficientFunds,
    NoCommonNode,
    RedirectRefused,
)
from aisa.protocol.aip import hub_network
from aisa.sdk import (
    UNLIMITED,
    Agent,
    AsyncAgent,
    AsyncPaymentTransport,
    Budget,
    Outcome,
    PaymentTransport,
)
from tests.integration.hub_stub import HubStub
from tests.integration.sdk_seller import SellerProcess

pytestmark = pytest.mark.network
ROOT = Path(__file__).parents[2]

PAYER = """
import asyncio, json, sys
from aisa.errors import BudgetExceeded
from aisa.sdk import AsyncAgent, Budget

home, node, url, calls, per_day = sys.argv[1:]

async def main():
    budget = Budget(None, None, per_day if per_day != "none" else None)
    served = refused = 0
    async with AsyncAgent(home, node=node, budget=budget) as agent:
        async def one(n):
            nonlocal served, refused
            try:
                answer = await agent.get(f"{url}/hello?n={n}")
                served += answer.status == 200
            except BudgetExceeded:
                refused += 1
        todo = iter(range(int(calls)))
        async def worker():
            for n in todo:
                await one(n)
        await asyncio.gather(*(worker() for _ in range(8)))
        print(json.dumps({"served": served, "refused": refused, "spent": str(agent.spent)}))

asyncio.run(main())
"""

ENDLESS = """
import sys
from aisa.sdk import UNLIMITED, Agent

home, node, url, call_id = sys.argv[1:]
agent = Agent(home, node=node, budget=UNLIMITED)
agent.get(url + "/hello")
print("ready", flush=True)
if call_id != "none":
    agent.get(url + "/slow?s=0.8", call_id=call_id)
n = 0
while True:
    n += 1
    agent.get(f"{url}/hello?n={n}")
"""


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def hub() -> Iterator[HubStub]:
    stub = HubStub()
    yield stub
    stub.stop()


@pytest.fixture(scope="module")
def seller(hub: HubStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SellerProcess]:
    process = SellerProcess(
        tmp_path_factory.mktemp("seller") / "seller.sqlite", [(hub.url, hub.network)]
    ).start()
    yield process
    process.stop()


def only_channel(hub: HubStub, agent_home: Path) -> Any:
    with Agent(agent_home, node=hub.url) as agent:
        (channel,) = agent.channels()
    return channel


async def test_32_parallel_calls_on_one_channel_are_all_served(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    async with AsyncAgent(tmp_path, node=hub.url) as agent:
        answers = await asyncio.gather(*(agent.get(f"{seller.url}/item/{n}") for n in range(320)))
        assert [answer.json()["hello"] for answer in answers] == [""] * 320
        assert {answer.payment.outcome for answer in answers if answer.payment} == {Outcome.SETTLED}
        assert len({(a.payment.lane, a.payment.seq) for a in answers if a.payment}) == 320
        assert str(agent.spent) == "0.032 aiUSD"
        assert len(await agent.channels()) == 1
        receipts = await agent.receipts(limit=1000)
        assert len(receipts) == 320
        proof = await agent.prove(receipts[17])
        assert proof.leaf == receipts[17].leaf
        (closed,) = await agent.close_channels()
        assert (closed.state, closed.redeemed.units) == ("closed", 32_000)


def test_a_shared_agent_serves_many_threads(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    failures: list[Exception] = []
    with Agent(tmp_path, node=hub.url) as agent:

        def work() -> None:
            try:
                for n in range(20):
                    assert agent.get(f"{seller.url}/hello?n={n}").status == 200
            except Exception as error:  # noqa: BLE001 - told by the thread that asserts
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert agent.spent.calls == 160


def test_three_processes_pay_over_one_wallet_each_on_its_own_lanes(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    running = [run_python(PAYER, tmp_path, hub.url, seller.url, 200, "none") for _ in range(3)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert [one["served"] for one in said] == [200, 200, 200]
    with Agent(tmp_path, node=hub.url) as agent:
        (channel,) = agent.channels()
        receipts = agent.receipts(limit=1000)
        assert len(receipts) == 600
        assert len({(receipt.leaf.lane, receipt.leaf.seq) for receipt in receipts}) == 600
        # A process that starts after another has ended goes on with the lane that it parked.
        assert len({receipt.leaf.lane for receipt in receipts}) <= 3
        # Every lane was parked in order, so that nothing but what was paid counts as sent.
        assert channel.sent == 60_000
        assert agent.unknown_calls() == []
        (closed,) = agent.close_channels()
        assert closed.redeemed.units == 60_000


def test_processes_cannot_exceed_a_budget_together(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    running = [
        run_python(PAYER, tmp_path, hub.url, seller.url, 100, "0.012 aiUSD") for _ in range(3)
    ]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    served = sum(one["served"] for one in said)
    assert served + sum(one["refused"] for one in said) == 300
    assert 40 <= served <= 120
    with Agent(tmp_path, node=hub.url) as agent:
        (channel,) = agent.channels()
        assert channel.signed <= 12_000
        (closed,) = agent.close_channels()
        assert closed.redeemed.units == served * 100


def test_a_killed_process_loses_nothing_but_what_it_reports(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    process = run_python(ENDLESS, tmp_path, hub.url, seller.url, "none")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Agent(tmp_path, node=hub.url) as agent:
        before = sum(spend.units for spend in agent.unknown_calls() if not spend.is_final)
        assert agent.return_lanes() > 0
        kept = sum(receipt.charged.units for receipt in agent.receipts(limit=100_000))
        unknown = sum(spend.units for spend in agent.unknown_calls())
        assert all(spend.is_final for spend in agent.unknown_calls())
        assert unknown <= before
        (channel,) = agent.channels()
        assert channel.sent == kept + unknown
        assert agent.get(seller.url + "/hello").status == 200
        (closed,) = agent.close_channels()
        assert closed.redeemed.units == kept + unknown + 100


def test_a_call_with_an_id_is_the_same_after_a_kill(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    process = run_python(ENDLESS, tmp_path, hub.url, seller.url, "job-1")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    url = seller.url + "/slow?s=0.8"
    with Agent(tmp_path, node=hub.url) as agent:
        answer = agent.get(url, call_id="job-1")
        assert (answer.text, answer.payment.outcome) == ("slow", Outcome.SETTLED)
        assert answer.payment.seq == 2
        again = agent.get(url, call_id="job-1")
        assert again.payment.seq == 2
        agent.return_lanes()
        (closed,) = agent.close_channels()
        assert closed.redeemed.units == 200


def test_a_seller_that_dies_in_between_is_waited_for(hub: HubStub, tmp_path: Path) -> None:
    seller = SellerProcess(tmp_path / "seller.sqlite", [(hub.url, hub.network)]).start()
    try:
        with Agent(tmp_path / "agent", node=hub.url) as agent:
            agent.get(seller.url + "/hello")
            answers: list[int] = []
            worker = threading.Thread(
                target=lambda: answers.append(agent.get(seller.url + "/slow?s=1").status)
            )
            worker.start()
            time.sleep(0.3)
            seller.kill()
            time.sleep(0.3)
            seller.start()
            worker.join(30)
            assert answers == [200]
            (closed,) = agent.close_channels()
            assert closed.redeemed.units == 200
    finally:
        seller.stop()


def test_computed_prices_charge_what_the_handler_said(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    with Agent(tmp_path, node=hub.url) as agent:
        for _ in range(30):
            answer = agent.get(seller.url + "/some")
            assert (answer.payment.amount.units, answer.payment.charged.units) == (300, 40)
        assert str(agent.spent) == "0.0012 aiUSD"


def test_the_kinds_of_answers(hub: HubStub, seller: SellerProcess, tmp_path: Path) -> None:
    with Agent(tmp_path, node=hub.url) as agent:
        posted = agent.post(seller.url + "/echo", content=b"\x00body" * 100)
        assert posted.content == b"\x00body" * 100
        assert agent.get(seller.url + "/free").payment is None
        failed = agent.get(seller.url + "/fail")
        assert (failed.status, failed.payment.outcome) == (500, Outcome.FAILED)
        with pytest.raises(RedirectRefused):
            agent.get(seller.url + "/away")
        assert agent.get(seller.url + '/hello?q=ü%20%7C"x|').status == 200
        dear = agent.get(seller.url + "/dear")
        assert dear.payment.charged.units == 20_000
        with pytest.raises(BudgetExceeded):
            agent.get(seller.url + "/dear", price_max="0.019 aiUSD")


async def test_a_paid_answer_above_the_bound_is_unknown(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"node": hub.url, "budget": UNLIMITED, "answer_bytes_max": 4}
    with Agent(tmp_path / "plain", **options) as agent:
        for _ in range(2):
            with pytest.raises(AnswerTooLarge) as caught:
                agent.get(seller.url + "/hello")
            assert caught.value.facts["outcome"] == "unknown"
        agent.answer_bytes_max = 10**6
        assert agent.get(seller.url + "/hello").status == 200
    async with AsyncAgent(tmp_path / "async", **options) as agent:
        for _ in range(2):
            with pytest.raises(AnswerTooLarge) as caught:
                await agent.get(seller.url + "/hello")
            assert caught.value.facts["outcome"] == "unknown"
        agent.answer_bytes_max = 10**6
        assert (await agent.get(seller.url + "/hello")).status == 200


async def test_an_endless_answer_is_cut_and_its_connection_dropped(tmp_path: Path) -> None:
    dropped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except OSError:
            dropped.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with Agent(tmp_path / "plain", answer_bytes_max=5000) as plain:
        async with AsyncAgent(tmp_path / "async", answer_bytes_max=5000) as agent:
            for work in (lambda: asyncio.to_thread(plain.get, url), lambda: agent.get(url)):
                with pytest.raises(AnswerTooLarge):
                    await work()
                await asyncio.wait_for(dropped.wait(), 10)
                dropped.clear()
    server.close()


def test_a_sellers_node_that_is_not_ours_is_not_used(seller: SellerProcess, tmp_path: Path) -> None:
    other = HubStub(seed=bytes([5]) * 32)
    try:
        with Agent(tmp_path, node=other.url) as agent, pytest.raises(NoCommonNode):
            agent.get(seller.url + "/hello")
        assert other.channels == {}
        assert hub_network(other.key.public_key) == other.network
    finally:
        other.stop()


def test_deposits_grow_while_calls_go_on(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    with Agent(tmp_path, node=hub.url, budget=UNLIMITED, deposit_max="0.02 aiUSD") as agent:
        for n in range(600):
            assert agent.get(f"{seller.url}/hello?n={n}").status == 200
        (channel,) = agent.channels()
        assert 60_000 <= channel.deposit <= 90_000


def test_an_account_that_runs_dry_says_so(hub: HubStub, tmp_path: Path) -> None:
    poor = HubStub(seed=bytes([6]) * 32, funds=30_000)
    seller = SellerProcess(tmp_path / "seller.sqlite", [(poor.url, poor.network)]).start()
    try:
        with Agent(tmp_path / "agent", node=poor.url, deposit_max="0.02 aiUSD") as agent:
            for _ in range(300):
                assert agent.get(seller.url + "/hello").status == 200
            with pytest.raises(InsufficientFunds):
                agent.get(seller.url + "/hello")
    finally:
        seller.stop()
        poor.stop()


def test_a_seller_over_its_cap_is_waited_for_while_it_redeems(hub: HubStub, tmp_path: Path) -> None:
    seller = SellerProcess(
        tmp_path / "seller.sqlite", [(hub.url, hub.network)], {"commit": "inline"}
    ).start()
    try:
        with Agent(tmp_path / "agent", node=hub.url, budget=Budget(None, None, None)) as agent:
            # Half of the cap of $5 starts a redemption; $6 in all need one.
            for n in range(300):
                assert agent.get(f"{seller.url}/dear?n={n}").status == 200
            assert agent.spent.amounts[0].units == 6_000_000
    except CapExceeded:
        pytest.fail("the agent gave up on a seller that redeems")
    finally:
        seller.stop()


def test_a_users_own_client_pays(hub: HubStub, seller: SellerProcess, tmp_path: Path) -> None:
    with (
        Agent(tmp_path, node=hub.url) as agent,
        httpx2.Client(transport=PaymentTransport(agent)) as client,
    ):
        response = client.get(seller.url + "/hello", params={"n": "a b"})
        assert response.json() == {"hello": "a b"}
        assert response.extensions["aisa_payment"].charged.units == 100
        posted = client.post(seller.url + "/echo", json={"a": 1})
        assert posted.json() == {"a": 1}
        assert client.get(seller.url + "/free").status_code == 200
        limited = PaymentTransport(agent, price_max="0.00001 aiUSD")
        with httpx2.Client(transport=limited) as cheap, pytest.raises(BudgetExceeded):
            cheap.get(seller.url + "/hello")


async def test_a_users_own_async_client_pays(
    hub: HubStub, seller: SellerProcess, tmp_path: Path
) -> None:
    async with AsyncAgent(tmp_path, node=hub.url) as agent:
        transport = AsyncPaymentTransport(agent)
        async with httpx2.AsyncClient(transport=transport) as client:
            answers = await asyncio.gather(
                *(client.get(f"{seller.url}/hello?n={n}") for n in range(40))
            )
            assert {answer.status_code for answer in answers} == {200}
        assert agent.spent.calls == 40
