"""Accept-Payment: which methods and intents a client can pay, and which it likes better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from aisa.errors import MalformedMessage
from aisa.protocol.strictjson import malformed

ACCEPT_PAYMENT: Final = "Accept-Payment"
VALUE_CHARS_MAX: Final = 4096
RANGES_MAX: Final = 64
OFFERS_MAX: Final = 6
"""A 402 lists at most this many offers, so that its headers stay under 8 KB."""

_RANGE: Final = re.compile(
    r"(\*|[a-z][a-z0-9:_-]{0,63})/(\*|[A-Za-z0-9-]{1,64})"
    r"(?:[ \t]*;[ \t]*[qQ][ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII,
)


class Offer(Protocol):
    """Anything with a method and an intent, such as a Challenge."""

    @property
    def method(self) -> str:
        """The method's name."""
        ...

    @property
    def intent(self) -> str:
        """The intent's name."""
        ...


OfferT = TypeVar("OfferT", bound=Offer)


@dataclass(frozen=True, slots=True)
class PaymentRange:
    """A method and an intent, either of which may be `*`, and their weight from 0 to 1,000."""

    method: str
    intent: str
    weight: int = 1000

    def matches(self, offer: Offer) -> bool:
        """Whether the offer lies in this range."""
        return self.method in ("*", offer.method) and self.intent in ("*", offer.intent)

    @property
    def specificity(self) -> int:
        """How many of the two names are given."""
        return (self.method != "*") + (self.intent != "*")


def parse_accept(value: str) -> tuple[PaymentRange, ...]:
    """Read an `Accept-Payment` value.

    Raises:
        MalformedMessage: it does not follow the grammar, or names nothing.
    """
    if len(value) > VALUE_CHARS_MAX:
        raise malformed(ACCEPT_PAYMENT, f"is longer than {VALUE_CHARS_MAX} characters")
    texts = [text for text in (part.strip(" \t") for part in value.split(",")) if text]
    if not 0 < len(texts) <= RANGES_MAX:
        raise malformed(ACCEPT_PAYMENT, f"does not name 1 to {RANGES_MAX} ranges")
    return tuple(_range(text) for text in texts)


def format_accept(ranges: Sequence[PaymentRange]) -> str:
    """Return the `Accept-Payment` value."""
    return ", ".join(
        f"{one.method}/{one.intent}{'' if one.weight == 1000 else f';q={_weight(one.weight)}'}"
        for one in ranges
    )


def rank(offers: Sequence[OfferT], ranges: Sequence[PaymentRange]) -> tuple[OfferT, ...]:
    """Return the offers that some range admits, the client's favourites first, else in our order."""
    weighed = [(_weight_of(offer, ranges), offer) for offer in offers]
    liked = [pair for pair in weighed if pair[0] > 0]
    return tuple(offer for _, offer in sorted(liked, key=lambda pair: -pair[0]))


def narrow(
    offers: Sequence[OfferT], value: str | None, *, offers_max: int = OFFERS_MAX
) -> tuple[OfferT, ...]:
    """Return the offers to show to a client that sent this `Accept-Payment` value, or none.

    A header that is absent, malformed, or that nothing matches is ignored, as MPP allows: the
    client then sees what there is.
    """
    ranked: tuple[OfferT, ...] = ()
    if value is not None:
        try:
            ranked = rank(offers, parse_accept(value))
        except MalformedMessage:
            ranked = ()
    return (ranked or tuple(offers))[:offers_max]


def _range(text: str) -> PaymentRange:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise malformed(ACCEPT_PAYMENT, "has a range that is not method/intent;q=0.5")
    whole, _, decimals = (match[3] or "1").partition(".")
    return PaymentRange(match[1], match[2], int(whole) * 1000 + int(decimals.ljust(3, "0")))


def _weight(weight: int) -> str:
    return f"0.{weight:03}".rstrip("0").rstrip(".")


def _weight_of(offer: Offer, ranges: Sequence[PaymentRange]) -> int:
    admitting = [(one.specificity, one.weight) for one in ranges if one.matches(offer)]
    return max(admitting)[1] if admitting else 0
