"""A seller and a node without sockets: the seller keeps the protocol, or cheats as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aisa.client.call import Call as NodeCall
from aisa.errors import (
    AisaError,
    ChannelUnknown,
    LaneClosed,
    NodeUnavailable,
    PaymentRequired,
    PriceAboveTick,
    SessionExpired,
    StatementRefused,
    TickRefused,
    VoucherRefused,
    VoucherRequired,
)
from aisa.identity import ExchangeKey, SessionKeys, Signer, SigningKey, verify_signature
from aisa.protocol import base64url
from aisa.protocol.aip import (
    CloseAction,
    CloseLaneAction,
    Hub,
    OpenAction,
    ReceiptLeaf,
    Session,
    SessionRequest,
    Tick,
    TopUpAction,
    Voucher,
    parse_action,
    payee_exchange_bytes,
    request_digest,
)
from aisa.protocol.aip import LaneClosed as LaneNotice
from aisa.protocol.mpp import issue_challenge
from aisa.protocol.problem import error_of, parse_problem, problem_of
from aisa.sdk.step import Lost, Reply, Send
from tests.integration.hub_stub import HubBook

ORIGIN = "http://seller.test"
PRICE = 100


@dataclass
class Clock:
    now_ms: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class HubPort:
    """What an agent sees of the book: the asynchronous and the synchronous client in one."""

    book: HubBook
    signer: Signer | None

    def ask(self, call: NodeCall[Any]) -> Any:
        account = self.signer.public_key if self.signer and call.signed else b""
        status, raw = self.book.serve(call.method, call.target, account, call.body)
        if status == 200:
            return call.parse(raw)
        if status == 503:
            raise NodeUnavailable("down")
        raise error_of(parse_problem(raw, status=status))


class AsyncHub(HubPort):
    async def send(self, call: NodeCall[Any]) -> Any:
        return self.ask(call)

    async def close(self) -> None:
        pass


class SyncHub(HubPort):
    def send(self, call: NodeCall[Any]) -> Any:
        return self.ask(call)

    def close(self) -> None:
        pass


@dataclass
class Charge:
    digest: bytes
    units: int
    answer: bytes


@dataclass
class Ledger:
    """The seller's books of one channel."""

    payer: bytes
    deposit: int
    ceiling: int = 0
    charges: dict[tuple[int, int], Charge] = field(default_factory=dict)
    sessions: list[tuple[Session, SessionKeys]] = field(default_factory=list)
    closed_lanes: set[int] = field(default_factory=set)
    vouchers: list[int] = field(default_factory=list)
    is_open: bool = True
    charged: int = 0


Trick = Callable[[Send], "Reply | Lost | None"]


@dataclass
class SellerSim:
    """`tricks` are asked first, in turn; one that returns None lets the next request through."""

    hub: HubBook
    clock: Clock
    price: int = PRICE
    seed: bytes = bytes([9]) * 32
    scale: int = 6
    deposit_min: int = 10_000
    ceiling_step_max: int = 50_000
    session_origin: str = ORIGIN
    hubs: tuple[Hub, ...] = ()
    tricks: list[Trick] = field(default_factory=list)
    forge_receipts: bool = False
    overcharge: int = 0
    lane_charged: int | None = None
    answer: bytes = b'{"ok":true}'
    status: int = 200
    ledgers: dict[bytes, Ledger] = field(default_factory=dict)
    served: int = 0
    seen: list[Send] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signer = SigningKey(self.seed)
        self.exchange = ExchangeKey(sha256(self.seed).digest())
        self.hubs = self.hubs or (Hub(self.hub.network, 5000),)
        self.counter = itertools.count()

    @property
    def ledger(self) -> Ledger:
        (only,) = self.ledgers.values()
        return only

    async def send(self, request: Send) -> Reply | Lost:
        return self.handle(request)

    def handle(self, request: Send) -> Reply | Lost:
        self.seen.append(request)
        if self.tricks:
            said = self.tricks.pop(0)(request)
            if said is not None:
                return said
        return self.serve(request)

    def serve(self, request: Send) -> Reply | Lost:
        parts = urlsplit(request.url)
        try:
            if parts.path == "/aisa/session":
                said = self.act(parse_action(request.content))
                return Reply(200, {}, msgspec.json.encode(said))
            if parts.path == "/free":
                return Reply(200, {}, b"free")
            return self.paid(request)
        except PaymentRequired as error:
            return self.refuse(error)
        except AisaError as error:
            return Reply(error.status, {}, problem_of(error).encode())

    def refuse(self, error: AisaError) -> Reply:
        challenge = issue_challenge(
            b"secret",
            realm="seller.test",
            method="aisa",
            intent="session",
            request=self.offer().format(),
            header="Payment-Authorization",
        )
        return Reply(402, {}, problem_of(error).encode(), (challenge.format(),))

    def offer(self) -> SessionRequest:
        expiry = self.clock() // 1000 + 10**6
        key = self.exchange.public_key
        return SessionRequest(
            amount=self.price,
            currency="aiUSD",
            scale=self.scale,
            payee=self.signer.public_key,
            hubs=self.hubs,
            payee_x25519=key,
            x_expiry=expiry,
            x_signature=self.signer.sign(payee_exchange_bytes(key, expiry)),
            session_url=self.session_origin + "/aisa/session",
            deposit_min=self.deposit_min,
            ceiling_step_max=self.ceiling_step_max,
        )

    def act(self, action: Any) -> dict[str, Any]:
        match action:
            case OpenAction(terms, statement, session, voucher):
                now_s = self.clock() // 1000
                if now_s - statement.issued > 600:
                    raise StatementRefused("stale")
                ledger = self.ledgers.setdefault(
                    terms.channel_id, Ledger(terms.payer, statement.deposit)
                )
                if not ledger.is_open:
                    raise ChannelUnknown("closed")
                assert verify_signature(terms.payer, session.signing_bytes(), session.signature)
                for other, _ in ledger.sessions:
                    assert other.hash == session.hash or not set(other.lanes) & set(session.lanes)
                keys = self.exchange.session_keys(session.payer_x25519, session.hash)
                ledger.sessions.append((session, keys))
                ledger.deposit = max(ledger.deposit, statement.deposit)
                self.raise_ceiling(ledger, voucher)
            case TopUpAction(statement):
                ledger = self.known(statement.channel)
                ledger.deposit = max(ledger.deposit, statement.deposit)
            case CloseLaneAction(channel, lane, _):
                ledger = self.known(channel)
                ledger.closed_lanes.add(lane)
                charged = sum(c.units for (ln, _), c in ledger.charges.items() if ln == lane)
                charged = charged if self.lane_charged is None else self.lane_charged
                notice = LaneNotice(channel, lane, charged)
                return {
                    "channel": base64url.encode(channel),
                    "lane": lane,
                    "charged": str(charged),
                    "signature": base64url.encode(self.signer.sign(notice.signing_bytes())),
                }
            case CloseAction(channel, _):
                ledger = self.ledgers[channel]
                ledger.is_open = False
                self.hub.channels[channel].redeemed = ledger.charged
                self.hub.channels[channel].state = "closed"
            case _:
                raise AssertionError(action)
        return {}

    def known(self, channel: bytes) -> Ledger:
        if channel not in self.ledgers:
            raise ChannelUnknown("unknown")
        return self.ledgers[channel]

    def raise_ceiling(self, ledger: Ledger, voucher: Voucher) -> None:
        assert verify_signature(ledger.payer, voucher.message(), voucher.signature)
        ledger.vouchers.append(voucher.ceiling)
        if voucher.ceiling > ledger.deposit:
            raise VoucherRefused("above the deposit")
        ledger.ceiling = max(ledger.ceiling, voucher.ceiling)

    def paid(self, request: Send) -> Reply:
        header = request.headers.get("Payment-Tick")
        if header is None:
            raise PaymentRequired
        tick = Tick.decode(header)
        ledger = self.ledgers.get(tick.channel)
        if ledger is None or not ledger.is_open:
            raise ChannelUnknown("unknown")
        keys = next((k for s, k in ledger.sessions if tick.lane in s.lanes), None)
        if keys is None:
            raise SessionExpired("no session")
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        digest = request_digest(
            request.method.encode(),
            ORIGIN.encode(),
            target.encode(),
            sha256(request.content).digest(),
        )
        if not tick.admits(keys.tick, digest):
            raise TickRefused("mac")
        if "Payment-Voucher" in request.headers:
            self.raise_ceiling(ledger, Voucher.decode(request.headers["Payment-Voucher"]))
        known = ledger.charges.get((tick.lane, tick.seq))
        if known is not None:
            if known.digest != digest:
                raise TickRefused("used")
            return self.receipt(tick, keys, digest, known.units, known.answer)
        if tick.lane in ledger.closed_lanes:
            raise LaneClosed("closed")
        if tick.amount < self.price:
            raise PriceAboveTick("dearer")
        if ledger.charged + self.price > ledger.ceiling:
            raise VoucherRequired("more")
        if self.status >= 500:
            return Reply(self.status, {}, b"broken")
        self.served += 1
        answer = self.answer + str(next(self.counter)).encode()
        ledger.charges[tick.lane, tick.seq] = Charge(digest, self.price, answer)
        ledger.charged += self.price
        return self.receipt(tick, keys, digest, self.price, answer)

    def receipt(
        self, tick: Tick, keys: SessionKeys, digest: bytes, units: int, answer: bytes
    ) -> Reply:
        said = units + self.overcharge
        leaf = ReceiptLeaf(
            tick.channel, tick.lane, tick.seq, said, digest, self.status, sha256(answer).digest()
        )
        mac = bytes(16) if self.forge_receipts else leaf.mac(keys.receipt)
        document = {
            "status": "success",
            "method": "aisa",
            "timestamp": "2027-01-15T08:00:00Z",
            "reference": f"{tick.lane}:{tick.seq}",
            "channel": base64url.encode(tick.channel),
            "charged": str(said),
            "mac": base64url.encode(mac),
        }
        header = base64url.encode(msgspec.json.encode(document))
        return Reply(self.status, {"payment-receipt": header}, answer)
