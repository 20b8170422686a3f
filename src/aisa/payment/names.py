"""Names in the ledger that payment owns: accounts, transfer ids and kinds of records."""

from __future__ import annotations

import hashlib
from typing import Final

from aisa.money import Token
from aisa.protocol.frame import frame, u64

CHANNEL: Final = "channel"
CHANNEL_OF_OPENER: Final = "channel-of-opener"
CHANNEL_OF_PAYEE: Final = "channel-of-payee"
CLOSING: Final = "closing"
DEPOSIT: Final = "deposit"
DEPOSIT_ADDRESS: Final = "deposit-address"
DEPOSIT_CURSOR: Final = "deposit-cursor"
FACILITATED: Final = "facilitated"
HELD_DEPOSIT: Final = "held-deposit"
PAYMENT_IDENTIFIER: Final = "payment-identifier"
SEND: Final = "send"
UPTIME: Final = "uptime"
WITHDRAWAL: Final = "withdrawal"

CUSTOMERS: Final = "account:"
CHANNELS: Final = "channel:"


def customer(key: bytes, currency: str) -> str:
    """Return the account of a key in a currency."""
    return f"{CUSTOMERS}{key.hex()}:{currency}"


def channel_account(channel: bytes) -> str:
    """Return the account that holds a channel's deposit."""
    return f"{CHANNELS}{channel.hex()}"


def fees(currency: str) -> str:
    """Return the account that the node's fees go to."""
    return f"fee:{currency}"


def suspense(currency: str) -> str:
    """Return the account where deposits wait that no customer may be credited with yet."""
    return f"suspense:{currency}"


def outside(token: Token) -> str:
    """Return the account that stands for a token's network; its balance is minus what came in."""
    return f"network:{token.network}:{token.symbol}"


def dust(token: Token) -> str:
    """Return the account of a token's parts below one unit of its currency, in token units."""
    return f"dust:{token.network}:{token.symbol}"


def outside_dust(token: Token) -> str:
    """Return the account that `dust` came from."""
    return f"network-dust:{token.network}:{token.symbol}"


def dust_currency(token: Token) -> str:
    """Return the currency in which dust is counted: the token's own unit."""
    return f"{token.symbol}.{token.scale}"


def scoped_id(purpose: str, key: bytes, request_id: str) -> str:
    """Return the ledger's id for a caller's own id, so that no other caller can meet it."""
    digest = hashlib.sha256(frame("AISA-TRANSFER/1", purpose, key, request_id)).hexdigest()
    # Rails take ids of at most 64 characters; 160 bits of a hash are enough never to meet another.
    return f"{purpose}_{digest[:40]}"


def redemption_id(channel: bytes, cumulative: int) -> str:
    """Return the id of a redemption: the hash of channel and total, never of the difference."""
    digest = hashlib.sha256(frame("AISA-REDEMPTION/1", channel, u64(cumulative))).hexdigest()
    return f"redemption_{digest}"


def closing_id(channel: bytes) -> str:
    """Return the id of the transfer that gives a closed channel's rest back."""
    return f"closing_{channel.hex()}"
