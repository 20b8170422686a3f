"""A naive payer, a hub in memory and an ASGI caller: everything a seller meets, written plainly."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aisa.client import (
    AccountInfo,
    BalanceInfo,
    ChannelPage,
    ChannelRole,
    ChannelState,
    ProblemInfo,
    RedemptionClaim,
    RedemptionResult,
    RedemptionStatus,
)
from aisa.errors import NodeUnavailable, NotFound
from aisa.identity import ExchangeKey, SigningKey
from aisa.paywall import Paywall, PaywallMiddleware, PaywallOptions, Sweep, TrustedHub
from aisa.protocol.aip import (
    ChannelTerms,
    CloseAction,
    CloseLaneAction,
    DepositStatement,
    OpenAction,
    Session,
    SessionRequest,
    Tick,
    TopUpAction,
    Voucher,
    VoucherAction,
    close_bytes,
    close_lane_bytes,
    format_action,
    hub_network,
    request_digest,
)
from aisa.protocol.mpp import Credential, parse_challenge

ORIGIN = "http://seller.test"
HUB_KEY = SigningKey(b"hub".ljust(32, b"\0"))
NETWORK = hub_network(HUB_KEY.public_key)
SELLER_SEED = b"seller".ljust(32, b"\0")
PAYEE = SigningKey(SELLER_SEED).public_key
T0_MS = 1_800_000_000_000


class Clock:
    """A clock that stands until it is moved; milliseconds."""

    def __init__(self, now_ms: int = T0_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    @property
    def now_s(self) -> int:
        return self.now_ms // 1000


def statement(channel: bytes, deposit: int, issued: int, fee_ppm: int = 1000) -> DepositStatement:
    unsigned = DepositStatement(channel, deposit, fee_ppm, issued)
    return DepositStatement(
        channel, deposit, fee_ppm, issued, HUB_KEY.sign(unsigned.signing_bytes())
    )


class Payer:
    """One payer key and its channel to the seller; every message can be asked for on its own."""

    def __init__(
        self,
        name: str = "payer",
        *,
        network: str = NETWORK,
        holder: bytes = HUB_KEY.public_key,
        payee: bytes = PAYEE,
        currency: str = "aiUSD",
    ) -> None:
        seed = hashlib.sha256(name.encode()).digest()
        self.key = SigningKey(seed)
        self.exchange = ExchangeKey(hashlib.sha256(seed).digest())
        self.terms = ChannelTerms(network, holder, self.key.public_key, payee, currency, seed[:16])
        self.id = self.terms.channel_id
        self.session: Session | None = None
        self.tick_key = b""
        self.receipt_key = b""

    def make_session(
        self, payee_x25519: bytes, expiry: int, first: int = 0, count: int = 16
    ) -> Session:
        unsigned = Session(self.id, self.exchange.public_key, payee_x25519, first, count, expiry)
        session = Session(
            self.id,
            self.exchange.public_key,
            payee_x25519,
            first,
            count,
            expiry,
            self.key.sign(unsigned.signing_bytes()),
        )
        keys = self.exchange.session_keys(payee_x25519, session.hash)
        self.session, self.tick_key, self.receipt_key = session, keys.tick, keys.receipt
        return session

    def voucher(self, ceiling: int, expiry: int = 0) -> Voucher:
        unsigned = Voucher(self.id, ceiling, expiry)
        return Voucher(self.id, ceiling, expiry, self.key.sign(unsigned.message()))

    def open_action(
        self, payee_x25519: bytes, now_s: int, *, deposit: int = 1_000_000, ceiling: int = 50_000
    ) -> OpenAction:
        session = self.session
        if session is None:
            session = self.make_session(payee_x25519, now_s + 86_400)
        return OpenAction(
            self.terms, statement(self.id, deposit, now_s), session, self.voucher(ceiling)
        )

    def tick(
        self,
        seq: int,
        amount: int = 100,
        lane: int = 0,
        *,
        method: str = "GET",
        target: str = "/paid",
        body: bytes = b"",
        origin: str = ORIGIN,
    ) -> str:
        digest = digest_of(method, target, body, origin)
        return Tick(self.id, lane, seq, amount).seal(self.tick_key, digest)

    def close(self) -> CloseAction:
        return CloseAction(self.id, self.key.sign(close_bytes(self.id)))

    def close_lane(self, lane: int) -> CloseLaneAction:
        return CloseLaneAction(self.id, lane, self.key.sign(close_lane_bytes(self.id, lane)))

    def raise_to(self, ceiling: int) -> VoucherAction:
        return VoucherAction(self.voucher(ceiling))

    def top_up(self, deposit: int, now_s: int) -> TopUpAction:
        return TopUpAction(statement(self.id, deposit, now_s))

    def credential(self, challenge_header: str, action: OpenAction) -> str:
        return Credential(parse_challenge(challenge_header), format_action(action)).format()


def digest_of(method: str, target: str, body: bytes = b"", origin: str = ORIGIN) -> bytes:
    return request_digest(
        method.encode(), origin.encode(), target.encode(), hashlib.sha256(body).digest()
    )


@dataclass
class FakeHub:
    """A hub that keeps its word, and may be told not to answer."""

    fee_ppm: int = 1000
    is_down: bool = False
    loses_answer: bool = False
    redeemed: dict[bytes, int] = field(default_factory=dict)
    closed: set[bytes] = field(default_factory=set)
    closing: list[Any] = field(default_factory=list)
    claims: list[RedemptionClaim] = field(default_factory=list)
    refuse: ProblemInfo | None = None
    views: dict[bytes, Any] = field(default_factory=dict)
    balance: int = 0
    withdrawals: list[tuple[str, int]] = field(default_factory=list)
    is_closed: bool = False

    async def redeem(self, claims: Sequence[RedemptionClaim]) -> tuple[RedemptionResult, ...]:
        await asyncio.sleep(0)
        if self.is_down:
            raise NodeUnavailable("down")
        self.claims += claims
        results = tuple(self._one(claim) for claim in claims)
        if self.loses_answer:
            raise NodeUnavailable("the answer was lost")
        return results

    def _one(self, claim: RedemptionClaim) -> RedemptionResult:
        before = self.redeemed.get(claim.channel, 0)
        if self.refuse is not None:
            return RedemptionResult(claim.channel, RedemptionStatus.REFUSED, before, 0, self.refuse)
        assert claim.voucher is not None
        assert claim.cumulative <= claim.voucher.ceiling
        status = RedemptionStatus.APPLIED
        if claim.cumulative <= before:
            status = RedemptionStatus.REPEATED
        after = max(before, claim.cumulative)
        self.balance += after - before
        self.redeemed[claim.channel] = after
        if claim.final:
            self.closed.add(claim.channel)
        return RedemptionResult(claim.channel, status, after, after * self.fee_ppm // 10**6)

    async def channels(
        self,
        role: ChannelRole,
        state: ChannelState | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> ChannelPage:
        if self.is_down:
            raise NodeUnavailable("down")
        assert role is ChannelRole.PAYEE
        return ChannelPage(tuple(self.closing))

    async def channel(self, channel: bytes) -> Any:
        if channel not in self.views:
            raise NotFound("no such channel")
        return self.views[channel]

    async def account(self) -> AccountInfo:
        return AccountInfo(PAYEE, (BalanceInfo("aiUSD", self.balance, self.balance),))

    async def withdraw(
        self,
        id: str,  # noqa: A002 - the port's word
        asset: str,
        units: int,
        destination: str,
        fee_units_max: int,
    ) -> Any:
        from aisa.client import WithdrawalInfo, WithdrawalState

        self.withdrawals.append((id, units))
        self.balance -= units + fee_units_max
        return WithdrawalInfo(
            id, WithdrawalState.PENDING, asset, "aiUSD", units, fee_units_max, destination, T0_MS
        )

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Answer:
    """What an ASGI application sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode() for key, value in self.headers if key == wanted), None)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        return self.json()["slug"]


async def call(
    app: Callable[..., Any],
    path: str = "/paid",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    query: str = "",
    peer: str = "127.0.0.1",
    send: Callable[[Any], Any] | None = None,
    chunks: Sequence[bytes] | None = None,
) -> Answer:
    """Send one request straight into an ASGI application."""
    sent: list[Any] = []
    parts = list(chunks if chunks is not None else [body])
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    raw.append((b"host", b"whatever.example"))
    if body or chunks:
        raw.append((b"content-length", str(sum(map(len, parts))).encode()))

    async def receive() -> Any:
        if parts:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}
        await asyncio.Event().wait()
        return None

    async def collect(message: Any) -> None:
        if send is not None:
            await send(message)
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": raw,
        "client": (peer, 1234),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, collect)
    start = sent[0]
    return Answer(
        start["status"],
        [(bytes(k).lower(), bytes(v)) for k, v in start["headers"]],
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def act(app: Callable[..., Any], action: Any) -> Answer:
    """Post an action to the session URL."""
    return await call(app, "/aisa/session", method="POST", body=format_action(action))


def request_of(answer: Answer) -> SessionRequest:
    """The terms of a 402."""
    value = answer.header("www-authenticate")
    assert value is not None
    return SessionRequest.parse(parse_challenge(value).request)


async def open_channel(
    app: Callable[..., Any],
    payer: Payer,
    clock: Clock,
    *,
    deposit: int = 1_000_000,
    ceiling: int = 50_000,
    seq: int = 1,
    amount: int = 100,
) -> Answer:
    """The first paid call of a payer: 402, then open and pay in one."""
    challenge = await call(app)
    assert challenge.status == 402
    terms = request_of(challenge)
    action = payer.open_action(terms.payee_x25519, clock.now_s, deposit=deposit, ceiling=ceiling)
    value = challenge.header("www-authenticate")
    assert value is not None
    return await call(
        app,
        headers={
            "Payment-Authorization": payer.credential(value, action),
            "Payment-Tick": payer.tick(seq, amount),
        },
    )


class Shop:
    """A seller over a file, with an application whose behaviour a test sets."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        hub: FakeHub | None = None,
        cap: int = 5_000_000,
        prices: dict[str, Any] | None = None,
        options: PaywallOptions | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.hub = hub or FakeHub()
        self.served: list[bytes] = []
        self.paywall = Paywall(
            folder / "seller.sqlite",
            SELLER_SEED,
            origin=ORIGIN,
            hubs=[TrustedHub("http://127.0.0.1:9", NETWORK, 5000, cap, sweep)],
            clock=self.clock,
            options=options or PaywallOptions(commit="inline"),
            client_of=lambda *_: self.hub,
        )
        self.handle: Callable[..., Any] = self.answer_ok
        self.app = PaywallMiddleware(self._app, self.paywall, prices or {"/paid": "0.0001 aiUSD"})

    async def __aenter__(self) -> Shop:
        await self.paywall.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.paywall.stop()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def answer_ok(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope["path"].encode() + b"?" + scope["query_string"])
        await answer(send, body=b'{"n":%d}' % len(self.served))

    async def pay(self, payer: Payer, seq: int, amount: int = 100, lane: int = 0) -> Answer:
        return await call(self.app, headers={"Payment-Tick": payer.tick(seq, amount, lane)})

    async def open(self, payer: Payer, **more: Any) -> Answer:
        return await open_channel(self.app, payer, self.clock, **more)

    def channel(self, payer: Payer) -> Any:
        return self.paywall.till.find(payer.id)


async def answer(send: Any, *, status: int = 200, body: bytes = b"ok") -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
