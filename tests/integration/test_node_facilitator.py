"""The node as an x402 facilitator on a real chain: checked, settled once, whoever asks how often."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.ledger.sqlite_backup import verify_file
from aisa.protocol.escrow import ChannelConfig, batch_domain, voucher_digest
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.x402 import (
    FacilitatorRequest,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    Supported,
    TokenExtra,
    VerifyResponse,
)
from aisa.protocol.x402.batch import BatchVoucher, Claim, claims_digest
from aisa.protocol.x402.batch_payload import (
    ClaimPayload,
    DepositPayload,
    Eip3009Deposit,
    VoucherPayload,
)
from aisa.protocol.x402.batch_state import BatchExtra
from tests.integration.node_process import NodeProcess, eventually
from tests.integration.x402_payer import X402Payer, facilitator_folder, held

pytestmark = [pytest.mark.network, pytest.mark.slow]

M = 1_000_000


class Shop:
    """A facilitating node, a payer with money, and the calls that a seller makes."""

    def __init__(self, devnet: EthereumDevnet, node: NodeProcess, seller: str = "") -> None:
        self.devnet, self.node = devnet, node
        self.seller = seller or fresh_address()
        self.payer = X402Payer(devnet, name=self.seller)
        devnet.faucet.give_token("test-USDC", self.payer.address, M)

    def pay(self, **more: Any) -> FacilitatorRequest:
        return self.payer.pay(self.payer.requirements(pay_to=self.seller), **more)

    def post(self, path: str, request: FacilitatorRequest, **headers: str) -> httpx2.Response:
        return httpx2.post(
            f"{self.node.url}/x402/{path}",
            content=request.encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            trust_env=False,
            timeout=60,
        )

    def verify(self, request: FacilitatorRequest) -> VerifyResponse:
        answer = self.post("verify", request)
        assert answer.status_code == 200, answer.text
        return VerifyResponse.parse(answer.content)

    def settle(self, request: FacilitatorRequest, **headers: str) -> SettlementResponse:
        answer = self.post("settle", request, **headers)
        assert answer.status_code == 200, answer.text
        return SettlementResponse.parse(answer.content)

    @property
    def earned(self) -> int:
        return held(self.devnet, "test-USDC", self.seller)


def fresh_address() -> str:
    return format_address(secrets.token_bytes(20))


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, ethereum_devnet: EthereumDevnet
) -> Iterator[NodeProcess]:
    folder = facilitator_folder(tmp_path_factory.mktemp("facilitator") / "node", ethereum_devnet)
    with NodeProcess(folder) as running:
        yield running


@pytest.fixture
def shop(node: NodeProcess, ethereum_devnet: EthereumDevnet) -> Shop:
    """Sellers and payers are new in every test; the chain and the node are the module's."""
    return Shop(ethereum_devnet, node)


def test_it_says_what_it_settles(shop: Shop) -> None:
    answer = httpx2.get(f"{shop.node.url}/x402/supported", trust_env=False)
    told = Supported.parse(answer.content)
    network = "eip155:31337"
    offered = [("exact", network), ("batch-settlement", network)]
    assert [(kind.scheme, kind.network) for kind in told.kinds] == offered
    assert told.extensions == ("payment-identifier",)
    assert len(told.signers["eip155:*"]) == 1


def test_a_payment_is_checked_and_settled(shop: Shop) -> None:
    request = shop.pay()
    checked = shop.verify(request)
    assert (checked.is_valid, checked.payer) == (True, shop.payer.address)
    assert shop.earned == 0, "checking moves nothing"
    settled = shop.settle(request)
    assert (settled.success, settled.amount, settled.payer) == (True, 100, shop.payer.address)
    assert shop.earned == 100
    assert shop.devnet.rpc.call("eth_getTransactionReceipt", settled.transaction)["status"] == "0x1"
    again = shop.verify(request)
    assert (again.is_valid, again.invalid_reason) == (
        False,
        "invalid_exact_evm_nonce_already_used",
    )


def test_a_channel_is_opened_checked_and_claimed(shop: Shop) -> None:
    seller, authorizer, payer = EvmKey(b"\x61" * 32), EvmKey(b"\x62" * 32), shop.payer.key
    escrow = batch_domain(31337)
    token = parse_address(shop.payer.card.address)
    config = ChannelConfig(
        *(payer.address, payer.address, seller.address, authorizer.address, token, 900),
        secrets.token_bytes(32),
    )
    channel = config.channel_id(escrow)
    domain = TokenExtra(shop.payer.card.domain_name, shop.payer.card.domain_version)
    wanted = PaymentRequirements(
        *("batch-settlement", shop.devnet.network, shop.payer.card.address, 10),
        *(format_address(seller.address), 300),
        BatchExtra(authorizer.address, 900, domain).to_json(),
    )
    voucher = BatchVoucher(channel, 40, payer.sign(voucher_digest(escrow, channel, 40)))
    unsigned = Eip3009Deposit(0, shop.payer.now_s + 3_600, secrets.token_bytes(32), b"")
    digest = unsigned.digest(domain.domain(31337, token), config, channel, 1_000)
    signed = replace(unsigned, signature=payer.sign(digest))

    def asking(payload: DepositPayload | VoucherPayload | ClaimPayload) -> FacilitatorRequest:
        return FacilitatorRequest(PaymentPayload(wanted, payload.to_json()), wanted)

    opening = asking(DepositPayload(config, voucher, 1_000, signed))
    assert shop.verify(opening).is_valid
    opened = shop.settle(opening)
    assert (opened.success, opened.amount) == (True, 1_000)
    assert shop.settle(opening) == opened
    checked = shop.verify(asking(VoucherPayload(config, voucher)))
    assert (checked.is_valid, checked.extra and checked.extra["balance"]) == (True, "1000")
    rows = (Claim(config, 40, voucher.signature, 30),)
    claimed = shop.settle(asking(ClaimPayload(rows, authorizer.sign(claims_digest(escrow, rows)))))
    assert claimed.success
    checked = shop.verify(asking(VoucherPayload(config, voucher)))
    assert checked.extra is not None
    assert checked.extra["totalClaimed"] == "30"


def refusals(shop: Shop) -> dict[str, FacilitatorRequest]:
    payer, asked = shop.payer, shop.payer.requirements(pay_to=shop.seller)
    good = shop.pay()
    other = "0x" + "66" * 20
    stranger = X402Payer(payer.devnet, name="stranger" + shop.seller)
    forged = {**good.payload.payload, "signature": "0x" + "11" * 64 + "1b"}

    def meant_for(wanted: PaymentRequirements) -> FacilitatorRequest:
        """Signed for something else than what the seller asks for."""
        return replace(payer.pay(wanted), requirements=asked)

    return {
        "invalid_exact_evm_payload_recipient_mismatch": meant_for(replace(asked, pay_to=other)),
        "invalid_exact_evm_payload_authorization_value_mismatch": meant_for(
            replace(asked, amount=99)
        ),
        "invalid_exact_evm_payload_authorization_valid_before": payer.pay(asked, valid_before=1),
        "invalid_exact_evm_payload_authorization_valid_after": payer.pay(
            asked, valid_after=payer.now_s + 3000
        ),
        "insufficient_funds": stranger.pay(asked),
        "invalid_exact_evm_payload_signature": replace(
            good, payload=replace(good.payload, payload=forged)
        ),
        "unsupported_scheme": replace(good, requirements=replace(asked, scheme="upto")),
        "invalid_network": replace(good, requirements=replace(asked, network="eip155:1")),
        "unsupported_asset": replace(good, requirements=replace(asked, asset=other)),
        "invalid_payload": replace(good, payload=replace(good.payload, payload={"a": 1})),
    }


def test_what_was_not_asked_for_is_refused(shop: Shop) -> None:
    for reason, request in refusals(shop).items():
        checked = shop.verify(request)
        assert (checked.is_valid, checked.invalid_reason) == (False, reason)
        settled = shop.settle(request)
        assert (settled.success, settled.error_reason) == (False, reason)
    assert shop.earned == 0


def test_of_many_callers_one_settles(shop: Shop) -> None:
    request = shop.pay()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: shop.settle(request), range(200)))
    assert sum(one.success for one in answers) == 1
    assert {one.error_reason for one in answers if not one.success} == {"duplicate_settlement"}
    assert shop.earned == 100


def test_a_key_makes_it_safe_to_repeat(shop: Shop) -> None:
    request = shop.pay()
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: shop.settle(request, idempotency_key="seller-1"), range(24))
        )
    assert {(one.success, one.transaction) for one in answers} == {(True, answers[0].transaction)}
    assert shop.earned == 100
    other = shop.settle(request, idempotency_key="seller-2")
    assert other.error_reason == "duplicate_settlement"
    assert shop.post("settle", request, idempotency_key="x" * 129).status_code == 400


def test_an_identifier_is_one_payment(shop: Shop) -> None:
    first = shop.pay(identifier="order-0000000001")
    assert shop.settle(first) == shop.settle(first)
    other = shop.pay(identifier="order-0000000001")
    refused = shop.post("settle", other)
    assert (refused.status_code, refused.json()["slug"]) == (409, "idempotency-mismatch")
    assert shop.earned == 100


def test_what_could_not_be_paid_may_be_paid_later(shop: Shop) -> None:
    late = X402Payer(shop.devnet, name="late" + shop.seller)
    request = late.pay(late.requirements(pay_to=shop.seller))
    assert shop.settle(request).error_reason == "insufficient_funds"
    shop.devnet.faucet.give_token("test-USDC", late.address, 100)
    assert shop.settle(request).success
    assert shop.earned == 100


@pytest.mark.parametrize(
    "point",
    [
        "node.facilitation.before",
        "node.facilitation.after",
        "node.evm.send.before",
        "node.evm.send.after",
        "node.facilitated.before",
    ],
)
def test_a_kill_settles_it_once(
    tmp_path: Path, ethereum_devnet: EthereumDevnet, point: str
) -> None:
    ethereum = ethereum_devnet
    folder = facilitator_folder(tmp_path / "node", ethereum)
    seller = fresh_address()
    payer = X402Payer(ethereum, name=seller)
    ethereum.faucet.give_token("test-USDC", payer.address, M)
    request = payer.pay(payer.requirements(pay_to=seller))
    with NodeProcess(folder, faults=f"{point}:1=kill") as node:
        shop = Shop(ethereum, node, seller)
        with pytest.raises(httpx2.TransportError):
            shop.settle(request, idempotency_key="one")
        assert node.was_killed()
        node.faults = ""
        node.start()
        if point == "node.facilitation.before":
            assert shop.settle(request, idempotency_key="one").success
        eventually(lambda: shop.earned == 100)
        told = eventually(
            lambda: (
                found if (found := shop.settle(request, idempotency_key="one")).success else None
            )
        )
        assert told.amount == 100
        assert shop.earned == 100
        assert node.stop() == 0
    assert verify_file(folder / "ledger.sqlite").bad is None


def test_only_known_keys_are_served_unless_it_is_open(
    tmp_path: Path, ethereum_devnet: EthereumDevnet
) -> None:
    for mode, status, slug in [("signed", 401, "signature-invalid"), ("off", 404, "not-found")]:
        with NodeProcess(facilitator_folder(tmp_path / mode, ethereum_devnet, mode)) as node:
            shop = Shop(ethereum_devnet, node)
            refused: Any = shop.post("settle", shop.pay())
            assert (refused.status_code, refused.json()["slug"]) == (status, slug)
            assert shop.earned == 0
