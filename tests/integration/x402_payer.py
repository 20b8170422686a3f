"""A payer of x402 `exact` payments, and a node that settles them, for tests."""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path
from typing import Any

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    FacilitatorRequest,
    PaymentIdentifier,
    PaymentPayload,
    PaymentRequirements,
    TokenExtra,
)
from aisa.protocol.x402.exact import Eip3009Payload
from aisa.settlement.evm.erc20 import balance_data

SELLER = "0x" + "5e" * 20
CONFIG = """\
port = 0
reconcile_ms = 100
facilitator = "{facilitator}"

[[currency]]
code = "aiUSD"

[[currency]]
code = "USDC"

[[rail]]
kind = "evm"
network = "{network}"
rpc_urls = ["{url}"]
confirmations = 1
escrow = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"

[[rail.token]]
symbol = "aiUSD"
issuer = "test"
asset = "{aiusd}"
scale = 6
currency = "aiUSD"

[[rail.token]]
symbol = "test-USDC"
issuer = "test"
asset = "{usdc}"
scale = 6
currency = "USDC"
"""


def facilitator_folder(folder: Path, devnet: EthereumDevnet, mode: str = "open") -> Path:
    """A node's folder whose treasury has gas."""
    text = CONFIG.format(
        facilitator=mode,
        network=devnet.network,
        url=devnet.url,
        aiusd=devnet.token("aiUSD").asset,
        usdc=devnet.token("test-USDC").asset,
    )
    init_node(folder, config=text)
    config = load_config(folder / "node.toml", {})
    for _, address in treasuries(config, open_seed(config, None)):
        devnet.control.set_balance(address, 10**18)
    return folder


def held(devnet: EthereumDevnet, symbol: str, address: str) -> int:
    wish = {
        "to": devnet.token(symbol).address,
        "data": "0x" + balance_data(parse_address(address)).hex(),
    }
    return devnet.rpc.number("eth_call", wish, "latest")


class X402Payer:
    """Signs EIP-3009 transfers of one token; every payment has a nonce of its own."""

    def __init__(
        self, devnet: EthereumDevnet, symbol: str = "test-USDC", name: str = "payer"
    ) -> None:
        self.devnet = devnet
        self.card = devnet.token(symbol)
        self.key = EvmKey(hashlib.sha256(name.encode()).digest())
        self.address = format_address(self.key.address)
        self._nonces = itertools.count(1)

    @property
    def now_s(self) -> int:
        return max(int(time.time()), self.devnet.control.block().time_s)

    def requirements(self, amount: int = 100, pay_to: str = SELLER) -> PaymentRequirements:
        extra = TokenExtra(self.card.domain_name, self.card.domain_version).to_json()
        return PaymentRequirements(
            "exact", self.devnet.network, self.card.address, amount, pay_to, 300, extra
        )

    def authorization(self, amount: int, pay_to: str, **changes: Any) -> Authorization:
        values: dict[str, Any] = {
            "payer": self.key.address,
            "to": parse_address(pay_to),
            "value": amount,
            "valid_after": 0,
            "valid_before": self.now_s + 3600,
            "nonce": next(self._nonces).to_bytes(32),
        }
        return Authorization(**{**values, **changes})

    def sign(self, authorization: Authorization) -> Eip3009Payload:
        chain_id = int(self.devnet.network.partition(":")[2])
        extra = TokenExtra(self.card.domain_name, self.card.domain_version)
        domain = extra.domain(chain_id, parse_address(self.card.address))
        digest = domain.digest(authorization.transfer_hash())
        return Eip3009Payload(authorization, self.key.sign(digest))

    def pay(
        self, wanted: PaymentRequirements | None = None, *, identifier: str = "", **changes: Any
    ) -> FacilitatorRequest:
        wanted = wanted or self.requirements()
        signed = self.sign(self.authorization(wanted.amount, wanted.pay_to, **changes))
        named = PaymentIdentifier(False, identifier).to_json() if identifier else None
        extensions = {PAYMENT_IDENTIFIER: named} if named else None
        return FacilitatorRequest(
            PaymentPayload(wanted, signed.to_json(), extensions=extensions), wanted
        )
