"""x402 payments on a real chain: the paywall, a node as its facilitator, and money that arrives."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.paywall import TrustedFacilitator
from aisa.protocol.eip712 import UINT256_MAX, address_word, uint_word
from aisa.protocol.evm_address import format_address
from aisa.protocol.permit2 import PERMIT2
from aisa.settlement.evm.erc20 import call_data
from tests.integration.node_process import NodeProcess
from tests.integration.paying import Clock
from tests.integration.x402_payer import facilitator_folder, held
from tests.integration.x402_shop import FakeFacilitator, Wallet, X402Shop, offer, settled_of

pytestmark = [pytest.mark.network, pytest.mark.slow]

SYMBOL = "test-USDC"


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, ethereum_devnet: EthereumDevnet
) -> Iterator[NodeProcess]:
    folder = facilitator_folder(tmp_path_factory.mktemp("facilitator") / "node", ethereum_devnet)
    with NodeProcess(folder) as running:
        yield running


class Market:
    """A seller with an address of its own, and a payer with money."""

    def __init__(self, folder: Path, node: NodeProcess, devnet: EthereumDevnet) -> None:
        self.devnet = devnet
        self.seller = format_address(secrets.token_bytes(20))
        card = devnet.token(SYMBOL)
        common: dict[str, Any] = {
            "network": devnet.network,
            "asset": card.address,
            "domain_name": card.domain_name,
            "domain_version": card.domain_version,
            "pay_to": self.seller,
            # The first one is down, and passed over.
            "facilitators": [
                TrustedFacilitator("http://127.0.0.1:9/x402", keeps_keys=True),
                TrustedFacilitator(f"{node.url}/x402", keeps_keys=True),
            ],
        }
        self.shop = X402Shop(
            folder,
            FakeFacilitator(),
            offer(**common),
            offer(**common, method="permit2"),
            clock=Clock(int(time.time() * 1000)),
            real_http=True,
        )
        self.shop.wallet = Wallet(self.seller)
        self.payer = format_address(self.shop.wallet.key.address)

    def fund(self, units: int = 1_000) -> None:
        self.devnet.faucet.give_token(SYMBOL, self.payer, units)

    def approve(self) -> None:
        data = call_data("approve(address,uint256)", address_word(PERMIT2), uint_word(UINT256_MAX))
        self.devnet.control.set_balance(self.payer, 10**18)
        with self.devnet.control.impersonating(self.payer):
            token = self.devnet.token(SYMBOL).address
            tx = {"from": self.payer, "to": token, "data": "0x" + data.hex()}
            self.devnet.rpc.wait_for(str(self.devnet.rpc.call("eth_sendTransaction", tx)))

    @property
    def earned(self) -> int:
        return held(self.devnet, SYMBOL, self.seller)


@pytest.fixture
def market(tmp_path: Path, node: NodeProcess, ethereum_devnet: EthereumDevnet) -> Market:
    return Market(tmp_path, node, ethereum_devnet)


@pytest.mark.parametrize("which", [0, 1], ids=["eip3009", "permit2"])
async def test_a_call_is_paid_on_the_chain_once(market: Market, which: int) -> None:
    market.fund()
    if which:
        market.approve()
    async with market.shop as shop:
        header = await shop.sign(which=which, identifier="order-0000000001")
        answers = await asyncio.gather(*(shop.pay(header) for _ in range(3)))
        assert {(one.status, one.body) for one in answers} == {(200, b'{"n":1}')}
        assert market.earned == 100
        told = settled_of(answers[0])
        assert (told.success, told.payer) == (True, market.payer)
        receipt = market.devnet.rpc.call("eth_getTransactionReceipt", told.transaction)
        assert receipt["status"] == "0x1"
        assert (await shop.pay(header, query="other")).status == 402


async def test_many_payments_at_once_each_settle(market: Market) -> None:
    market.fund()
    async with market.shop as shop:
        headers = [await shop.sign() for _ in range(4)]
        answers = await asyncio.gather(*(shop.pay(header) for header in headers))
        assert [one.status for one in answers] == [200] * 4
        assert len({settled_of(one).transaction for one in answers}) == 4
        assert market.earned == 400


@pytest.mark.parametrize(
    ("funds", "changes", "reason"),
    [
        (0, {}, "insufficient_funds"),
        (1_000, {"valid_after": 2**39}, "invalid_exact_evm_payload_authorization_valid_after"),
    ],
)
async def test_what_the_chain_would_refuse_is_not_served(
    market: Market, funds: int, changes: dict[str, Any], reason: str
) -> None:
    if funds:
        market.fund(funds)
    async with market.shop as shop:
        told = await shop.pay(await shop.sign(**changes))
        assert (told.status, told.json()["facts"]["reason"]) == (402, reason)
        assert (shop.served, market.earned) == ([], 0)


async def test_a_permit_needs_an_allowance(market: Market) -> None:
    market.fund()
    async with market.shop as shop:
        told = await shop.pay(await shop.sign(which=1))
        assert told.status == 402
        assert told.json()["facts"]["reason"] == "permit2_allowance_required"


async def test_a_stranger_cannot_pay_with_somebody_elses_money(market: Market) -> None:
    market.fund()
    async with market.shop as shop:
        victim = shop.wallet.key.address
        shop.wallet = Wallet("stranger" + market.seller)
        told = await shop.pay(await shop.sign(payer=victim))
        assert told.json()["facts"]["reason"] == "invalid_exact_evm_payload_signature"
        assert (shop.served, market.earned) == ([], 0)
