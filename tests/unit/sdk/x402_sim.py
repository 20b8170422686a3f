"""An x402 seller and a chain without sockets: `says` scripts what the seller makes of a payment."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aisa.identity.evm_key import is_evm_signature
from aisa.protocol.base64url import decode_standard
from aisa.protocol.eip712 import Domain
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.x402 import (
    PaymentPayload,
    PaymentRequired,
    PaymentRequirements,
    ResourceInfo,
    SettlementResponse,
    format_required,
    format_settlement,
)
from aisa.protocol.x402.exact import Eip3009Payload, read_exact_payload
from aisa.sdk.step import Lost, Reply, Send
from tests.unit.sdk.market import ORIGIN, Clock

NETWORK = "eip155:84532"
TOKEN = "0x" + "36" * 20
URL = ORIGIN + "/paid"
RPC = "http://chain.test"
CONFIG = f"""
[[agent.x402.asset]]
asset = "{NETWORK}/erc20:{TOKEN}"
currency = "USDC"
scale = 6
name = "USDC"
version = "2"
per_call = "0.01 USDC"
per_day = "0.00045 USDC"
rpc_url = "{RPC}"
"""
Says = Callable[["X402Sim", PaymentPayload], "Reply | Lost"]


def settle(sim: X402Sim, payment: PaymentPayload) -> Reply:
    """Carry it out and answer; refuse it the second time, as facilitators do."""
    paid = sim.check(payment)
    if paid.nonce in sim.used:
        return refuse(sim, payment)
    sim.used.add(paid.nonce)
    return Reply(200, {"payment-response": sim.word(success=True)}, b"served")


def refuse(sim: X402Sim, payment: PaymentPayload) -> Reply:
    said = sim.word(success=False, reason="invalid_exact_evm_nonce_already_used")
    return Reply(402, {"payment-response": said, **sim.asks()}, b"{}")


def take_and_refuse(sim: X402Sim, payment: PaymentPayload) -> Reply:
    settle(sim, payment)
    return refuse(sim, payment)


@dataclass
class X402Sim:
    clock: Clock
    says: list[Says] = field(default_factory=list)
    amount: int = 100
    pay_to: str = "0x" + "5e" * 20
    changes: dict[str, Any] = field(default_factory=dict)
    resource: str | None = URL
    extensions: dict[str, Any] | None = None
    used: set[bytes] = field(default_factory=set)
    payments: list[PaymentPayload] = field(default_factory=list)
    unpaid: int = 0
    challenges: tuple[str, ...] = ()
    rpc_down: bool = False

    def asks(self) -> dict[str, str]:
        terms: dict[str, Any] = {
            "scheme": "exact",
            "network": NETWORK,
            "asset": TOKEN,
            "amount": self.amount,
            "pay_to": self.pay_to,
            "max_timeout_s": 300,
            "extra": {"name": "USDC", "version": "2"},
            **self.changes,
        }
        required = PaymentRequired(
            (PaymentRequirements(**terms),),
            resource=None if self.resource is None else ResourceInfo(self.resource),
            error="Payment required",
            extensions=self.extensions,
        )
        return {"payment-required": format_required(required)}

    def word(self, *, success: bool, reason: str | None = None, network: str = NETWORK) -> str:
        tx = "0x" + "ab" * 32 if success else ""
        return format_settlement(SettlementResponse(success, tx, network, error_reason=reason))

    def check(self, payment: PaymentPayload) -> Authorization:
        paid = read_exact_payload(payment.payload)
        assert isinstance(paid, Eip3009Payload)
        assert (
            payment.accepted
            == PaymentRequired.parse(
                decode_standard(self.asks()["payment-required"], "x", bytes_max=9999)
            ).accepts[0]
        )
        domain = Domain("USDC", "2", 84532, parse_address(TOKEN))
        assert is_evm_signature(paid.payer, paid.digest(domain), paid.signature)
        assert paid.authorization.value == self.amount
        assert format_address(paid.authorization.to) == format_address(parse_address(self.pay_to))
        return paid.authorization

    def handle(self, request: Send) -> Reply | Lost:
        if request.url == RPC:
            return self.chain(json.loads(request.content))
        header = request.headers.get("PAYMENT-SIGNATURE")
        if header is None:
            self.unpaid += 1
            return Reply(402, self.asks(), b"{}", self.challenges)
        payment = PaymentPayload.parse(decode_standard(header, "x", bytes_max=9999))
        self.payments.append(payment)
        says = self.says.pop(0) if self.says else settle
        return says(self, payment)

    def chain(self, asked: dict[str, Any]) -> Reply | Lost:
        if self.rpc_down:
            return Lost(is_sent=False, reason="down")
        if asked["method"] == "eth_getBlockByNumber":
            now_s = self.clock.now_ms // 1000
            result: Any = {"number": "0x10", "timestamp": hex(now_s)}
        else:
            data = bytes.fromhex(asked["params"][0]["data"][2:])
            result = "0x" + int(data[36:] in self.used).to_bytes(32).hex()
        return Reply(200, {}, json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())

    @property
    def nonces(self) -> list[str]:
        return [str(one.payload["authorization"]["nonce"]) for one in self.payments]  # type: ignore[index,call-overload]
