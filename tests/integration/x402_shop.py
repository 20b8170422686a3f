"""A seller that takes x402, a payer that signs for it, and a facilitator that keeps its word."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from aisa.client.facilitator_client import FacilitatorClient
from aisa.identity import EvmKey
from aisa.paywall import Paywall, PaywallMiddleware, PaywallOptions, TrustedFacilitator, TrustedHub
from aisa.paywall.x402_offer import X402Offer
from aisa.protocol.evm_address import parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.permit2 import Permit, TokenPermission
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    FacilitatorRequest,
    PaymentIdentifier,
    PaymentPayload,
    PaymentRequired,
    PaymentRequirements,
    SettlementResponse,
    Supported,
    SupportedKind,
    TokenExtra,
    VerifyResponse,
    format_payload,
    parse_required,
    parse_settlement,
)
from aisa.protocol.x402.exact import (
    EXACT_PROXY,
    Eip3009Payload,
    Permit2Payload,
    TransferWitness,
    read_exact_payload,
)
from tests.integration.paying import (
    NETWORK,
    ORIGIN,
    SELLER_SEED,
    Answer,
    Clock,
    FakeHub,
    answer,
    call,
)

CHAIN = 31337
ASSET = "0x" + "a5" * 20
SELLER = "0x" + "5e" * 20
URL = "http://127.0.0.1:9/x402"


def offer(**changes: Any) -> X402Offer:
    values: dict[str, Any] = {
        "network": f"eip155:{CHAIN}",
        "asset": ASSET,
        "decimals": 6,
        "domain_name": "test-USDC",
        "domain_version": "2",
        "pay_to": SELLER,
        "facilitators": [TrustedFacilitator(URL, keeps_keys=True)],
    }
    return X402Offer(**{**values, **changes})


@dataclass
class FakeFacilitator:
    """Settles each nonce once; what it does in a moment of weakness is set by `weakness`.

    `down` refuses before anything is done, `silent` settles and loses the answer, `pending` says so
    for a while, `failing` says that the payment failed.
    """

    weakness: str = ""
    keeps_keys: bool = True
    verified: int = 0
    asked: int = 0
    settled: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    refuse: str = ""

    def handle(self, path: str, key: str, body: bytes) -> tuple[int, bytes] | None:
        if self.weakness == "down":
            problem = {"type": "about:blank", "title": "x", "status": 503, "detail": "x"}
            return 503, json.dumps({**problem, "slug": "rail-unavailable"}).encode()
        if path.endswith("/supported"):
            return 200, Supported((SupportedKind("exact", f"eip155:{CHAIN}"),)).encode()
        request = FacilitatorRequest.parse(body)
        if path.endswith("/verify"):
            self.verified += 1
            reason = self.refuse or ("nonce_used" if self._nonce(request) in self.settled else "")
            return 200, VerifyResponse(not reason, reason or None).encode()
        self.asked += 1
        self.keys.append(key)
        return self._settle(request, key)

    def _settle(self, request: FacilitatorRequest, key: str) -> tuple[int, bytes] | None:
        network, nonce = request.requirements.network, self._nonce(request)
        if self.weakness == "failing":
            return 200, SettlementResponse(False, "", network, error_reason="broke").encode()
        if self.weakness == "pending":
            said = SettlementResponse(False, "0xaa", network, error_reason="settlement_pending")
            return 200, said.encode()
        if nonce in self.settled and not (self.keeps_keys and self.settled[nonce] == key):
            said = SettlementResponse(False, "", network, error_reason="duplicate_settlement")
            return 200, said.encode()
        self.settled[nonce] = key
        if self.weakness == "silent":
            return None
        amount = request.requirements.amount
        return 200, SettlementResponse(True, "0xfeed", network, payer="0x1", amount=amount).encode()

    @staticmethod
    def _nonce(request: FacilitatorRequest) -> str:
        signed = read_exact_payload(request.payload.payload)
        one = signed.authorization.nonce.hex() if isinstance(signed, Eip3009Payload) else ""
        return one or str(signed.permit.nonce)  # type: ignore[union-attr]

    def transport(self) -> httpx2.AsyncBaseTransport:
        async def handle(request: httpx2.Request) -> httpx2.Response:
            key = request.headers.get("idempotency-key", "")
            told = self.handle(request.url.path, key, await request.aread())
            if told is None:
                raise httpx2.ReadTimeout("lost", request=request)
            return httpx2.Response(told[0], content=told[1])

        return httpx2.MockTransport(handle)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve on a port; yields the URL."""
        facilitator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                key = self.headers.get("idempotency-key", "")
                told = facilitator.handle(self.path, key, body)
                assert told is not None
                self.send_response(told[0])
                self.send_header("content-length", str(len(told[1])))
                self.end_headers()
                self.wfile.write(told[1])

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/x402"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Wallet:
    """Signs payments; every one has a nonce of its own."""

    def __init__(self, name: str = "payer") -> None:
        self.key = EvmKey(hashlib.sha256(name.encode()).digest())
        self._nonces = itertools.count(1)

    def pay(
        self,
        wanted: PaymentRequirements,
        *,
        identifier: str = "",
        valid_before: int = 2**40,
        **changes: Any,
    ) -> PaymentPayload:
        extra = TokenExtra.read(wanted.extra)
        sign = self._permit if extra.method == "permit2" else self._transfer
        payload = sign(wanted, extra, valid_before, changes)
        named = PaymentIdentifier(False, identifier).to_json() if identifier else None
        return PaymentPayload(
            wanted, payload, extensions={PAYMENT_IDENTIFIER: named} if named else None
        )

    def _transfer(
        self, wanted: PaymentRequirements, extra: TokenExtra, until: int, changes: Any
    ) -> Any:
        values = {
            "payer": self.key.address,
            "to": parse_address(wanted.pay_to),
            "value": wanted.amount,
            "valid_after": 0,
            "valid_before": until,
            "nonce": next(self._nonces).to_bytes(32),
        }
        one = Authorization(**{**values, **changes})
        domain = extra.domain(CHAIN, parse_address(wanted.asset))
        return Eip3009Payload(one, self.key.sign(domain.digest(one.transfer_hash()))).to_json()

    def _permit(self, wanted: PaymentRequirements, _: TokenExtra, until: int, changes: Any) -> Any:
        values = {
            "payer": self.key.address,
            "permitted": TokenPermission(parse_address(wanted.asset), wanted.amount),
            "permit": Permit(EXACT_PROXY, next(self._nonces), until),
            "witness": TransferWitness(parse_address(wanted.pay_to), 0),
        }
        unsigned = Permit2Payload(**{**values, **changes}, signature=bytes(65))
        return replace(unsigned, signature=self.key.sign(unsigned.digest(CHAIN))).to_json()


class X402Shop:
    """A seller with x402 offers before an application that counts its calls."""

    def __init__(
        self,
        folder: Path,
        facilitator: FakeFacilitator,
        *offers: X402Offer,
        prices: dict[str, Any] | None = None,
        options: PaywallOptions | None = None,
        clock: Clock | None = None,
        real_http: bool = False,
    ) -> None:
        self.clock = clock or Clock()
        self.facilitator = facilitator
        self.served: list[str] = []
        self.handle: Callable[..., Any] = self.answer_ok
        self.wallet = Wallet()
        self.paywall = Paywall(
            folder / "seller.sqlite",
            SELLER_SEED,
            origin=ORIGIN,
            hubs=[TrustedHub("http://127.0.0.1:9", NETWORK, 5000, 5_000_000)],
            x402=offers or (offer(),),
            options=options or PaywallOptions(commit="inline"),
            clock=self.clock,
            client_of=lambda *_: FakeHub(),
            facilitator_of=None if real_http else self._client,
        )
        self.app = PaywallMiddleware(self._app, self.paywall, prices or {"/paid": "0.0001 aiUSD"})

    def _client(self, one: X402Offer, signer: Any) -> FacilitatorClient:
        return FacilitatorClient(
            one.trusted(), signer, clock=self.clock, transport=self.facilitator.transport()
        )

    async def __aenter__(self) -> X402Shop:
        await self.paywall.start()
        self.paywall.sales._pauses_s = (0.001, 0.001)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.paywall.stop()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def answer_ok(self, scope: Any, _: Any, send: Any) -> None:
        self.served.append(scope["path"])
        await answer(send, body=b'{"n":%d}' % len(self.served))

    async def offered(self, path: str = "/paid", **more: Any) -> PaymentRequired:
        refused = await call(self.app, path, **more)
        assert refused.status == 402
        return required_of(refused)

    async def sign(self, path: str = "/paid", which: int = 0, **more: Any) -> str:
        wanted = (await self.offered(path)).accepts[which]
        return format_payload(self.wallet.pay(wanted, **more))

    async def pay(self, header: str, path: str = "/paid", **more: Any) -> Answer:
        headers = {"PAYMENT-SIGNATURE": header, **more.pop("headers", {})}
        return await call(self.app, path, headers=headers, **more)


def required_of(refused: Answer) -> PaymentRequired:
    value = refused.header("payment-required")
    assert value is not None
    return parse_required(value)


def settled_of(told: Answer) -> SettlementResponse:
    value = told.header("payment-response")
    assert value is not None
    return parse_settlement(value)
