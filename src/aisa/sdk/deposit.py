"""Deposits: opening a channel at the agent's own node, topping it up, and showing it to the seller."""

from __future__ import annotations

from aisa import faults
from aisa.channel.payer import ChannelState, PayerChannel, is_top_up_due, top_up_units
from aisa.channel.payer_offer import check_statement
from aisa.channel.wallet import ChannelPlan, TopUp
from aisa.client import calls
from aisa.errors import (
    AisaError,
    BudgetExceeded,
    ChannelUnknown,
    InsufficientFunds,
    InvalidRequest,
    NotAllowed,
    NotFound,
    StateConflict,
    StatementRefused,
    Unprocessable,
)
from aisa.money import Amount
from aisa.protocol.aip import (
    ChannelTerms,
    DepositStatement,
    TopUpAction,
    key_of_hub_network,
    open_bytes,
)
from aisa.sdk.exchange import post_action
from aisa.sdk.purse import KnownNode, Purse, Seller, Till
from aisa.sdk.step import Dance, ask, exclusively, run

_REFUSALS = (Unprocessable, InvalidRequest, NotAllowed)
"""What a node says when it proved not to have moved anything."""
STATEMENT_AGE_S = 300


def find_channel(purse: Purse, seller: Seller, price: int) -> Dance[PayerChannel]:
    """Return the open channel to a seller, opening one if there is none.

    Raises:
        InsufficientFunds: the account at the node does not hold a first deposit.
        BudgetExceeded: the seller asks for a higher first deposit than the owner allows.
        NodeUnavailable: the node does not answer; the same channel is asked for next time.
    """
    wallet, offer = purse.wallet, seller.offer
    node = purse.known_nodes[seller.network]
    channel = yield from run(
        lambda: wallet.find_channel(offer.payee, offer.currency, seller.network)
    )
    if channel is None:
        deposit = yield from _first_deposit(purse, seller, node, price)
        terms = ChannelTerms(
            seller.network,
            key_of_hub_network(seller.network),
            purse.payer_key(seller.network, offer.payee).public_key,
            offer.payee,
            offer.currency,
            purse.random_bytes(16),
        )
        plan = ChannelPlan(terms, node.url, node.signer.public_key, offer.session_url, deposit)
        now_ms = purse.clock()
        channel = yield from run(lambda: wallet.plan_channel(plan, now_ms=now_ms))
    if channel.state is ChannelState.OPENING:
        channel = yield from _open_at_node(purse, seller, node, channel)
    return channel


def _first_deposit(purse: Purse, seller: Seller, node: KnownNode, price: int) -> Dance[int]:
    needed = max(seller.offer.deposit_min, price, 1)
    deposit_max = purse.settings.deposit_units(seller.currency)
    if needed > deposit_max:
        raise BudgetExceeded(
            f"the seller asks for a first deposit of {Amount(needed, seller.currency)},"
            f" above deposit_max of {Amount(deposit_max, seller.currency)}",
            hint="raise deposit_max",
            limit="deposit_max",
        )
    available = yield from _available(node, seller)
    if available < needed:
        raise _poor(seller, available, needed)
    return min(deposit_max, available)


def _available(node: KnownNode, seller: Seller) -> Dance[int]:
    account = yield from ask(node.url, node.signer, calls.account())
    return account.available(seller.currency.code)


def _poor(seller: Seller, available: int, needed: int) -> InsufficientFunds:
    return InsufficientFunds(
        f"the agent's account holds {Amount(available, seller.currency)},"
        f" {Amount(needed, seller.currency)} are needed",
        hint="fund it: `aisa wallet fund` prints an address",
    )


def _open_at_node(
    purse: Purse, seller: Seller, node: KnownNode, channel: PayerChannel
) -> Dance[PayerChannel]:
    wallet, terms, name = purse.wallet, channel.terms, channel.channel
    payer = purse.payer_key(terms.network, terms.payee)
    signature = payer.sign(open_bytes(name, node.signer.public_key))
    request = calls.open_channel(f"open-{name.hex()[:48]}", terms, channel.deposit, signature)
    faults.hit("agent.open.before")
    try:
        opened = yield from ask(node.url, node.signer, request)
    except _REFUSALS:
        yield from run(lambda: wallet.drop_channel(name))
        raise
    faults.hit("agent.open.after")
    statement = opened.statement
    _check(channel, statement, seller.fee_ppm_max)
    return (yield from run(lambda: wallet.open_channel(name, statement)))


def _check(channel: PayerChannel, statement: DepositStatement, fee_ppm_max: int) -> None:
    check_statement(
        statement,
        network=channel.terms.network,
        channel=channel.channel,
        deposit=channel.deposit,
        fee_ppm_max=fee_ppm_max,
    )


def fresh_statement(purse: Purse, seller: Seller, channel: bytes) -> Dance[PayerChannel]:
    """Return the channel with a statement that the node made just now.

    Raises:
        ChannelUnknown: the node says that the channel is closing; so does the wallet from now on.
    """
    known = yield from run(lambda: purse.wallet.channel(channel))
    node = purse.known_nodes[seller.network]
    return (yield from _restate(purse, node, known, seller.fee_ppm_max))


def _restate(
    purse: Purse, node: KnownNode, known: PayerChannel, fee_ppm_max: int
) -> Dance[PayerChannel]:
    wallet, name = purse.wallet, known.channel
    try:
        statement = yield from ask(node.url, node.signer, calls.statement(name))
    except (StateConflict, NotFound) as error:
        yield from run(lambda: wallet.set_state(name, ChannelState.CLOSING))
        raise ChannelUnknown("the channel is closing at the node") from error
    _check(known, statement, fee_ppm_max)
    return (yield from run(lambda: wallet.open_channel(name, statement)))


def show_deposit(purse: Purse, node: KnownNode, channel: PayerChannel) -> Dance[None]:
    """Show the seller what stands behind a channel: who topped it up may have died before that.

    Raises:
        ChannelUnknown: the node says that the channel is closing.
    """
    # The fee of a channel is fixed when it is opened.
    fresh = yield from _restate(purse, node, channel, channel.statement.fee_ppm)
    yield from post_action(purse.clock, fresh.session_url, TopUpAction(fresh.statement))


def top_up(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    """Lift the unspent deposit to the owner's maximum again, and show it to the seller.

    Raises:
        InsufficientFunds: the account does not hold what the next call needs.
        BudgetExceeded: one call costs more than the owner lets lie in a channel.
    """
    return (yield from exclusively(("deposit", till.channel), _top_up(purse, seller, till, price)))


def _top_up(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    deposit_max = purse.settings.deposit_units(seller.currency)
    if price > deposit_max:
        raise BudgetExceeded(
            f"a call of {Amount(price, seller.currency)} is above deposit_max",
            hint="raise deposit_max",
            limit="deposit_max",
        )
    wallet = purse.wallet
    channel = yield from run(lambda: wallet.channel(till.channel))
    pending = yield from run(lambda: wallet.pending_top_up(till.channel))
    # Another process may have topped the shared channel up meanwhile.
    if pending or channel.rest < price or is_top_up_due(channel.rest, deposit_max=deposit_max):
        plan = pending or (yield from _plan(purse, seller, channel, deposit_max, price))
        channel = yield from _top_up_at_node(purse, seller, channel, plan)
    till.deposit = channel.deposit
    if till.deposit > till.shown_deposit:
        yield from show_statement(purse, seller, till, channel.statement)


def _plan(
    purse: Purse, seller: Seller, channel: PayerChannel, deposit_max: int, price: int
) -> Dance[TopUp]:
    available = yield from _available(purse.known_nodes[seller.network], seller)
    missing = max(1, price - channel.rest)
    if available < missing:
        raise _poor(seller, available, missing)
    units = min(available, top_up_units(channel, deposit_max=deposit_max, price=price))
    plan = TopUp(channel.channel, f"top-{purse.random_bytes(16).hex()}", units)
    return (yield from run(lambda: purse.wallet.begin_top_up(plan)))


def _top_up_at_node(
    purse: Purse, seller: Seller, channel: PayerChannel, plan: TopUp
) -> Dance[PayerChannel]:
    wallet = purse.wallet
    node = purse.known_nodes[seller.network]
    faults.hit("agent.topup.before")
    try:
        request = calls.top_up(plan.channel, plan.id, plan.units)
        opened = yield from ask(node.url, node.signer, request)
    except (*_REFUSALS, StateConflict) as error:
        yield from run(lambda: wallet.finish_top_up(plan, None))
        if isinstance(error, StateConflict):
            yield from run(lambda: wallet.set_state(plan.channel, ChannelState.CLOSING))
            raise ChannelUnknown("the channel is closing at the node") from error
        raise
    faults.hit("agent.topup.after")
    _check(channel, opened.statement, seller.fee_ppm_max)
    return (yield from run(lambda: wallet.finish_top_up(plan, opened.statement)))


def show_statement(
    purse: Purse, seller: Seller, till: Till, statement: DepositStatement
) -> Dance[None]:
    """Show the seller what stands behind the channel now."""
    url = seller.offer.session_url
    try:
        if purse.clock() // 1000 - statement.issued > STATEMENT_AGE_S:
            raise StatementRefused("too old to show")
        yield from post_action(purse.clock, url, TopUpAction(statement))
    except StatementRefused:
        channel = yield from fresh_statement(purse, seller, till.channel)
        statement = channel.statement
        yield from post_action(purse.clock, url, TopUpAction(statement))
    till.shown_deposit = max(till.shown_deposit, statement.deposit)


def top_up_aside(purse: Purse, seller: Seller, till: Till, price: int) -> Dance[None]:
    """Top up beside the calls; what goes wrong shows when a call needs the money."""
    try:
        yield from top_up(purse, seller, till, price)
    except AisaError:
        pass
    finally:
        till.is_topping_up = False
