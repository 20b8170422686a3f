"""Calls with an id: made once, however often they are asked for, also after a crash."""

from __future__ import annotations

from aisa.channel.voucher import HubVoucherKey
from aisa.channel.wallet import CallState, WalletCall
from aisa.errors import (
    AisaError,
    AnswerGone,
    AnswerTooLarge,
    ChannelUnknown,
    IdempotencyMismatch,
    LaneClosed,
    NotFound,
    OutcomeUnknown,
    PriceAboveTick,
    RedirectRefused,
    SessionExpired,
    TickRefused,
    VoucherRefused,
    VoucherRequired,
)
from aisa.money import currency_by_code
from aisa.protocol.aip import Tick
from aisa.sdk.answer import Answer, Outcome
from aisa.sdk.call import Call
from aisa.sdk.dance import await_turn, judge, pay, refuse, send_ticket
from aisa.sdk.deposit import show_deposit
from aisa.sdk.exchange import error_in
from aisa.sdk.meeting import known_nodes
from aisa.sdk.purse import Purse
from aisa.sdk.step import Dance, exclusively, run
from aisa.sdk.ticket import Ticket
from aisa.sdk.x402_payment import repeat_transfer

_NEVER_CHARGED = (ChannelUnknown, LaneClosed, PriceAboveTick, SessionExpired)
"""Refusals that a seller gives only to a tick that it has not charged, and then never will."""


def pay_once(purse: Purse, call: Call) -> Dance[Answer]:
    """Make a call under its `call_id`, or repeat the tick that it was made with.

    Raises:
        IdempotencyMismatch: the id was used for another request.
        AnswerGone: it was charged, and the seller keeps the answer no longer.
        OutcomeUnknown: whether it was charged cannot be found out.
    """
    return (yield from exclusively(("call", call.call_id), _pay_once(purse, call)))


def _pay_once(purse: Purse, call: Call) -> Dance[Answer]:
    known = yield from run(lambda: purse.wallet.find_call(call.call_id))
    answer = None
    if known is not None:
        call.is_known = True
        answer = yield from _repeat(purse, call, known)
    if answer is None:
        transfer = yield from run(lambda: purse.wallet.find_transfer(call.call_id))
        if transfer is not None:
            answer = yield from repeat_transfer(purse, call, transfer)
    if answer is None:
        try:
            answer = yield from pay(purse, call)
        except (OutcomeUnknown, RedirectRefused):
            raise  # It may be charged: it stays as it was sent, to be repeated.
        except AisaError as error:
            yield from _finish(purse, call, error)
            raise
    payment = answer.payment
    if payment is not None and not payment.channel:
        return answer  # A transfer keeps its own state.
    if payment is not None:
        state, charged = CallState(payment.outcome.value), payment.charged.units
        yield from run(lambda: purse.wallet.finish_call(call.call_id, state, charged=charged))
    elif call.is_known:
        yield from run(lambda: purse.wallet.finish_call(call.call_id, CallState.FAILED))
    return answer


def _finish(purse: Purse, call: Call, error: AisaError) -> Dance[None]:
    """Note that a call was refused, or charged without an answer."""
    if isinstance(error, AnswerTooLarge):
        outcome, charged = error.facts["outcome"], int(error.facts["charged_units"])
        if outcome == Outcome.UNKNOWN.value:
            return  # It stays as it was sent: a repeat with a higher bound may get the answer.
        if call.is_known and outcome == Outcome.SETTLED.value:
            settled = CallState.SETTLED
            yield from run(lambda: purse.wallet.finish_call(call.call_id, settled, charged=charged))
            return
    if call.is_known:
        state = CallState.SETTLED if isinstance(error, AnswerGone) else CallState.FAILED
        yield from run(lambda: purse.wallet.finish_call(call.call_id, state))


def _repeat(purse: Purse, call: Call, known: WalletCall) -> Dance[Answer | None]:
    """Send a known call's tick again; None if it proved never to be charged."""
    if (known.method, known.digest) != (call.method, call.digest):
        raise IdempotencyMismatch(
            f"call_id {known.call_id!r} was used for another request: {known.method} {known.url}",
            hint="use another call_id",
        )
    if known.state is CallState.UNKNOWN:
        raise OutcomeUnknown(f"whether call {known.call_id!r} was charged is not known")
    if known.state is CallState.FAILED:
        return None
    ticket = yield from _ticket_of(purse, call, known)
    while True:
        reply = yield from send_ticket(purse, call, ticket)
        answer = judge(purse, call, ticket, reply)
        if answer is not None:
            return None if answer.payment and _is_failed(answer) else answer
        error = error_in(reply)
        if (yield from await_turn(purse, call, ticket, reply, error)):
            continue
        if isinstance(error, (VoucherRequired, VoucherRefused)) and not ticket.tries:
            ticket.tries += 1
            yield from _show_deposit(purse, known.channel)
            continue
        if known.state is CallState.SENT and isinstance(error, _NEVER_CHARGED):
            return None
        if known.state is CallState.SETTLED:
            raise AnswerGone(
                f"call {call.call_id!r} was charged, and the seller keeps its answer no longer"
            ) from error
        if isinstance(error, TickRefused):
            yield from run(lambda: purse.wallet.finish_call(call.call_id, CallState.UNKNOWN))
            raise OutcomeUnknown(
                f"the seller no longer says what became of call {call.call_id!r}"
            ) from error
        refuse(purse, call, ticket, error)


def _show_deposit(purse: Purse, name: bytes) -> Dance[None]:
    channel = yield from run(lambda: purse.wallet.channel(name))
    # A process that only repeats has not met the channel's node yet.
    nodes = yield from known_nodes(purse)
    node = nodes.get(channel.terms.network)
    if node is not None:
        yield from show_deposit(purse, node, channel)


def _is_failed(answer: Answer) -> bool:
    return answer.payment is not None and answer.payment.outcome is Outcome.FAILED


def _ticket_of(purse: Purse, call: Call, known: WalletCall) -> Dance[Ticket]:
    wallet = purse.wallet
    session = yield from run(lambda: wallet.session(known.session))
    channel = yield from run(lambda: wallet.channel(known.channel))
    if session is None:
        raise NotFound("the wallet no longer has the session of this call")
    keys = purse.keys_of(session)
    tick = Tick(known.channel, known.lane, known.seq, known.amount).seal(keys.tick, call.digest)
    ticket = Ticket(
        known.channel,
        channel.terms.payee,
        currency_by_code(channel.terms.currency),
        known.session,
        keys,
        known.lane,
        known.seq,
        known.amount,
        tick,
    )
    # Whether the process that made it had sent it is not known, so it may have been.
    ticket.is_sent = True
    # The ceiling that was signed last, signed again: the seller may never have seen it.
    payer = purse.payer_key(channel.terms.network, channel.terms.payee)
    ticket.voucher = HubVoucherKey(payer).voucher(known.channel, channel.signed).encode()
    return ticket
