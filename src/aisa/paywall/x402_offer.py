"""What a seller takes by x402 `exact`: one transfer of a token on an EVM network for one call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from aisa.client.facilitator_client import TrustedFacilitator
from aisa.errors import ConfigInvalid, MalformedMessage
from aisa.money import Amount, Currency
from aisa.paywall.price import Price
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    PaymentIdentifier,
    PaymentRequired,
    PaymentRequirements,
    ResourceInfo,
    TokenExtra,
    format_required,
)
from aisa.protocol.x402.exact import EXACT
from aisa.protocol.x402.requirements import AMOUNT_MAX
from aisa.protocol.x402.token import AUTHORIZATION, EIP3009, PERMIT2_METHOD, UPFRONT

OFFERS_MAX: Final = 4
TIMEOUT_S: Final = 60
TIMEOUT_S_MAX: Final = 3600
_DECIMALS_MAX: Final = 36
_NETWORK: Final = re.compile(r"eip155:[1-9][0-9]{0,18}", re.ASCII)
# The whole of an answer's headers stays under 8 KiB, and the other offers are in it too.
_HEADER_CHARS_MAX: Final = 5 * 1024
_URL_CHARS_MAX: Final = 1024
_DESCRIPTION_CHARS_MAX: Final = 256
_MIME_CHARS_MAX: Final = 128
# What a URL may hold as it is; the path was escaped by whoever sent it.
_SAFE_IN_URL: Final = "/?#[]@!$&'()*+,;=%:~"


@dataclass(frozen=True, slots=True)
class X402Offer:
    """A token that the seller takes one for one for its currency, and who settles it.

    `network` is `eip155:` and the chain's id, `asset` the token's address, `decimals` its scale;
    `domain_name` and `domain_version` are those of the token's EIP-712 domain. `pay_to` receives
    the money. `method` is how the payer signs: `eip3009`, or `permit2` for tokens without it.
    `flow` is the order of work: `authorization` serves and then settles, `upfront` the reverse.
    """

    network: str
    asset: str
    decimals: int
    domain_name: str
    domain_version: str
    pay_to: str
    facilitators: Sequence[str | TrustedFacilitator]
    method: Literal["eip3009", "permit2"] = "eip3009"
    flow: Literal["authorization", "upfront"] = "authorization"
    max_timeout_s: int = TIMEOUT_S

    def trusted(self) -> tuple[TrustedFacilitator, ...]:
        """The facilitators; of one that is given by its URL alone nothing more is believed."""
        return tuple(
            TrustedFacilitator(one) if isinstance(one, str) else one for one in self.facilitators
        )


class OfferedToken:
    """An offer that was checked, for prices in one currency.

    Raises:
        ConfigInvalid: a field of the offer cannot work.
        ExtraMissing: the packages for EVM networks are not installed.
    """

    def __init__(self, offer: X402Offer, currency: Currency) -> None:
        if _NETWORK.fullmatch(offer.network) is None:
            raise ConfigInvalid(f"{offer.network[:80]!r} is not an EVM network such as eip155:8453")
        if offer.method not in (EIP3009, PERMIT2_METHOD):
            raise ConfigInvalid(f"{offer.method[:80]!r} is neither eip3009 nor permit2")
        if offer.flow not in (AUTHORIZATION, UPFRONT):
            raise ConfigInvalid(f"{offer.flow[:80]!r} is neither authorization nor upfront")
        if not 0 <= offer.decimals <= _DECIMALS_MAX:
            raise ConfigInvalid(f"a token has 0 to {_DECIMALS_MAX} decimals")
        if not 0 < offer.max_timeout_s <= TIMEOUT_S_MAX:
            raise ConfigInvalid(f"max_timeout_s is 1 to {TIMEOUT_S_MAX}")
        if not 0 < len(offer.domain_name) <= 128 or not 0 < len(offer.domain_version) <= 32:
            raise ConfigInvalid("a token's domain has a name and a version")
        try:
            self.asset = parse_address(offer.asset, "asset")
            self.pay_to = parse_address(offer.pay_to, "pay_to")
            self._asset = format_address(self.asset)
            self._pay_to = format_address(self.pay_to)
        except MalformedMessage as error:
            raise ConfigInvalid(error.detail) from error
        self.offer = offer
        self._shift = offer.decimals - currency.scale
        extra = TokenExtra(offer.domain_name, offer.domain_version, offer.method, offer.flow)
        self._extra = extra.to_json()

    def amount_of(self, units: int) -> int | None:
        """The price in the token's units; None if it is zero or does not come out exactly."""
        if self._shift >= 0:
            amount, rest = units * 10**self._shift, 0
        else:
            amount, rest = divmod(units, 10**-self._shift)
        return amount if not rest and 0 < amount <= AMOUNT_MAX else None

    def is_of(self, wanted: PaymentRequirements) -> bool:
        """Whether a payment that was asked for once was in this token, signed this way."""
        method = (wanted.extra or {}).get("assetTransferMethod", EIP3009)
        return (wanted.network, wanted.asset, method) == (
            self.offer.network,
            self._asset,
            self.offer.method,
        )

    def requirements(self, units: int) -> PaymentRequirements | None:
        """What is asked for a call; None if the price cannot be paid in this token."""
        amount = self.amount_of(units)
        if amount is None:
            return None
        return PaymentRequirements(
            scheme=EXACT,
            network=self.offer.network,
            asset=self._asset,
            amount=amount,
            pay_to=self._pay_to,
            max_timeout_s=self.offer.max_timeout_s,
            extra=self._extra,
        )


class X402Terms:
    """All x402 offers of a seller.

    Raises:
        ConfigInvalid: an offer cannot work, there are more than four, or two look alike.
    """

    def __init__(
        self, offers: Sequence[X402Offer], currency: Currency, *, identifier: bool
    ) -> None:
        if len(offers) > OFFERS_MAX:
            raise ConfigInvalid(f"a seller has at most {OFFERS_MAX} x402 offers")
        self.tokens = tuple(OfferedToken(offer, currency) for offer in offers)
        kinds = {(one.offer.network, one.asset, one.offer.method) for one in self.tokens}
        if len(kinds) < len(self.tokens):
            raise ConfigInvalid("two x402 offers name the same network, asset and method")
        self._extensions = (
            {PAYMENT_IDENTIFIER: PaymentIdentifier(required=False).to_json()}
            if identifier
            else None
        )

    def check(self, price: Price) -> None:
        """Check that a price can be paid in every token.

        Raises:
            ConfigInvalid: it does not come out exactly in one of them.
        """
        if price.is_stated_later or not price.units_max:
            return
        for token in self.tokens:
            if token.amount_of(price.units_max) is None:
                decimals = token.offer.decimals
                raise ConfigInvalid(
                    f"{Amount(price.units_max, price.currency)} is not a whole number of units of"
                    f" {token.offer.asset}, which has {decimals} decimals",
                    hint="round the price of the route, or offer a token with more decimals",
                )

    def find(self, price: Price, units: int, accepted: PaymentRequirements) -> OfferedToken | None:
        """The token that a payer chose, if what it echoes is what is asked for now."""
        if price.is_stated_later:
            return None
        return next((one for one in self.tokens if one.requirements(units) == accepted), None)

    def header(self, price: Price, units: int, url: str, error: str) -> bytes | None:
        """The value of `PAYMENT-REQUIRED`; None where the price is known only afterwards."""
        if price.is_stated_later:
            return None
        accepts = tuple(one for token in self.tokens if (one := token.requirements(units)))
        if not accepts:
            return None
        for shorter in (url, url.partition("?")[0], ""):
            if len(shorter) > _URL_CHARS_MAX:
                continue
            resource = ResourceInfo(
                shorter,
                price.description[:_DESCRIPTION_CHARS_MAX] or None,
                price.mime_type[:_MIME_CHARS_MAX] or None,
            )
            required = PaymentRequired(
                accepts, resource if shorter else None, error or None, self._extensions
            )
            header = format_required(required)
            if len(header) <= _HEADER_CHARS_MAX or not shorter:
                return header.encode("ascii")
        return None


def url_of(origin: str, target: bytes) -> str:
    """The URL of a request as its payer wrote it, whatever bytes came."""
    return origin + quote(target, safe=_SAFE_IN_URL)
