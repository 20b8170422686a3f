"""A node for tests: the HTTP API's channel part over a dictionary, in a thread of this process."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aisa.client.message import OpenChannelRequest, RedemptionClaim, TopUpRequest
from aisa.client.shape import decode
from aisa.errors import AisaError, InsufficientFunds, NotFound, SignatureInvalid, StateConflict
from aisa.identity import SigningKey, verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import DepositStatement, hub_network, open_bytes
from aisa.protocol.problem import problem_of

RICH = 10**12


@dataclass
class StubChannel:
    request: OpenChannelRequest
    account: bytes
    deposit: int
    redeemed: int = 0
    state: str = "open"


@dataclass
class HubBook:
    """What the node knows; `funds` are what every account starts with, `clock_s` its clock."""

    seed: bytes = bytes([7]) * 32
    fee_ppm: int = 1000
    funds: int = RICH
    channels: dict[bytes, StubChannel] = field(default_factory=dict)
    spent: dict[bytes, int] = field(default_factory=dict)
    done: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    down: bool = False
    clock_s: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.key = SigningKey(self.seed)
        self.network = hub_network(self.key.public_key)
        self.lock = threading.Lock()

    def serve(self, method: str, target: str, account: bytes, body: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.requests.append(f"{method} {target}")
            if self.down:
                return 503, b"down"
            try:
                return 200, json.dumps(self.route(method, target, account, body)).encode()
            except AisaError as error:
                return error.status, problem_of(error).encode()

    def route(self, method: str, target: str, account: bytes, body: bytes) -> Any:
        path = target.partition("?")[0]

        if path == "/v1/node":
            return self.info()
        if len(account) != 32:
            raise SignatureInvalid("unsigned")
        if path == "/v1/account":
            left = str(self.funds - self.spent.get(account, 0))
            balance = {"currency": "aiUSD", "units": left, "available": left}
            return {"key": base64url.encode(account), "balances": [balance]}
        if path == "/v1/channels" and method == "GET":
            return {"channels": [self.view(name) for name in self.payable(account, target)]}
        if path == "/v1/channels":
            return self.open(account, decode(OpenChannelRequest, body, "body", bytes_max=10**5))
        if path == "/v1/redemptions":
            claims = decode(tuple[RedemptionClaim, ...], body, "body", bytes_max=10**6)
            return [self.redeem(claim) for claim in claims]
        return self.route_channel(path, account, body)

    def route_channel(self, path: str, account: bytes, body: bytes) -> Any:
        found = re.fullmatch(r"/v1/channels/([0-9a-f]{64})(/\w+)?", path)
        if found is None:
            raise NotFound(path)
        name = bytes.fromhex(found[1])
        channel = self.channels.get(name)
        if channel is None:
            raise NotFound("no such channel")
        match found[2]:
            case None:
                return self.view(name)
            case "/statement":
                if channel.state != "open":
                    raise StateConflict("closing")
                return self.statement(name)
            case "/deposits":
                return self.top_up(account, name, decode(TopUpRequest, body, "b", bytes_max=9999))
            case _:
                channel.state = "closing"
                return self.view(name)

    def payable(self, payee: bytes, path: str) -> list[bytes]:
        return [
            name
            for name, channel in self.channels.items()
            if channel.request.payee == payee and f"state={channel.state}" in path
        ]

    def info(self) -> Any:
        currency = {"code": "aiUSD", "scale": 6, "fee_ppm": self.fee_ppm, "account_cap": "1000000"}
        return {
            "network": self.network,
            "node_key": base64url.encode(self.key.public_key),
            "version": "1",
            "currencies": [currency],
            "tokens": [],
            "withdrawals_open": True,
            "labels": [],
        }

    def take(self, account: bytes, units: int) -> None:
        if self.spent.get(account, 0) + units > self.funds:
            raise InsufficientFunds("poor")
        self.spent[account] = self.spent.get(account, 0) + units

    def open(self, account: bytes, request: OpenChannelRequest) -> Any:
        name = request.terms.channel_id
        if request.id not in self.done:
            message = open_bytes(name, account)
            if not verify_signature(request.payer, message, request.payer_signature):
                raise SignatureInvalid("payer")
            self.take(account, request.deposit)
            self.channels[name] = StubChannel(request, account, request.deposit)
            self.done[request.id] = name
        return {"channel": self.view(name), "statement": self.statement(name)}

    def top_up(self, account: bytes, name: bytes, request: TopUpRequest) -> Any:
        channel = self.channels[name]
        if channel.state != "open":
            raise StateConflict("closing")
        if request.id not in self.done:
            self.take(account, request.units)
            channel.deposit += request.units
            self.done[request.id] = name
        return {"channel": self.view(name), "statement": self.statement(name)}

    def statement(self, name: bytes) -> Any:
        channel = self.channels[name]
        plain = DepositStatement(name, channel.deposit, self.fee_ppm, int(self.clock_s()))
        return {
            "channel": base64url.encode(name),
            "deposit": str(channel.deposit),
            "fee_ppm": self.fee_ppm,
            "issued": plain.issued,
            "signature": base64url.encode(self.key.sign(plain.signing_bytes())),
        }

    def redeem(self, claim: RedemptionClaim) -> Any:
        channel = self.channels[claim.channel]
        ceiling = claim.voucher.ceiling if claim.voucher else channel.redeemed
        assert channel.redeemed <= claim.cumulative <= max(ceiling, channel.redeemed)
        assert ceiling <= channel.deposit
        channel.redeemed = claim.cumulative
        if claim.final and channel.state != "closed":
            channel.state = "closed"
            self.spent[channel.account] -= channel.deposit - channel.redeemed
        return {
            "channel": base64url.encode(claim.channel),
            "status": "applied",
            "redeemed": str(channel.redeemed),
            "fee": "0",
        }

    def view(self, name: bytes) -> Any:
        channel = self.channels[name]
        request = channel.request
        return {
            "channel": base64url.encode(name),
            "network": request.network,
            "payer": base64url.encode(request.payer),
            "payee": base64url.encode(request.payee),
            "currency": request.currency,
            "salt": base64url.encode(request.salt),
            "state": channel.state,
            "deposit": str(channel.deposit),
            "redeemed": str(channel.redeemed),
            "fee_taken": "0",
            "fee_ppm": self.fee_ppm,
        }


class HubStub(HubBook):
    """The book behind HTTP, in a thread."""

    def __post_init__(self) -> None:
        super().__post_init__()
        book = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["content-length"])))

            def answer(self, body: bytes) -> None:
                found = re.search(r'keyid="([^"]+)"', self.headers.get("signature-input", ""))
                account = base64url.decode(found[1], bytes_max=32) if found else b""
                status, raw = book.serve(self.command, self.path, account, body)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
