"""The challenge of a 402: what a call costs, and where a channel to this seller may stand.

Its id is an HMAC over its own terms, so nothing is kept for it; one challenge serves every caller
of a route until it is half a minute old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aisa.channel.payee_session import PayeeExchange
from aisa.errors import ChallengeInvalid, MalformedMessage
from aisa.money import Currency
from aisa.protocol.aip import Hub, OpenAction, SessionRequest, parse_action
from aisa.protocol.mpp import (
    PAYMENT_AUTHORIZATION,
    Challenge,
    issue_challenge,
    narrow,
    parse_credential,
)
from aisa.protocol.timestamp import format_timestamp

METHOD: Final = "aisa"
INTENT: Final = "session"
CHALLENGE_S: Final = 600
_REISSUE_S: Final = 30
_ISSUED_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What all offers of a seller have in common; amounts in units of the currency."""

    realm: str
    session_url: str
    currency: Currency
    payee: bytes
    hubs: tuple[Hub, ...]
    deposit_min: int
    ceiling_step_max: int


class OfferDesk:
    """Issues challenges, and reads the credentials that answer them."""

    def __init__(self, terms: OfferTerms, secret: bytes, exchange: PayeeExchange) -> None:
        self._terms = terms
        self._secret = secret
        self._exchange = exchange
        self._issued: dict[tuple[int, str], tuple[int, Challenge, bytes]] = {}

    def headers(
        self, units: int, description: str, accept: str | None, now_s: int
    ) -> list[tuple[bytes, bytes]]:
        """The headers that offer a call at this price, narrowed to what the client accepts."""
        issued = self._issued.get((units, description))
        if issued is None or now_s - issued[0] >= _REISSUE_S:
            challenge = self._issue(units, description, now_s)
            issued = (now_s, challenge, challenge.format().encode("ascii"))
            if len(self._issued) >= _ISSUED_MAX:
                self._issued.clear()
            self._issued[units, description] = issued
        offers: Sequence[Challenge] = (issued[1],)
        if accept is not None:
            offers = narrow(offers, accept)
        return [(b"www-authenticate", issued[2]) for _ in offers]

    def read_open(self, value: str, now_s: int) -> OpenAction:
        """Return what a credential opens.

        Raises:
            ChallengeInvalid: it does not answer a living challenge of ours, or opens nothing.
        """
        try:
            credential = parse_credential(value)
        except MalformedMessage as error:
            raise ChallengeInvalid(f"the credential cannot be read: {error.detail}") from error
        challenge = credential.challenge
        if not challenge.is_issued_by(self._secret):
            raise ChallengeInvalid("the challenge is not one of ours")
        if (challenge.realm, challenge.method, challenge.intent) != (
            self._terms.realm,
            METHOD,
            INTENT,
        ):
            raise ChallengeInvalid("the challenge is for another realm, method or intent")
        if challenge.expires_at_s is None or challenge.expires_at_s <= now_s:
            raise ChallengeInvalid("the challenge has expired; this answer has a fresh one")
        try:
            action = parse_action(credential.payload)
        except MalformedMessage as error:
            raise ChallengeInvalid(f"the credential cannot be read: {error.detail}") from error
        if not isinstance(action, OpenAction):
            raise ChallengeInvalid("only an open rides on a call; post the rest to the session URL")
        return action

    def _issue(self, units: int, description: str, now_s: int) -> Challenge:
        terms = self._terms
        key = self._exchange.offered(now_s)
        request = SessionRequest(
            amount=units,
            currency=terms.currency.code,
            scale=terms.currency.scale,
            payee=terms.payee,
            hubs=terms.hubs,
            payee_x25519=key.x25519,
            x_expiry=key.expiry,
            x_signature=key.signature,
            session_url=terms.session_url,
            deposit_min=terms.deposit_min,
            ceiling_step_max=terms.ceiling_step_max,
        )
        return issue_challenge(
            self._secret,
            realm=terms.realm,
            method=METHOD,
            intent=INTENT,
            request=request.format(),
            expires=format_timestamp(now_s + CHALLENGE_S),
            description=description or None,
            header=PAYMENT_AUTHORIZATION,
        )
