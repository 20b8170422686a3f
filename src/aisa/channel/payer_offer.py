"""What a payer checks before it trusts a challenge or a deposit statement."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from aisa.errors import (
    ChallengeInvalid,
    InvalidRequest,
    NoCommonNode,
    OriginRefused,
    SignatureInvalid,
    StatementRefused,
)
from aisa.identity import verify_signature
from aisa.money import currency_by_code
from aisa.protocol.aip import (
    DepositStatement,
    Hub,
    SessionRequest,
    key_of_hub_network,
    payee_exchange_bytes,
)

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def origin_of(url: str) -> str:
    """Return `scheme://host[:port]` in lower case, without the scheme's default port.

    Raises:
        InvalidRequest: the URL is not absolute http or https, or carries a user name.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.netloc.lower()
    if scheme not in _DEFAULT_PORTS or not host or "@" in host:
        raise InvalidRequest(
            f"{url[:80]!r} is not an absolute http or https URL",
            hint="write it whole, such as https://api.example/rates",
        )
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"


def check_offer(offer: SessionRequest, *, origin: str, now_s: int) -> None:
    """Check who makes the offer and where it would send this payer.

    Raises:
        OriginRefused: the session URL is not on the resource's own origin.
        ChallengeInvalid: the payee's session key has expired or is not signed by the payee.
        UnknownCurrency: the currency is not one of ours.
        InvalidRequest: the currency's scale differs from our own table.
    """
    try:
        session_origin = origin_of(offer.session_url)
    except InvalidRequest:
        session_origin = ""
    if session_origin != origin:
        raise OriginRefused(
            f"the challenge of {origin} points to {offer.session_url[:80]!r}",
            hint="call the seller by the origin that it is configured with",
        )
    if offer.x_expiry <= now_s:
        raise ChallengeInvalid("the payee's session key has expired")
    message = payee_exchange_bytes(offer.payee_x25519, offer.x_expiry)
    if not verify_signature(offer.payee, message, offer.x_signature):
        raise ChallengeInvalid("the payee did not sign its session key")
    currency = currency_by_code(offer.currency)
    if currency.scale != offer.scale:
        raise InvalidRequest(
            f"the seller writes {offer.currency} with {offer.scale} digits, not {currency.scale}"
        )


def common_hub(hubs: Iterable[Hub], networks: Iterable[str]) -> Hub:
    """Return the first of the payer's own networks that the seller lists too.

    Raises:
        NoCommonNode: there is none; a node is never taken from a challenge.
    """
    listed = {hub.network: hub for hub in hubs}
    own = list(networks)
    for network in own:
        if network in listed:
            return listed[network]
    raise NoCommonNode(
        "the seller accepts none of this agent's nodes",
        hint="open an account at a node that the seller lists, and add it to the agent's nodes",
        accepted=", ".join(listed)[:400],
        own=", ".join(own)[:400],
    )


def check_statement(
    statement: DepositStatement, *, network: str, channel: bytes, deposit: int, fee_ppm_max: int
) -> None:
    """Check a node's word on a deposit before anything is signed against it.

    Raises:
        StatementRefused: another channel, less than was paid in, or a fee above the seller's limit.
        SignatureInvalid: the node's key did not sign it.
    """
    if statement.channel != channel:
        raise StatementRefused("the node's statement is about another channel")
    if statement.deposit < deposit:
        raise StatementRefused(
            f"the node's statement says {statement.deposit} units where {deposit} were paid in"
        )
    if statement.fee_ppm > fee_ppm_max:
        raise StatementRefused(
            f"the node takes {statement.fee_ppm} ppm, more than the seller's limit of {fee_ppm_max}"
        )
    key = key_of_hub_network(network)
    if not verify_signature(key, statement.signing_bytes(), statement.signature):
        raise SignatureInvalid("the node did not sign its deposit statement")
