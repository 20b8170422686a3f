"""Leaving: lanes are parked for the next process, channels are closed when the owner says so."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final

from aisa import faults
from aisa.channel.payer import ChannelState, PayerChannel
from aisa.client import ChannelView, calls
from aisa.errors import AisaError, NotFound
from aisa.money import Amount, currency_by_code
from aisa.protocol.aip import CloseAction, close_bytes
from aisa.sdk.answer import ClosedChannel
from aisa.sdk.exchange import post_action
from aisa.sdk.keeping import keep_receipts
from aisa.sdk.lane_return import return_dead_lanes
from aisa.sdk.meeting import known_nodes
from aisa.sdk.purse import KnownNode, Purse
from aisa.sdk.step import Dance, Pause, ask, run

_POLL_S: Final = 0.2


def leave(purse: Purse) -> Dance[None]:
    """Keep what is gathered, and park every lane so that nothing of its slices stays away."""
    with suppress(AisaError):
        yield from keep_receipts(purse)
    for seller in list(purse.sellers.values()):
        till, seller.till = seller.till, None
        if till is None:
            continue
        meter, name = till.meter, till.session_hash
        with suppress(AisaError):
            yield from run(
                lambda name=name, meter=meter: purse.wallet.park(
                    name, lane=meter.lane, taken=meter.taken, next_seq=meter.next_seq
                )
            )


def close_channels(
    purse: Purse, wait_s: float, only: Collection[bytes] | None
) -> Dance[tuple[ClosedChannel, ...]]:
    """Ask every seller (or those of `only`) to redeem for the last time, or else the node.

    A channel that was only planned stays so: nothing stands behind it.

    Raises:
        NodeUnavailable: no node answers.
    """
    yield from leave(purse)
    yield from return_dead_lanes(purse)
    wallet = purse.wallet
    states = (ChannelState.OPENING, ChannelState.OPEN, ChannelState.CLOSING)
    channels = yield from run(lambda: wallet.channels(*states))
    if only is not None:
        channels = [one for one in channels if one.channel in only]
    if not channels:
        return ()
    nodes = yield from known_nodes(purse)
    closed: list[ClosedChannel] = []
    for channel in channels:
        node = nodes.get(channel.terms.network)
        if node is None:
            continue
        if channel.state is ChannelState.OPENING and not (yield from _is_there(node, channel)):
            continue
        closed.append((yield from _close(purse, node, channel, wait_s)))
    return tuple(closed)


def _is_there(node: KnownNode, channel: PayerChannel) -> Dance[bool]:
    """Whether a channel was opened at its node by a process that died before it wrote that down."""
    try:
        yield from ask(node.url, node.signer, calls.channel(channel.channel))
    except NotFound:
        return False
    return True


def _close(
    purse: Purse, node: KnownNode, channel: PayerChannel, wait_s: float
) -> Dance[ClosedChannel]:
    wallet, name = purse.wallet, channel.channel
    signature = purse.payer_key(channel.terms.network, channel.terms.payee).sign(close_bytes(name))
    # Written down first: no other process leases on a channel that is about to end.
    yield from run(lambda: wallet.set_state(name, ChannelState.CLOSING))
    faults.hit("agent.close.before")
    try:
        yield from post_action(purse.clock, channel.session_url, CloseAction(name, signature))
    except AisaError:
        yield from ask(node.url, node.signer, calls.close_channel(name, signature))
    faults.hit("agent.close.after")
    view = yield from _await_closed(purse, node, name, wait_s)
    if view.state.value == ChannelState.OPEN.value:
        # The seller said yes and has not redeemed: whether it ever does, the deposit comes back.
        view = yield from ask(node.url, node.signer, calls.close_channel(name, signature))
    if view.state.value == ChannelState.CLOSED.value:
        yield from run(lambda: wallet.set_state(name, ChannelState.CLOSED))
    currency = currency_by_code(channel.terms.currency)
    return ClosedChannel(
        name,
        channel.session_url,
        Amount(view.deposit, currency),
        Amount(view.redeemed, currency),
        view.state.value,
    )


def _await_closed(purse: Purse, node: KnownNode, name: bytes, wait_s: float) -> Dance[ChannelView]:
    deadline_ms = purse.clock() + wait_s * 1000
    while True:
        view = yield from ask(node.url, node.signer, calls.channel(name))
        if view.state.value == ChannelState.CLOSED.value or purse.clock() > deadline_ms:
            return view
        yield Pause(_POLL_S)
