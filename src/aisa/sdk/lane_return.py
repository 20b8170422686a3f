"""Lanes of processes that died: the payee says what it charged, and the rest comes back."""

from __future__ import annotations

from typing import Final

import msgspec

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.voucher import HubVoucherKey
from aisa.channel.wallet import WalletEvent, WalletLane
from aisa.client import calls
from aisa.errors import (
    AisaError,
    ChannelUnknown,
    MalformedMessage,
    ReceiptInvalid,
    SessionExpired,
)
from aisa.identity import Signer
from aisa.protocol import base64url
from aisa.protocol.aip import CloseLaneAction, LaneClosed, close_lane_bytes
from aisa.protocol.aip.field import parse_json, parse_units_text
from aisa.sdk.exchange import open_action, post_action
from aisa.sdk.keeping import keep_receipts
from aisa.sdk.meeting import known_nodes
from aisa.sdk.purse import Purse
from aisa.sdk.step import Dance, ask, run

_NOTICE_BYTES_MAX: Final = 4096


class _NoticeJson(msgspec.Struct, frozen=True):
    channel: str
    lane: int
    charged: str
    signature: str


def read_notice(raw: bytes) -> LaneClosed:
    """Read a session URL's answer to `closeLane`.

    Raises:
        MalformedMessage: it is not one.
    """
    said = parse_json(raw, _NoticeJson, "lane notice", _NOTICE_BYTES_MAX)
    if not 0 <= said.lane < 2**32:
        raise MalformedMessage("lane must fit 32 bits")
    return LaneClosed(
        base64url.decode_exact(said.channel, "channel", 32),
        said.lane,
        parse_units_text(said.charged, "charged"),
        base64url.decode_exact(said.signature, "signature", 64),
    )


def return_dead_lanes(purse: Purse, channel: bytes | None = None) -> Dance[int]:
    """Ask payees to close the lanes of dead processes; returns the units that came back.

    What goes wrong with one lane is written down as an event, and tried again at the next start.
    """
    wallet, now_ms = purse.wallet, purse.clock()
    returned = 0
    try:
        # What this process knows of a lane counts as known when its last word is booked.
        yield from keep_receipts(purse)
        lanes = yield from run(lambda: wallet.dead_lanes(now_ms=now_ms, channel=channel))
    except AisaError:
        return 0
    for lane in lanes:
        try:
            returned += yield from _return_lane(purse, lane)
        except AisaError as error:
            yield from _note(purse, lane, error)
    return returned


def _return_lane(purse: Purse, lane: WalletLane) -> Dance[int]:
    wallet = purse.wallet
    channel: PayerChannel = yield from run(lambda: wallet.channel(lane.channel))
    if channel.state not in {ChannelState.OPEN, ChannelState.CLOSING}:
        return 0
    payer = purse.payer_key(channel.terms.network, channel.terms.payee)
    signature = payer.sign(close_lane_bytes(lane.channel, lane.lane))
    action = CloseLaneAction(lane.channel, lane.lane, signature)
    try:
        raw = yield from post_action(purse.clock, channel.session_url, action)
    except (ChannelUnknown, SessionExpired):
        # The process died before the seller saw its session: it is shown, so that it can be closed.
        yield from _show_session(purse, channel, lane, payer)
        raw = yield from post_action(purse.clock, channel.session_url, action)
    notice, now_ms = read_notice(raw), purse.clock()
    if (notice.channel, notice.lane) != (lane.channel, lane.lane):
        raise ReceiptInvalid("the payee's notice is about another lane")
    return (yield from run(lambda: wallet.lane_returned(lane, notice, now_ms=now_ms)))


def _show_session(
    purse: Purse, channel: PayerChannel, lane: WalletLane, payer: Signer
) -> Dance[None]:
    wallet = purse.wallet
    found = yield from run(lambda: wallet.session(lane.session))
    nodes = yield from known_nodes(purse)
    node = nodes.get(channel.terms.network)
    if found is None or node is None:
        raise SessionExpired("the lane's session cannot be shown again")
    statement = yield from ask(node.url, node.signer, calls.statement(lane.channel))
    channel = yield from run(lambda: wallet.open_channel(lane.channel, statement))
    # The ceiling that was signed last, signed again; it does not rise.
    voucher = HubVoucherKey(payer).voucher(lane.channel, channel.signed)
    action = open_action(channel, found.session, payer, voucher)
    yield from post_action(purse.clock, channel.session_url, action)


def _note(purse: Purse, lane: WalletLane, error: AisaError) -> Dance[None]:
    detail = f"lane {lane.lane}: {error.slug}: {error.detail}"
    event = WalletEvent(purse.clock(), "lane-not-returned", lane.channel, detail)
    try:
        yield from run(lambda: purse.wallet.add_event(event))
    except AisaError:
        return
