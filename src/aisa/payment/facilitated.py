"""The record of one payment that a facilitator settles: claimed once, and finished from itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from aisa.protocol.frame import frame
from aisa.settlement.pull import SignedTransfer

_encoder: Final = msgspec.json.Encoder(order="deterministic")


class Stage(StrEnum):
    """How far a payment is: only `OPEN` may be claimed again."""

    OPEN = "open"
    CLAIMED = "claimed"
    SETTLED = "settled"
    FAILED = "failed"


class Facilitated(msgspec.Struct, frozen=True):
    """A payment of one payer's nonce: who asked for it first, what was asked, what came of it.

    `request` is the whole `/settle` body, so that a claim which a crash left can be carried out;
    `key` is the caller's idempotency key, or empty.
    """

    stage: Stage
    key: str
    request: bytes
    reference: str = ""
    detail: str = ""

    def encode(self) -> bytes:
        """Return the record's body."""
        return _encoder.encode(self)


_decoder: Final = msgspec.json.Decoder(Facilitated)


def decode_facilitated(body: bytes) -> Facilitated:
    """Read a record's body."""
    return _decoder.decode(body)


@dataclass(frozen=True, slots=True)
class Found:
    """A record with the version that the next write has to replace; 0 if there is none yet."""

    row: Facilitated | None
    version: int


def payment_id(transfer: SignedTransfer) -> str:
    """The record's id: one payer's nonce with one token, or with one spender over all of them."""
    asset = "" if transfer.spender else transfer.token.asset.lower()
    parts = (transfer.token.network, asset, transfer.spender.lower(), transfer.payer.lower())
    return hashlib.sha256(frame(*parts, transfer.nonce)).hexdigest()


def identifier_id(payee: str, identifier: str) -> str:
    """The id of the record that ties a payer's identifier to one payment to this payee."""
    return hashlib.sha256(frame("payment-identifier", payee.lower(), identifier)).hexdigest()
