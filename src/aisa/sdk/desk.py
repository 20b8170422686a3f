"""What both agents share: their purse, and each of their methods as a dance."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from weakref import WeakSet

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.payer_offer import check_offer
from aisa.channel.wallet import UnknownSpend, WalletEvent
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.client import origin_of
from aisa.errors import NodeUnavailable, PaymentRequired, StateConflict
from aisa.money import Amount, currency_by_code
from aisa.sdk.answer import Answer, ClosedChannel, Payment, Quote, Receipt
from aisa.sdk.budget import Budget, amount_of
from aisa.sdk.call import Call
from aisa.sdk.closing import close_channels, leave
from aisa.sdk.dance import ask_unpaid, pay
from aisa.sdk.discovery import find_nodes
from aisa.sdk.exchange import offer_in
from aisa.sdk.home import WALLET_FILE, aisa_home, ensure_agent_seed, read_config
from aisa.sdk.lane_return import return_dead_lanes
from aisa.sdk.meeting import known_nodes
from aisa.sdk.once import pay_once
from aisa.sdk.purse import Clock, Purse, Settings
from aisa.sdk.step import Dance, Reply, exclusively, run
from aisa.sdk.x402_asset import tighten
from aisa.sdk.x402_offer import find_offer, makes_offer
from aisa.sdk.x402_payment import pin_name

TIMEOUT_S_DEFAULT: Final = 30.0
_living: WeakSet[Purse] = WeakSet()


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an agent's maker may set; None takes the setting of config.toml, then the default."""

    home: Path | str | None = None
    node: str | Sequence[str] | None = None
    budget: Budget | None = None
    deposit_max: Amount | str | None = None
    ceiling_step: Amount | str | None = None
    on_payment: Callable[[Payment], None] | None = None
    clock: Clock = wall_clock_ms
    random_bytes: Callable[[int], bytes] = os.urandom


def open_purse(wishes: Wishes) -> Purse:
    """Open the wallet of a home folder, making key and file where there are none.

    Raises:
        ConfigInvalid: the configuration, the key or the wallet file cannot be used.
    """
    home = Path(wishes.home) if wishes.home is not None else aisa_home()
    config = read_config(home)
    deposit_max, step = wishes.deposit_max, wishes.ceiling_step
    settings = Settings(
        wishes.budget or config.budget or Budget(),
        config.deposit_max if deposit_max is None else amount_of(deposit_max),
        config.ceiling_step if step is None else amount_of(step),
    )
    given = wishes.node
    named = (given,) if isinstance(given, str) else given
    urls = None if named is None else tuple(map(origin_of, named))
    purse = Purse(
        wallet=SqliteWallet(home / WALLET_FILE),
        root=ensure_agent_seed(home),
        settings=settings,
        clock=wishes.clock,
        random_bytes=wishes.random_bytes,
        nodes=lambda: urls if urls is not None else find_nodes(home, config),
        on_payment=wishes.on_payment,
        x402=tuple(
            replace(one, limits=tighten(one.limits, settings.budget, one.currency.code))
            for one in config.x402
        ),
    )
    _living.add(purse)
    return purse


def _after_fork() -> None:
    """Keep a forked child from paying with the ticks of its parent."""
    for purse in list(_living):
        purse.fault = StateConflict(
            "this agent was made before the process forked", hint="make one in each process"
        )


os.register_at_fork(after_in_child=_after_fork)


def perform(purse: Purse, call: Call) -> Dance[Answer]:
    """Make a call, once if it has an id."""
    return pay_once(purse, call) if call.call_id else pay(purse, call)


def ask_price(purse: Purse, call: Call) -> Dance[Quote]:
    """Ask what a call costs, without paying.

    Raises:
        AisaError: the offer is not one that could be paid.
    """
    reply = yield from ask_unpaid(purse, call)
    if reply.status != 402:
        return Quote(call.place.url, None, status=reply.status)
    try:
        offer = offer_in(reply)
    except PaymentRequired:
        if not makes_offer(reply):
            raise
        return _quote_transfer(purse, call, reply)
    check_offer(offer, origin=call.place.origin, now_s=purse.clock() // 1000)
    currency = currency_by_code(offer.currency)
    networks = tuple(hub.network for hub in offer.hubs)
    try:
        nodes = yield from known_nodes(purse)
    except NodeUnavailable:
        nodes = {}
    own = next((nodes[name].url for name in networks if name in nodes), None)
    return Quote(
        call.place.url,
        Amount(offer.amount, currency),
        offer.payee,
        networks,
        own,
        Amount(offer.deposit_min, currency),
    )


def _quote_transfer(purse: Purse, call: Call, reply: Reply) -> Quote:
    offer = find_offer(purse, call, reply, within_limits=False)
    return Quote(call.place.url, offer.amount, offer.pay_to, (offer.asset.network,))


def pin_anew(purse: Purse, call: Call) -> Dance[bytes]:
    """Pin the key that a seller is paid by now, in place of the one before."""
    reply, origin = (yield from ask_unpaid(purse, call)), call.place.origin
    try:
        offer = offer_in(reply)
    except PaymentRequired:
        if not makes_offer(reply):
            raise
        wanted = find_offer(purse, call, reply, within_limits=False)
        name = pin_name(call, wanted.asset.network)
        yield from run(lambda: purse.wallet.repin_payee(name, wanted.pay_to))
        return wanted.pay_to
    check_offer(offer, origin=origin, now_s=purse.clock() // 1000)
    yield from run(lambda: purse.wallet.repin_payee(origin, offer.payee))
    purse.routes.clear()
    return offer.payee


def close_all(
    purse: Purse, wait_s: float, only: Collection[bytes] | None
) -> Dance[tuple[ClosedChannel, ...]]:
    """Close every channel, or those of `only`."""
    return (yield from exclusively("closing", close_channels(purse, wait_s, only)))


def return_lanes(purse: Purse) -> Dance[int]:
    """Get back what died processes had leased and not used."""
    return return_dead_lanes(purse)


def say_goodbye(purse: Purse) -> Dance[None]:
    """Park the lanes; the purse is of no use afterwards."""
    if purse.fault is None:
        yield from exclusively("closing", leave(purse))
        purse.fault = StateConflict("the agent is closed")


def read_receipts(purse: Purse, after: int, limit: int) -> list[Receipt]:
    """Return kept receipts, those that are still gathered included once they are written."""
    channels = {one.channel: one.terms.currency for one in purse.wallet.channels()}
    return [
        Receipt(
            kept.number,
            kept.method,
            kept.url,
            Amount(kept.leaf.units, currency_by_code(channels[kept.leaf.channel])),
            kept.at_ms,
            kept.leaf,
        )
        for kept in purse.wallet.receipts(after=after, limit=limit)
    ]


def read_unknown(purse: Purse) -> list[UnknownSpend]:
    """Return what may be charged without an answer."""
    return purse.wallet.unknown_spends(flying=purse.flying)


def read_events(purse: Purse, after: int, limit: int) -> list[WalletEvent]:
    """Return the wallet's events."""
    return purse.wallet.events(after=after, limit=limit)


def read_channels(purse: Purse) -> list[PayerChannel]:
    """Return the wallet's channels that are not closed."""
    return purse.wallet.channels(ChannelState.OPENING, ChannelState.OPEN, ChannelState.CLOSING)
