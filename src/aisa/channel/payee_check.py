"""What a payee checks of the messages that open, extend and fund a channel.

Every check raises before anything is changed, so a forged message never touches state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aisa.channel.payee_session import PayeeExchange
from aisa.channel.voucher import check_voucher, scheme_of
from aisa.errors import (
    ChannelUnknown,
    HubNotListed,
    SessionExpired,
    SignatureInvalid,
    StatementRefused,
    VoucherRefused,
)
from aisa.identity import verify_signature
from aisa.protocol.aip import ChannelTerms, DepositStatement, OpenAction, Session

STATEMENT_AGE_S_MAX: Final = 600
CLOCK_SKEW_S_MAX: Final = 60
SESSION_S_MAX: Final = 31 * 24 * 3600


class HubExposure:
    """What one hub owes the payee at most: everything charged or reserved and not yet redeemed."""

    __slots__ = ("cap", "fee_ppm_max", "key", "network", "units")

    def __init__(self, network: str, key: bytes, fee_ppm_max: int, cap: int) -> None:
        self.network = network
        self.key = key
        self.fee_ppm_max = fee_ppm_max
        self.cap = cap
        self.units = 0


@dataclass(frozen=True, slots=True)
class PayeeRules:
    """Which channels a payee accepts; `hubs` by network name, deposits in units of `currency`."""

    payee: bytes
    currency: str
    hubs: Mapping[str, HubExposure]
    deposit_min: int = 0


def check_terms(terms: ChannelTerms, rules: PayeeRules) -> HubExposure:
    """Check that a channel is to this payee at a hub that it lists, and return that hub.

    Raises:
        ChannelUnknown: it is another payee's, or in another currency.
        HubNotListed: the payee does not accept the hub.
    """
    if terms.payee != rules.payee:
        raise ChannelUnknown("the channel is to another payee")
    hub = rules.hubs.get(terms.network)
    if hub is None or hub.key != terms.holder:
        raise HubNotListed(f"this seller does not accept {terms.network}")
    if terms.currency != rules.currency:
        raise ChannelUnknown(f"this seller takes {rules.currency}, not {terms.currency}")
    return hub


def check_open(action: OpenAction, hub: HubExposure, rules: PayeeRules, now_s: int) -> None:
    """Check the deposit and the voucher of a channel that is not known yet.

    Raises:
        StatementRefused: the statement is another channel's, forged, stale, too small, or too dear.
        VoucherRefused: the voucher is another channel's, forged, expires, or is above the deposit.
    """
    channel = action.terms.channel_id
    if action.statement.channel != channel:
        raise StatementRefused("the statement is for another channel")
    check_statement(action.statement, hub, now_s)
    if action.statement.deposit < rules.deposit_min:
        raise StatementRefused(
            f"the deposit must be at least {rules.deposit_min} units",
            deposit_min=str(rules.deposit_min),
        )
    if action.voucher.channel != channel:
        raise VoucherRefused("the voucher is for another channel")
    terms = action.terms
    scheme = scheme_of(terms.network, terms.holder, terms.payer, terms.config)
    check_voucher(action.voucher, scheme, action.statement.deposit)


def check_statement(statement: DepositStatement, hub: HubExposure, now_s: int) -> None:
    """Check a hub's word on a deposit.

    Raises:
        StatementRefused: the hub did not sign it, it is stale or from the future, or its fee is
            above the payee's limit.
    """
    if not verify_signature(hub.key, statement.signing_bytes(), statement.signature):
        raise StatementRefused("the deposit statement's signature is not the node's")
    if not now_s - STATEMENT_AGE_S_MAX <= statement.issued <= now_s + CLOCK_SKEW_S_MAX:
        raise StatementRefused(
            "the deposit statement is older than 10 minutes or from the future",
            hint="ask the node for a fresh one",
        )
    if statement.fee_ppm > hub.fee_ppm_max:
        raise StatementRefused(
            f"the node's fee of {statement.fee_ppm} ppm is above the seller's {hub.fee_ppm_max}"
        )


def check_session(
    session: Session,
    channel: bytes,
    payer: bytes,
    exchange: PayeeExchange,
    now_s: int,
) -> int:
    """Check a session, and return the epoch of the exchange key that it uses.

    Raises:
        SignatureInvalid: it is another channel's, or the payer did not sign it.
        SessionExpired: it or the payee's key is over, or it lasts longer than the payee accepts.
    """
    if session.channel != channel:
        raise SignatureInvalid("the session is for another channel")
    epoch = exchange.epoch_of(session.payee_x25519, now_s)
    if epoch is None:
        raise SessionExpired("the seller's exchange key is not one that it offers; ask again")
    if not now_s < session.expiry <= now_s + SESSION_S_MAX:
        raise SessionExpired(f"a session may last {SESSION_S_MAX} seconds from now")
    if not verify_signature(payer, session.signing_bytes(), session.signature):
        raise SignatureInvalid("the session's signature is not the payer's")
    return epoch
