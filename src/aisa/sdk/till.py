"""Tills: sessions and lanes that this process pays from, and the slices leased to them."""

from __future__ import annotations

from aisa.channel.payer import ChannelState, DepositShort, PayerChannel, is_top_up_due, slice_units
from aisa.channel.payer import LeaseAsk as Wanted
from aisa.channel.payer_lane import LaneMeter
from aisa.channel.voucher import HubVoucherKey
from aisa.channel.wallet import SessionPlan, WalletSession
from aisa.errors import AisaError, ChannelUnknown, StateConflict, StatementRefused
from aisa.identity import ExchangeKey
from aisa.protocol.aip import Voucher
from aisa.sdk.deposit import (
    STATEMENT_AGE_S,
    find_channel,
    fresh_statement,
    top_up,
    top_up_aside,
)
from aisa.sdk.exchange import open_action, post_action
from aisa.sdk.lane_return import return_dead_lanes
from aisa.sdk.purse import EXPIRY_MARGIN_S, Purse, Seller, Till
from aisa.sdk.step import Aside, Dance, exclusively, run, run_short


def ready_till(purse: Purse, seller: Seller, price: int) -> Dance[Till]:
    """Return a till with the seller that lasts for another call, opening what is missing.

    Raises:
        AisaError: as opening a channel, leasing and the seller's session URL do.
    """
    return (yield from exclusively(("till", seller), _ready_till(purse, seller, price)))


def _ready_till(purse: Purse, seller: Seller, price: int) -> Dance[Till]:
    till = seller.till
    if till is not None and till.is_usable(purse.clock() // 1000):
        return till
    if till is not None:
        yield from drop_till(purse, seller, till)
    try:
        channel = yield from find_channel(purse, seller, price)
        till = yield from _open_till(purse, seller, channel, price)
    except ChannelUnknown:
        # It was closed behind our back: the wallet knows by now, so this opens another one.
        yield from run(lambda: _forget(purse, seller))
        channel = yield from find_channel(purse, seller, price)
        till = yield from _open_till(purse, seller, channel, price)
    seller.till = till
    if channel.channel not in purse.recovered:
        purse.recovered.add(channel.channel)
        yield Aside(return_dead_lanes(purse, channel.channel))
    return till


def _forget(purse: Purse, seller: Seller) -> None:
    offer = seller.offer
    channel = purse.wallet.find_channel(offer.payee, offer.currency, seller.network)
    if channel is not None and channel.state is ChannelState.OPEN:
        purse.wallet.set_state(channel.channel, ChannelState.CLOSING)


def _open_till(purse: Purse, seller: Seller, channel: PayerChannel, price: int) -> Dance[Till]:
    now_s = purse.clock() // 1000
    expiry_min = now_s + 2 * EXPIRY_MARGIN_S
    parked = yield from run(
        lambda: purse.wallet.adopt_session(channel.channel, expiry_min=expiry_min)
    )
    if parked is not None:
        return _till_of(purse, channel, parked)
    seed = purse.random_bytes(32)
    plan = SessionPlan(
        channel.channel,
        seed,
        ExchangeKey(seed).public_key,
        seller.offer.payee_x25519,
        min(now_s + purse.settings.session_s, seller.offer.x_expiry),
    )
    made = yield from run(lambda: purse.wallet.make_session(plan))
    till = _till_of(purse, channel, made)
    try:
        yield from lease(purse, seller, till, price)
        yield from _show_session(purse, seller, till)
    except AisaError:
        yield from _retire(purse, till)
        raise
    return till


def _till_of(purse: Purse, channel: PayerChannel, found: WalletSession) -> Till:
    taken = found.taken
    meter = LaneMeter(found.lane, taken, taken, found.next_seq, shown=taken)
    payer = purse.payer_key(channel.terms.network, channel.terms.payee)
    return Till(
        terms=channel.terms,
        channel=channel.channel,
        session=found.session,
        session_hash=found.session.hash,
        keys=purse.keys_of(found),
        meter=meter,
        payer=payer,
        node_url=channel.node_url,
        deposit=channel.deposit,
        shown_deposit=channel.deposit,
    )


def _show_session(purse: Purse, seller: Seller, till: Till) -> Dance[None]:
    channel = yield from run(lambda: purse.wallet.channel(till.channel))
    if purse.clock() // 1000 - channel.statement.issued > STATEMENT_AGE_S:
        channel = yield from fresh_statement(purse, seller, till.channel)
    url = seller.offer.session_url
    voucher = Voucher.decode(till.meter.voucher)
    action = open_action(channel, till.session, till.payer, voucher)
    try:
        yield from post_action(purse.clock, url, action)
    except StatementRefused:
        channel = yield from fresh_statement(purse, seller, till.channel)
        action = open_action(channel, till.session, till.payer, voucher)
        yield from post_action(purse.clock, url, action)
    till.shown_deposit = channel.deposit
    till.meter.mark_shown(till.meter.leased)


def lease(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    """Lease slices until the lane can pay `price`.

    Raises:
        BudgetExceeded: the owner's limits leave no room.
        InsufficientFunds: neither the deposit nor the account covers the call.
        ChannelUnknown: the channel is closing.
    """
    return (yield from exclusively(("lease", till), _lease(purse, seller, till, price)))


def _lease(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    while till.meter.left < price:
        if not (yield from _lease_once(purse, seller, till, price)):
            yield from top_up(purse, seller, till, price)


def lease_ahead(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    """Lease the next slice beside the calls, so that they seldom wait for one."""
    try:
        yield from exclusively(("lease", till), _lease_once(purse, seller, till, price))
    except AisaError:
        pass  # The call that needs the slice meets the same error, and tells it.
    finally:
        till.is_leasing = False


def _lease_once(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[bool]:
    step_max = purse.settings.step_units(seller.currency)
    wanted = slice_units(price, step_max=step_max, seller_step_max=seller.offer.ceiling_step_max)
    meter, now_ms, receipts = till.meter, purse.clock(), purse.take_receipts()
    try:
        granted = yield from run_short(
            lambda: purse.wallet.lease(
                till.channel,
                meter.lane,
                Wanted(price, wanted),
                seller.limits,
                now_ms=now_ms,
                receipts=receipts,
            )
        )
    except BaseException as error:
        purse.put_back(receipts)
        if isinstance(error, StateConflict):
            raise ChannelUnknown("the channel was closed by another process") from error
        raise
    if isinstance(granted, DepositShort):
        return False
    # Committed first, signed second: a ceiling is never above what is written down as sent.
    voucher = HubVoucherKey(till.payer).voucher(till.channel, granted.ceiling)
    meter.add(granted.units, granted.ceiling, voucher.encode())
    till.low, till.deposit = wanted, granted.deposit
    deposit_max = purse.settings.deposit_units(seller.currency)
    if is_top_up_due(granted.rest, deposit_max=deposit_max) and not till.is_topping_up:
        till.is_topping_up = True
        yield Aside(top_up_aside(purse, seller, till, price))
    return True


def next_lane(purse: Purse, seller: Seller, till: Till, lane: int) -> Dance[None]:
    """Go on with the session's next lane after the seller closed `lane`."""
    return (yield from exclusively(("lease", till), _next_lane(purse, seller, till, lane)))


def _next_lane(purse: Purse, seller: Seller, till: Till, lane: int) -> Dance[None]:
    meter = till.meter
    if meter.lane != lane or seller.till is not till:
        return
    following = yield from run(
        lambda: purse.wallet.next_lane(till.session_hash, lane=lane, taken=meter.taken)
    )
    if following is None:
        seller.till = None
    else:
        till.meter = LaneMeter(following)


def drop_till(purse: Purse, seller: Seller, till: Till) -> Dance[None]:
    """End a session that the seller no longer honours; what it did not take comes back."""
    if seller.till is till:
        seller.till = None
        yield from exclusively(("lease", till), _retire(purse, till))


def _retire(purse: Purse, till: Till) -> Dance[None]:
    meter = till.meter
    yield from run(
        lambda: purse.wallet.retire(till.session_hash, lane=meter.lane, taken=meter.taken)
    )
