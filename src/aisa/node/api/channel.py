"""`/v1/channels`: channels that stand at this node."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aisa.client.message import (
    ChannelPage,
    ChannelRole,
    ChannelState,
    ChannelView,
    CloseChannelRequest,
    OpenChannelRequest,
    OpenedChannel,
    TopUpRequest,
)
from aisa.node.exchange import (
    LIMIT_DEFAULT,
    After,
    Limit,
    caller_of,
    channel_in,
    reply,
    signed_message,
)
from aisa.node.openapi import described
from aisa.node.services import Services
from aisa.payment.channel_row import ChannelRow
from aisa.protocol.aip import DepositStatement


def router(services: Services) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/channels", tags=["channel"])

    def view(row: ChannelRow) -> ChannelView:
        return view_of(row, services)

    @routes.post(
        "",
        summary="Open a channel; idempotent by id",
        **described(OpenedChannel, OpenChannelRequest),
    )
    async def open_channel(request: Request) -> Response:
        key, wanted = await signed_message(services, request, OpenChannelRequest)
        opened = await services.channels.open(
            key, wanted.id, wanted.terms, wanted.deposit, wanted.payer_signature
        )
        return reply(OpenedChannel(view(opened.row), opened.statement))

    @routes.get("", summary="Channels by role and state", **described(ChannelPage))
    async def channels(
        request: Request,
        role: ChannelRole = ChannelRole.OPENER,
        state: ChannelState | None = None,
        after: After = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Response:
        key, _ = await caller_of(services, request)
        rows, next_after = await services.channels.page(key, role, state, after, limit)
        return reply(ChannelPage(tuple(map(view, rows)), next_after))

    @routes.get("/{channel}", summary="One channel", **described(ChannelView))
    async def one(request: Request, channel: str) -> Response:
        key, _ = await caller_of(services, request)
        return reply(view(await services.channels.get(key, channel_in(channel))))

    @routes.get(
        "/{channel}/statement",
        summary="A fresh deposit statement, for its opener",
        **described(DepositStatement),
    )
    async def statement(request: Request, channel: str) -> Response:
        key, _ = await caller_of(services, request)
        return reply(await services.channels.statement(key, channel_in(channel)))

    @routes.post(
        "/{channel}/deposits",
        summary="Add to a channel's deposit; idempotent by id",
        **described(OpenedChannel, TopUpRequest),
    )
    async def top_up(request: Request, channel: str) -> Response:
        key, wanted = await signed_message(services, request, TopUpRequest)
        opened = await services.channels.top_up(key, channel_in(channel), wanted.id, wanted.units)
        return reply(OpenedChannel(view(opened.row), opened.statement))

    @routes.post(
        "/{channel}/close",
        summary="Start the closing clock",
        **described(ChannelView, CloseChannelRequest),
    )
    async def close(request: Request, channel: str) -> Response:
        key, wanted = await signed_message(services, request, CloseChannelRequest)
        row = await services.channels.close(key, channel_in(channel), wanted.payer_signature)
        return reply(view(row))

    return routes


def view_of(row: ChannelRow, services: Services) -> ChannelView:
    """Return a channel as the API shows it: without its opener, whom the payee need not know."""
    closes_at_ms = None
    if row.closes_at_uptime_ms is not None:
        left_ms = max(0, row.closes_at_uptime_ms - services.closing.now_ms())
        closes_at_ms = services.clock() + left_ms
    return ChannelView(
        channel=row.channel,
        network=row.network,
        payer=row.payer,
        payee=row.payee,
        currency=row.currency,
        salt=row.salt,
        state=row.state,
        deposit=row.deposit,
        redeemed=row.redeemed,
        fee_taken=row.fee_taken,
        fee_ppm=row.fee_ppm,
        closes_at_ms=closes_at_ms,
    )
