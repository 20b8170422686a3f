"""Reading what sellers answer: problems, offers, waits; and sending actions to a session URL."""

from __future__ import annotations

import dataclasses
from typing import Final

from aisa import faults
from aisa.channel.payer import PayerChannel
from aisa.errors import (
    AisaError,
    AnswerTooLarge,
    MalformedMessage,
    PaymentRequired,
    RailUnavailable,
    RedirectRefused,
)
from aisa.identity import Signer
from aisa.protocol.aip import (
    Action,
    OpenAction,
    Session,
    SessionRequest,
    Voucher,
    format_action,
)
from aisa.protocol.aip.challenge import INTENT, METHOD
from aisa.protocol.mpp import parse_challenges
from aisa.protocol.problem import error_of, parse_problem
from aisa.sdk.answer import Answer, Payment
from aisa.sdk.call import Call
from aisa.sdk.purse import Clock
from aisa.sdk.step import Dance, Lost, Pause, Reply, Send, send

WAIT_S_MAX: Final = 5.0
DELAY_S_FIRST: Final = 0.05
DELAY_S_MAX: Final = 2.0
_ACTION_TIMEOUT_S: Final = 10.0
_ACTION_DEADLINE_MS: Final = 20_000


def error_in(reply: Reply) -> AisaError:
    """Return the error that an answer's problem names; a 402 without one asks for payment."""
    try:
        return error_of(parse_problem(reply.content, status=reply.status))
    except MalformedMessage:
        if reply.status == 402:
            return PaymentRequired()
        return AisaError(f"the seller answered {reply.status} without a problem")


def offer_in(reply: Reply) -> SessionRequest:
    """Return the first offer of our method that a 402 makes.

    Raises:
        PaymentRequired: it makes none.
        MalformedMessage: its challenges are malformed.
    """
    for challenge in parse_challenges(reply.challenges):
        if (challenge.method, challenge.intent) == (METHOD, INTENT):
            return SessionRequest.parse(challenge.request)
    raise PaymentRequired(
        "the seller asks for payment in a way that this agent does not know",
        hint="it makes no offer of the method aisa",
    )


def answer_of(call: Call, reply: Reply, payment: Payment | None = None) -> Answer:
    """Return the answer that the caller gets.

    Raises:
        AnswerTooLarge: it was not read; the facts say what became of the payment.
    """
    if not reply.is_cut:
        return Answer(reply.status, reply.headers, reply.content, payment)
    outcome, charged = (payment.outcome.value, payment.charged) if payment else ("unpaid", None)
    raise AnswerTooLarge(
        f"the answer of {call.place.origin} is longer than answer_bytes_max; it was not read",
        hint="ask for less, or give the agent a higher answer_bytes_max",
        outcome=outcome,
        charged_units=charged.units if charged else 0,
    )


def wait_in(reply: Reply) -> float | None:
    """Return the seconds of `Retry-After`, bounded; None if there is none that we read."""
    text = reply.headers.get("retry-after", "")
    if not text.isdecimal() or len(text) > 9:
        return None
    return min(float(text), WAIT_S_MAX)


def open_action(
    channel: PayerChannel, session: Session, payer: Signer, voucher: Voucher
) -> OpenAction:
    """Return the action that shows a channel's deposit and one session of it to the seller."""
    signature = payer.sign(session.signing_bytes())
    signed = dataclasses.replace(session, signature=signature)
    return OpenAction(channel.terms, channel.statement, signed, voucher)


def post_action(clock: Clock, url: str, action: Action) -> Dance[bytes]:
    """Send an action to a session URL until it is answered; actions may be repeated.

    Raises:
        RailUnavailable: the seller does not answer.
        RedirectRefused: it answers with a redirect.
        AisaError: the class that its problem names.
    """
    deadline_ms = clock() + _ACTION_DEADLINE_MS
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    body = format_action(action)
    delay = DELAY_S_FIRST
    while True:
        faults.hit("agent.action.before")
        reply = yield from send(Send("POST", url, headers, body, _ACTION_TIMEOUT_S))
        if isinstance(reply, Reply):
            faults.hit("agent.action.after")
            if reply.status < 300:
                return reply.content
            if reply.status < 400:
                raise RedirectRefused(f"{url} answered {reply.status}")
            wait = wait_in(reply)
            if wait is None or reply.status not in {429, 503}:
                raise error_in(reply)
            delay = max(delay, wait)
        if clock() + delay * 1000 > deadline_ms:
            reason = reply.reason if isinstance(reply, Lost) else f"status {reply.status}"
            raise RailUnavailable(f"the seller at {url} does not answer ({reason})")
        yield Pause(delay)
        delay = min(delay * 2, DELAY_S_MAX)
