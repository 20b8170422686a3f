"""Machine Payments Protocol: challenges, credentials, receipts and preferences as header values."""

from aisa.protocol.mpp.accept import (
    ACCEPT_PAYMENT,
    OFFERS_MAX,
    Offer,
    PaymentRange,
    format_accept,
    narrow,
    parse_accept,
    rank,
)
from aisa.protocol.mpp.challenge import (
    AUTHORIZATION,
    CHALLENGES_MAX,
    PAYMENT_AUTHORIZATION,
    WWW_AUTHENTICATE,
    Challenge,
    issue_challenge,
    parse_challenge,
    parse_challenges,
)
from aisa.protocol.mpp.credential import Credential, parse_credential
from aisa.protocol.mpp.receipt import PAYMENT_RECEIPT, Receipt, parse_receipt

__all__ = [
    "ACCEPT_PAYMENT",
    "AUTHORIZATION",
    "CHALLENGES_MAX",
    "OFFERS_MAX",
    "PAYMENT_AUTHORIZATION",
    "PAYMENT_RECEIPT",
    "WWW_AUTHENTICATE",
    "Challenge",
    "Credential",
    "Offer",
    "PaymentRange",
    "Receipt",
    "format_accept",
    "issue_challenge",
    "narrow",
    "parse_accept",
    "parse_challenge",
    "parse_challenges",
    "parse_credential",
    "parse_receipt",
    "rank",
]
