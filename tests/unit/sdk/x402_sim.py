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
from aisa.protocol.permit2 import PERMIT2
from aisa.protocol.x402 import (
    PaymentPayload,
    PaymentRequired,
    PaymentRequirements,
    ResourceInfo,
    SettlementResponse,
    format_required,
    format_settlement,
)
from aisa.protocol.x402.exact import EXACT_PROXY, Permit2Payload, read_exact_payload
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
    nonce = sim.check(payment)
    if nonce in sim.used:
        return refuse(sim, payment)
    sim.used.add(nonce)
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
    expiries: list[int] = field(default_factory=list)
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

    def check(self, payment: PaymentPayload) -> bytes:
        """Return the nonce of a payment that is what was asked for."""
        paid = read_exact_payload(payment.payload)
        asked = decode_standard(self.asks()["payment-required"], "x", bytes_max=9999)
        assert payment.accepted == PaymentRequired.parse(asked).accepts[0]
        if isinstance(paid, Permit2Payload):
            digest, nonce = paid.digest(84532), paid.permit.nonce.to_bytes(32)
            said = (paid.permitted.token, paid.permitted.amount, paid.witness.to)
            assert paid.permit.spender == EXACT_PROXY
            self.expiries.append(paid.permit.deadline)
        else:
            digest = paid.digest(Domain("USDC", "2", 84532, parse_address(TOKEN)))
            nonce = paid.authorization.nonce
            said = (parse_address(TOKEN), paid.authorization.value, paid.authorization.to)
            self.expiries.append(paid.authorization.valid_before)
        assert is_evm_signature(paid.payer, digest, paid.signature)
        assert said == (parse_address(TOKEN), self.amount, parse_address(self.pay_to))
        return nonce

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
        elif asked["params"][0]["to"] == format_address(PERMIT2):
            data = bytes.fromhex(asked["params"][0]["data"][2:])
            bits = [1 << one[-1] for one in self.used if one[:-1] == data[37:]]
            result = "0x" + sum(bits).to_bytes(32).hex()
        else:
            data = bytes.fromhex(asked["params"][0]["data"][2:])
            result = "0x" + int(data[36:] in self.used).to_bytes(32).hex()
        return Reply(200, {}, json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())

    @property
    def nonces(self) -> list[str]:
        paid = [one.payload for one in self.payments]
        either = [one.get("authorization") or one["permit2Authorization"] for one in paid]
        return [str(one["nonce"]) for one in either]
