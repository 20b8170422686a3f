"""What an x402 seller asks for, and whether this agent's owner lets it be paid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from aisa.channel.payer import check_call
from aisa.errors import (
    AisaError,
    BudgetExceeded,
    InvalidRequest,
    MalformedMessage,
    OriginRefused,
    PaymentRequired,
)
from aisa.money import Amount
from aisa.protocol.evm_address import parse_address
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    PAYMENT_REQUIRED,
    PaymentIdentifier,
    PaymentPayload,
    PaymentRequirements,
    TokenExtra,
    parse_required,
)
from aisa.protocol.x402 import PaymentRequired as Asked
from aisa.protocol.x402.exact import EXACT
from aisa.protocol.x402.token import EIP3009
from aisa.sdk.call import Call
from aisa.sdk.purse import Purse
from aisa.sdk.step import Reply
from aisa.sdk.x402_asset import PayableAsset
from aisa.sdk.x402_signing import make_transfer

VALID_S_MAX: Final = 600
"""No signed transfer stays usable for longer, whatever a seller asks for."""


@dataclass(frozen=True, slots=True)
class TransferOffer:
    """A transfer that a seller asks for; `units` are what it takes of the budget."""

    asset: PayableAsset
    terms: PaymentRequirements
    pay_to: bytes
    units: int
    asked: Asked

    @property
    def amount(self) -> Amount:
        """The price."""
        return Amount(self.units, self.asset.currency)

    def payment(self, payer: bytes, nonce: bytes, expiry: int) -> PaymentPayload:
        """Return the payment, whose transfer is not signed yet."""
        transfer = make_transfer(
            self.asset, payer, self.pay_to, self.terms.amount, nonce=nonce, expiry=expiry
        )
        extensions = self.asked.extensions
        identifier = PaymentIdentifier.read(extensions)
        if extensions is not None and identifier is not None:
            named = replace(identifier, id=f"aisa-{nonce.hex()}").to_json()
            extensions = {**extensions, PAYMENT_IDENTIFIER: named}
        return PaymentPayload(
            self.terms, transfer.to_json(), resource=self.asked.resource, extensions=extensions
        )

    def expiry(self, now_s: int) -> int:
        """Return when the transfer expires, in unix seconds."""
        return now_s + min(self.terms.max_timeout_s, VALID_S_MAX)


def makes_offer(reply: Reply) -> bool:
    """Whether a 402 speaks x402 version 2."""
    return PAYMENT_REQUIRED.lower() in reply.headers


def find_offer(
    purse: Purse, call: Call, reply: Reply, *, within_limits: bool = True
) -> TransferOffer:
    """Return the first transfer that the seller asks for and that may be paid.

    Raises:
        PaymentRequired: nothing that it asks for is allowed by `[agent.x402]`.
        OriginRefused: the offer is for another resource.
        MalformedMessage: the offer cannot be read.
        BudgetExceeded: what is allowed is dearer than the limits per call.
    """
    asked = parse_required(reply.headers[PAYMENT_REQUIRED.lower()])
    if asked.resource is not None and not _is_here(asked.resource.url, call):
        raise OriginRefused(
            f"{call.place.url} asks for a payment of {asked.resource.url[:120]!r}",
            hint="the seller may be passing on somebody else's bill",
        )
    fault: AisaError | None = None
    for terms in asked.accepts:
        asset = _asset_of(purse, terms)
        if asset is None:
            continue
        try:
            offer = _check(asset, terms, asked)
            if within_limits:
                _check_price(call, asset, offer.units)
            return offer
        except AisaError as error:
            fault = fault or error
    if fault is not None:
        raise fault
    ways = ", ".join(f"{one.scheme} of {one.asset} on {one.network}" for one in asked.accepts)
    raise PaymentRequired(
        f"the seller asks for x402 payments that are not allowed here: {ways[:500]}",
        hint="allow a token in [agent.x402] of config.toml",
    )


def _asset_of(purse: Purse, terms: PaymentRequirements) -> PayableAsset | None:
    for asset in purse.x402:
        name = f"{terms.network}/erc20:{terms.asset}"
        if terms.scheme == EXACT and asset.id.lower() == name.lower():
            return asset
    return None


def _check(asset: PayableAsset, terms: PaymentRequirements, asked: Asked) -> TransferOffer:
    method = (terms.extra or {}).get("assetTransferMethod") or EIP3009
    if method != asset.method:
        raise PaymentRequired(
            f"the seller wants {asset.symbol} by {str(method)[:32]!r}, the owner allows"
            f" {asset.method}"
        )
    if method == EIP3009:
        _check_domain(asset, TokenExtra.read(terms.extra))
    pay_to = parse_address(terms.pay_to, "payTo")
    if not any(pay_to) or not terms.amount or terms.max_timeout_s < 1:
        raise MalformedMessage("the offer is to nobody, of nothing or for no time")
    return TransferOffer(asset, terms, pay_to, asset.units(terms.amount), asked)


def _check_domain(asset: PayableAsset, said: TokenExtra) -> None:
    if (said.name, said.version) != (asset.name, asset.version):
        raise PaymentRequired(
            f"the seller names {asset.symbol} {said.name!r} {said.version!r}, and the owner"
            f" {asset.name!r} {asset.version!r}",
            hint="correct name and version in [agent.x402] if the owner is wrong",
        )


def _check_price(call: Call, asset: PayableAsset, units: int) -> None:
    check_call(units, asset.limits)
    price, maximum = Amount(units, asset.currency), call.price_max
    if maximum is not None and (maximum.currency != price.currency or units > maximum.units):
        raise BudgetExceeded(
            f"the call costs {price}, above price_max",
            hint="raise price_max for this call",
            limit="price_max",
            amount_units=units,
        )


def _is_here(url: str, call: Call) -> bool:
    """Whether a resource is the one that is called; behind a proxy a seller may not know of TLS."""
    try:
        said, own = urlsplit(url), urlsplit(call.place.url)
        return (said.hostname, said.port or None, said.path or "/") == (
            own.hostname,
            own.port or None,
            own.path or "/",
        )
    except ValueError as error:
        raise InvalidRequest(f"the offer's resource {url[:120]!r} is not a URL") from error
