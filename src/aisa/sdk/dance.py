"""The 402 dance: one call, from the first request to an answer that is paid for.

A generator that does no I/O: it yields steps and is sent what came of them, so that one flow serves
the asynchronous agent, the synchronous one and the adapters.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NoReturn, cast

from aisa import faults
from aisa.channel.payer import check_call
from aisa.errors import (
    AisaError,
    AnswerGone,
    AnswerTooLarge,
    BudgetExceeded,
    CapExceeded,
    ChannelUnknown,
    InvalidRequest,
    LaneClosed,
    OutcomeUnknown,
    PaymentRequired,
    PriceAboveTick,
    RailUnavailable,
    ReceiptInvalid,
    RedirectRefused,
    SessionExpired,
    StateConflict,
    VoucherRefused,
    VoucherRequired,
)
from aisa.money import Amount
from aisa.protocol.aip import Tick
from aisa.sdk.answer import Answer, Outcome, Payment
from aisa.sdk.call import Call
from aisa.sdk.deposit import fresh_statement, show_statement
from aisa.sdk.exchange import (
    DELAY_S_FIRST,
    DELAY_S_MAX,
    answer_of,
    error_in,
    offer_in,
    wait_in,
)
from aisa.sdk.keeping import keep_receipts_aside
from aisa.sdk.meeting import meet
from aisa.sdk.purse import RECEIPTS_MAX, Purse, Route, Seller
from aisa.sdk.step import Aside, Dance, Lost, Pause, Reply, exclusively, run, send
from aisa.sdk.ticket import RECEIPT, Ticket, check_receipt
from aisa.sdk.till import drop_till, lease, lease_ahead, next_lane, ready_till
from aisa.sdk.x402_payment import may_pay_otherwise, pay_by_transfer

TRIES_MAX: Final = 6
"""So often one call may be refused and tried again in another way."""
_GATEWAY: Final = frozenset({502, 504})
"""Said by whoever stands before a seller and lost it: no proof that the seller charges nothing."""


def ask_unpaid(purse: Purse, call: Call) -> Dance[Reply]:
    """Send the request without a payment; what is safe to repeat is repeated.

    Raises:
        RailUnavailable: the seller does not answer; nothing was paid.
    """
    delay = DELAY_S_FIRST
    while True:
        reply = yield from send(call.request(None, purse.clock()))
        if isinstance(reply, Reply):
            if reply.status not in {429, 503} or not _may_wait(purse, call, reply):
                return reply
            yield Pause(max(wait_in(reply) or 0.0, delay))
            delay = min(delay * 2, DELAY_S_MAX)
            continue
        may_repeat = call.method in {"GET", "HEAD"} or not reply.is_sent
        if not may_repeat or purse.clock() + delay * 1000 > call.deadline_ms:
            raise RailUnavailable(
                f"{call.place.origin} does not answer ({reply.reason}); nothing was paid",
                hint="check the address, and that the seller runs",
            )
        yield Pause(delay)
        delay = min(delay * 2, DELAY_S_MAX)


def pay(purse: Purse, call: Call) -> Dance[Answer]:
    """Make a call and pay for it if the seller asks.

    Raises:
        BudgetExceeded: it does not fit the owner's limits or the caller's `price_max`.
        OutcomeUnknown: the seller went silent after the tick was sent.
        AisaError: the class that the seller's or the node's refusal names.
    """
    if purse.fault is not None:
        raise purse.fault
    route = find_route(purse, call)
    if route is None:
        reply = yield from ask_unpaid(purse, call)
        if reply.status != 402:
            return answer_of(call, reply)
        try:
            route = yield from meet(purse, call, reply)
        except AisaError as error:
            if not may_pay_otherwise(error):
                raise
            return (yield from pay_by_transfer(purse, call, reply, error))
    tries = 0
    while True:
        seller, price = route.seller, route.price
        if _is_too_dear(call, seller, price):
            refuse_price(seller, price)
        ticket = take_at_hand(purse, call, seller, price)
        if ticket is None:
            ticket = yield from take(purse, call, seller, price)
        till = seller.till
        if till is not None and till.is_lease_due():
            till.is_leasing = True
            yield Aside(lease_ahead(purse, seller, till, price))
        ticket.tries = tries
        done = yield from play(purse, call, ticket)
        if isinstance(done, Answer):
            return done
        route, tries = done, ticket.tries + 1


def find_route(purse: Purse, call: Call) -> Route | None:
    """Return what the call is known to cost; a guess only where it would not be refused."""
    place = call.place
    route = purse.route(call.method, place.origin, place.path)
    if route is not None and route.is_guess and _is_too_dear(call, route.seller, route.price):
        return None
    return route


def _is_too_dear(call: Call, seller: Seller, price: int) -> bool:
    limit = seller.limits.per_call
    if limit is not None and price > limit:
        return True
    maximum = call.price_max
    return maximum is not None and (maximum.currency != seller.currency or price > maximum.units)


def refuse_price(seller: Seller, price: int) -> NoReturn:
    """Raise which limit a price is above: the budget per call, or else `price_max`."""
    check_call(price, seller.limits)
    raise BudgetExceeded(
        f"the call costs {Amount(price, seller.currency)}, above price_max",
        hint="raise price_max for this call",
        limit="price_max",
        amount_units=price,
    )


def take(purse: Purse, call: Call, seller: Seller, price: int) -> Dance[Ticket]:
    """Take a tick for the call, after leasing or opening what is missing for it."""
    while True:
        till = seller.till
        if till is None or not till.is_usable(purse.clock() // 1000):
            yield from ready_till(purse, seller, price)
        else:
            try:
                yield from lease(purse, seller, till, price)
            except ChannelUnknown:
                yield from drop_till(purse, seller, till)
        ticket = take_at_hand(purse, call, seller, price)
        if ticket is not None:
            return ticket


def take_at_hand(purse: Purse, call: Call, seller: Seller, price: int) -> Ticket | None:
    """Take a tick for the call from this process's lane; None if something is missing first."""
    till = seller.till
    if till is None or not till.is_usable(purse.clock() // 1000):
        return None
    meter = till.meter
    seq = meter.take(price)
    if not seq:
        return None
    tick = Tick(till.channel, meter.lane, seq, price).seal(till.keys.tick, call.digest)
    ticket = Ticket(
        till.channel,
        till.terms.payee,
        seller.currency,
        till.session_hash,
        till.keys,
        meter.lane,
        seq,
        price,
        tick,
        till,
        meter,
    )
    if meter.shown < meter.leased:
        voucher = meter.voucher_due()
        if voucher:
            ticket.voucher, ticket.covers = voucher, meter.leased
    return ticket


def play(purse: Purse, call: Call, ticket: Ticket) -> Dance[Answer | Route]:
    """Send a tick until it is decided: the answer, or the route to try again by with another tick.

    Raises:
        AisaError: the refusal cannot be helped, or was not after six tries.
    """
    if call.call_id:
        yield from write_down(purse, call, ticket)
    while True:
        reply = yield from send_ticket(purse, call, ticket)
        answer = judge(purse, call, ticket, reply)
        if len(purse.receipts) >= RECEIPTS_MAX:
            yield Aside(keep_receipts_aside(purse))
        if answer is not None:
            return answer
        error = error_in(reply)
        if (yield from await_turn(purse, call, ticket, reply, error)):
            continue
        ticket.tries += 1
        if ticket.tries > TRIES_MAX:
            refuse(purse, call, ticket, error)
        try:
            route = yield from recover(purse, call, ticket, reply, error)
        except BaseException:
            # The seller refused this tick, so it is not charged, whatever went wrong since.
            ticket.give_back(ticket.amount)
            raise
        if route is not None:
            return route


def write_down(purse: Purse, call: Call, ticket: Ticket) -> Dance[None]:
    """Keep a call with an id before it is sent, so that a repeat after a crash is the same tick."""
    row = ticket.row(call, purse.clock())
    try:
        if call.is_known:
            yield from run(lambda: purse.wallet.renew_call(row))
            return
        kept = yield from run(lambda: purse.wallet.begin_call(row))
    except BaseException:
        ticket.give_back(ticket.amount)
        raise
    call.is_known = True
    if kept != row:
        ticket.give_back(ticket.amount)
        raise StateConflict(
            f"another process is making call {call.call_id!r}", hint="repeat it with the same id"
        )


def send_ticket(purse: Purse, call: Call, ticket: Ticket) -> Dance[Reply]:
    """Send the request with its tick; the same tick again while no answer comes.

    A repeated tick is charged once and gets the stored answer, so that repeating is always safe.

    Raises:
        OutcomeUnknown: no answer came in time, and the seller may have the tick.
        RailUnavailable: the seller cannot be reached, and never saw it.
    """
    delay = DELAY_S_FIRST
    while True:
        request = call.request(ticket.headers(), purse.clock())
        faults.hit("agent.send.before")
        try:
            reply = cast("Reply | Lost", (yield request))
        except InvalidRequest:
            ticket.give_back(ticket.amount)
            raise
        except BaseException:
            note_unknown(purse, call, ticket)
            raise
        if type(reply) is Reply:
            faults.hit("agent.send.after")
            ticket.is_sent = True
            return reply
        lost = cast("Lost", reply)
        ticket.is_sent = ticket.is_sent or lost.is_sent
        if purse.clock() + delay * 1000 > call.deadline_ms:
            yield from give_up(purse, call, ticket, lost)
        try:
            yield Pause(delay)
        except BaseException:
            note_unknown(purse, call, ticket)
            raise
        delay = min(delay * 2, DELAY_S_MAX)


def note_unknown(purse: Purse, call: Call, ticket: Ticket) -> None:
    """Remember that the tick may be charged though nobody waits for its answer any more."""
    if not call.call_id:
        purse.unknown.append(ticket.row(call, purse.clock()))
    ticket.is_over = True
    purse.tell(ticket.payment(call, Outcome.UNKNOWN, charged=ticket.amount, now_ms=purse.clock()))


def give_up(purse: Purse, call: Call, ticket: Ticket, lost: Lost) -> Dance[None]:
    """Raise what is true after the last try: unknown, or never sent."""
    origin = call.place.origin
    if not ticket.is_sent:
        ticket.give_back(ticket.amount)
        purse.tell(ticket.payment(call, Outcome.FAILED, charged=0, now_ms=purse.clock()))
        raise RailUnavailable(f"{origin} cannot be reached ({lost.reason}); nothing was paid")
    note_unknown(purse, call, ticket)
    rows, purse.unknown = purse.unknown, []
    if rows:
        yield from run(lambda: purse.wallet.note_unknown(rows))
    raise OutcomeUnknown(
        f"{origin} did not answer in time ({lost.reason}); the call may be charged",
        hint="with a call_id the call can be repeated and is charged once",
        lane=ticket.lane,
        seq=ticket.seq,
        amount_units=ticket.amount,
    )


def judge(purse: Purse, call: Call, ticket: Ticket, reply: Reply) -> Answer | None:
    """Return the answer if the reply decides the payment, None if it is to be tried again.

    Raises:
        RedirectRefused: a redirect is not followed with a payment.
        AnswerGone: the call was charged before, and its answer is not kept.
        AnswerTooLarge: the answer was not read; its facts say what became of the payment.
        OutcomeUnknown: a gateway lost the seller, and the call has an id to repeat it by.
    """
    status, now_ms = reply.status, purse.clock()
    header = reply.headers.get(RECEIPT)
    if header is not None:
        payment = _book(purse, call, ticket, reply, header, now_ms)
    elif status == 402 or (status in {429, 503} and _may_wait(purse, call, reply)):
        return None
    elif status == 409 and isinstance(error := error_in(reply), AnswerGone):
        ticket.settle(ticket.amount)
        purse.tell(
            ticket.payment(
                call,
                Outcome.SETTLED,
                charged=ticket.amount,
                now_ms=now_ms,
                problem=AnswerGone.slug,
            )
        )
        raise error
    elif status < 300:
        ticket.give_back(ticket.amount)
        purse.learn_free(call.method, call.place.origin, call.place.path)
        return answer_of(call, reply)
    elif status in _GATEWAY:
        note_unknown(purse, call, ticket)
        if call.call_id:
            raise OutcomeUnknown(
                f"{call.place.origin} is behind a gateway that answered {status}; the call may be"
                " charged",
                hint="repeat it with the same call_id: it is charged once",
            )
        payment = ticket.payment(call, Outcome.UNKNOWN, charged=ticket.amount, now_ms=now_ms)
    else:
        ticket.give_back(ticket.amount)
        payment = ticket.payment(call, Outcome.FAILED, charged=0, now_ms=now_ms)
        purse.tell(payment)
    if 300 <= status < 400 and status != 304:
        raise RedirectRefused(
            f"{call.place.url} answered {status}; a payment is not carried on",
            hint="call the new address itself, if you trust it",
        )
    return answer_of(call, reply, payment)


def _book(
    purse: Purse, call: Call, ticket: Ticket, reply: Reply, header: str, now_ms: int
) -> Payment:
    try:
        receipt = check_receipt(ticket, call, reply, header, now_ms)
    except ReceiptInvalid as error:
        # Something was charged, and nothing proves how much: the whole amount stays sent.
        note = ticket.row(call, now_ms)
        if not call.call_id:
            purse.unknown.append(note)
        ticket.settle(ticket.amount)
        payment = ticket.payment(
            call,
            Outcome.UNKNOWN,
            charged=ticket.amount,
            now_ms=now_ms,
            problem=AnswerTooLarge.slug if reply.is_cut else error.slug,
        )
    else:
        charged = receipt.leaf.units
        purse.receipts.append(receipt)
        ticket.settle(charged)
        payment = ticket.payment(call, Outcome.SETTLED, charged=charged, now_ms=now_ms)
    purse.tell(payment)
    return payment


def refuse(purse: Purse, call: Call, ticket: Ticket, error: AisaError) -> NoReturn:
    """Raise a refusal that cannot be helped; the call was not charged."""
    ticket.give_back(ticket.amount)
    purse.tell(
        ticket.payment(call, Outcome.FAILED, charged=0, now_ms=purse.clock(), problem=error.slug)
    )
    raise error


def recover(
    purse: Purse, call: Call, ticket: Ticket, reply: Reply, error: AisaError
) -> Dance[Route | None]:
    """Do what a refusal asks for: None to send the same tick again, a route for another tick.

    Raises:
        AisaError: nothing helps.
    """
    place, till = call.place, ticket.till
    route = purse.routes.get((call.method, place.origin, place.path))
    route = route or purse.route(call.method, place.origin, place.path)
    if isinstance(error, (VoucherRequired, VoucherRefused)):
        yield from _show_more(purse, call, ticket, error)
        return None
    if till is None or route is None:
        refuse(purse, call, ticket, error)
    seller = route.seller
    if isinstance(error, PriceAboveTick):
        route = yield from meet(purse, call, reply)
        if route.price <= ticket.amount:
            refuse(purse, call, ticket, error)
        ticket.give_back(ticket.amount)
        return route
    if isinstance(error, LaneClosed):
        ticket.give_back(ticket.amount)
        yield from next_lane(purse, seller, till, ticket.lane)
        return route
    if isinstance(error, (SessionExpired, ChannelUnknown)) or type(error) is PaymentRequired:
        return (yield from _reopen(purse, call, ticket, reply, error))
    refuse(purse, call, ticket, error)


def _may_wait(purse: Purse, call: Call, reply: Reply) -> bool:
    """Whether a busy seller says for how long, and the caller has that much time."""
    wait = wait_in(reply)
    return wait is not None and purse.clock() + wait * 1000 < call.deadline_ms


def await_turn(
    purse: Purse, call: Call, ticket: Ticket, reply: Reply, error: AisaError
) -> Dance[bool]:
    """Wait where the seller asks for time, and say whether it did.

    Raises:
        AisaError: the seller's refusal, when the caller has no more time.
    """
    if reply.status == 402 and not isinstance(error, CapExceeded):
        return False
    ticket.waits += 1
    wait = max(wait_in(reply) or 0.0, min(DELAY_S_FIRST * 2**ticket.waits, DELAY_S_MAX))
    if purse.clock() + wait * 1000 > call.deadline_ms:
        refuse(purse, call, ticket, error)
    try:
        yield Pause(wait)
    except BaseException:
        ticket.give_back(ticket.amount)
        raise
    return True


def _show_more(purse: Purse, call: Call, ticket: Ticket, error: AisaError) -> Dance[None]:
    """Show the newest voucher, then the newest deposit; more than that is not signed for anyone."""
    if ticket.show_voucher():
        return
    till = ticket.till
    route = purse.route(call.method, call.place.origin, call.place.path)
    # A lease beside the call may bring one voucher more to show first.
    if till is None or route is None or ticket.tries > 3:
        refuse(purse, call, ticket, error)
    channel = yield from fresh_statement(purse, route.seller, till.channel)
    work = show_statement(purse, route.seller, till, channel.statement)
    yield from exclusively(("deposit", till.channel), work)


def _reopen(
    purse: Purse, call: Call, ticket: Ticket, reply: Reply, error: AisaError
) -> Dance[Route]:
    """Leave a session that the seller does not honour, and learn the offer anew."""
    till = ticket.till
    if ticket.tries > 3 or till is None:
        refuse(purse, call, ticket, error)
    ticket.give_back(ticket.amount)
    offer_in(reply)
    route = yield from meet(purse, call, reply)
    if isinstance(error, ChannelUnknown):
        # Raises if the node says that it is closing, and then the wallet knows it too.
        with suppress(ChannelUnknown):
            yield from fresh_statement(purse, route.seller, till.channel)
    yield from drop_till(purse, route.seller, till)
    return route
