"""The session URL: open, voucher, topUp, close and closeLane without a call, and receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import msgspec

from aisa.channel.payee import PayeeChannel
from aisa.channel.receipts import leaf_of, prove
from aisa.channel.store import ChannelState
from aisa.errors import (
    AisaError,
    ChannelUnknown,
    InvalidRequest,
    NotFound,
    RateLimited,
    SignatureInvalid,
)
from aisa.identity import Signer, verify_signature
from aisa.paywall.asgi import (
    ALLOWED,
    EXPOSED,
    Disconnected,
    HeaderList,
    Receive,
    Scope,
    Send,
    read_body,
    send_bytes,
    send_problem,
)
from aisa.paywall.limiter import UnpaidLimiter
from aisa.paywall.till import Till, pinned
from aisa.protocol import base64url
from aisa.protocol.aip import (
    CloseAction,
    CloseLaneAction,
    LaneClosed,
    OpenAction,
    ReceiptProof,
    TopUpAction,
    VoucherAction,
    close_bytes,
    close_lane_bytes,
    parse_action,
)

ACTION_BYTES_MAX: Final = 8 * 1024
CLOSE_WAIT_S: Final = 5.0
_QUERY_BYTES_MAX: Final = 512


class SessionDesk:
    """Serves the session URL of one till; `redeem_soon` starts a redemption at a hub."""

    def __init__(
        self,
        till: Till,
        signer: Signer,
        limiter: UnpaidLimiter,
        clock: Callable[[], int],
        redeem_soon: Callable[[str], asyncio.Future[None]],
    ) -> None:
        self._till = till
        self._signer = signer
        self._limiter = limiter
        self._clock = clock
        self._redeem_soon = redeem_soon

    async def serve(self, scope: Scope, receive: Receive, send: Send, peer: str) -> None:
        """Answer one request; every request here counts as unpaid."""
        method: str = scope["method"]
        headers: HeaderList = [EXPOSED] if _has_origin(scope) else []
        try:
            wait_s = self._limiter.take(peer, self._clock())
            if wait_s:
                raise RateLimited("too many requests without payment", retry_after_s=wait_s)
            if method == "OPTIONS":
                allowed = (b"access-control-allow-methods", b"GET, POST, OPTIONS")
                await send_bytes(send, 204, [*headers, allowed, ALLOWED], b"")
                return
            answer = await self._answer(scope, receive, method)
        except Disconnected:
            return
        except AisaError as error:
            await send_problem(send, error, headers)
            return
        own: HeaderList = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
        ]
        await send_bytes(send, 200, own + headers, msgspec.json.encode(answer))

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> dict[str, object]:
        is_receipts = scope["path"].endswith("/receipts")
        if is_receipts and method == "GET":
            return self._receipt(scope.get("query_string") or b"")
        if not is_receipts and method == "POST":
            return await self._act(await read_body(receive, ACTION_BYTES_MAX, None))
        raise NotFound(f"there is no {method} here")

    async def _act(self, body: bytes) -> dict[str, object]:
        action = parse_action(body)
        now_ms = self._clock()
        match action:
            case OpenAction():
                channel = self._till.open(action, now_ms)
            case VoucherAction(voucher):
                channel = self._open_channel(voucher.channel)
                channel.accept_voucher(voucher)
            case TopUpAction(statement):
                channel = self._open_channel(statement.channel)
                channel.accept_statement(statement, now_ms // 1000)
            case CloseAction(channel_id, signature):
                channel = self._till.find(channel_id)
                _check(channel, close_bytes(channel_id), signature)
                return await self._close(channel)
            case CloseLaneAction(channel_id, lane, signature):
                channel = self._till.find(channel_id)
                _check(channel, close_lane_bytes(channel_id, lane), signature)
                return await self._close_lane(channel, lane, now_ms)
        with pinned(channel):
            await self._till.gatherer.save(channel)
        return _view(channel)

    async def _close(self, channel: PayeeChannel) -> dict[str, object]:
        channel.start_closing()
        with pinned(channel):
            await self._till.gatherer.save(channel)
            if channel.state is not ChannelState.CLOSED:
                # The channel stays closing if this takes longer; the redeemer goes on by itself.
                try:
                    async with asyncio.timeout(CLOSE_WAIT_S):
                        await self._till.drain(channel)
                        await asyncio.shield(self._redeem_soon(channel.hub.network))
                except TimeoutError:
                    pass
        return _view(channel)

    async def _close_lane(
        self, channel: PayeeChannel, number: int, now_ms: int
    ) -> dict[str, object]:
        lane = await self._till.close_lane(channel, number, now_ms)
        notice = LaneClosed(channel.id, lane.number, lane.units)
        return {
            "channel": base64url.encode(channel.id),
            "lane": lane.number,
            "charged": str(lane.units),
            "signature": base64url.encode(self._signer.sign(notice.signing_bytes())),
        }

    def _open_channel(self, channel_id: bytes) -> PayeeChannel:
        channel = self._till.find(channel_id)
        if channel.state is not ChannelState.OPEN:
            raise ChannelUnknown("the channel is closing; open another one")
        return channel

    def _receipt(self, query: bytes) -> dict[str, object]:
        channel_id, lane, seq = _receipt_query(query)
        channel = self._till.find(channel_id)
        stored = self._till.store.charge(channel.number, lane, seq)
        if stored is None:
            raise NotFound("there is no charge for this lane and seq")
        leaves = [
            leaf_of(charge, self._channel_id(charge.channel))
            for charge in self._till.store.batch(stored.batch)
        ]
        return _proof_json(prove(leaves, stored.place, stored.batch, self._signer))

    def _channel_id(self, number: int) -> bytes:
        channel = self._till.find_number(number)
        if channel is None:
            raise NotFound("a channel of this batch is not kept any more")
        return channel.id


def _check(channel: PayeeChannel, message: bytes, signature: bytes) -> None:
    if not verify_signature(channel.payer, message, signature):
        raise SignatureInvalid("only the payer may close its channel and lanes")


def _view(channel: PayeeChannel) -> dict[str, object]:
    view = channel.view()
    return {
        "channel": base64url.encode(view.channel),
        "state": view.state.name.lower(),
        "deposit": str(view.deposit),
        "ceiling": str(view.ceiling),
        "charged": str(view.charged),
        "redeemed": str(view.redeemed),
    }


def _proof_json(proof: ReceiptProof) -> dict[str, object]:
    leaf = proof.leaf
    return {
        "channel": base64url.encode(leaf.channel),
        "lane": leaf.lane,
        "seq": leaf.seq,
        "charged": str(leaf.units),
        "request": base64url.encode(leaf.request),
        "status": leaf.status,
        "answer": base64url.encode(leaf.answer),
        "index": proof.index,
        "count": proof.count,
        "path": [base64url.encode(node) for node in proof.path],
        "payee": base64url.encode(proof.payee),
        "batch": proof.batch,
        "signature": base64url.encode(proof.signature),
    }


def _receipt_query(query: bytes) -> tuple[bytes, int, int]:
    if len(query) > _QUERY_BYTES_MAX:
        raise InvalidRequest("the query is too long")
    values = parse_qs(query.decode("latin-1"), max_num_fields=8)
    texts = [values.get(name, [""])[0] for name in ("channel", "lane", "seq")]
    lane, seq = (int(t) if t.isascii() and t.isdigit() and len(t) < 20 else -1 for t in texts[1:])
    if not 0 <= lane < 2**32 or not 0 < seq < 2**63:
        raise InvalidRequest("lane and seq must be numbers")
    return base64url.decode_exact(texts[0], "channel", 32), lane, seq


def _has_origin(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope["headers"])
