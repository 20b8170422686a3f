"""The optional port of a rail that carries out what a payer has signed: the facilitator needs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aisa.money import Token
from aisa.settlement.rail import Outcome


@dataclass(frozen=True, slots=True)
class SignedTransfer:
    """`units` of `token` from `payer` to `payee`, signed by the payer, once for each `nonce`.

    It counts while valid_after_s < now < valid_before_s, in unix seconds. Addresses are text as
    the network writes them. `spender` is the contract that the signature allows to move the
    tokens; empty where the token itself takes signatures. The nonce has 32 bytes.
    """

    token: Token
    payer: str
    payee: str
    units: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes
    signature: bytes
    spender: str = ""


class PullProblem(StrEnum):
    """Why a signed transfer would not be carried out now."""

    UNSUPPORTED = "unsupported"
    MALFORMED = "malformed"
    SIGNATURE = "signature"
    TOO_EARLY = "too-early"
    EXPIRED = "expired"
    NONCE_USED = "nonce-used"
    BALANCE = "balance"
    ALLOWANCE = "allowance"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PullCheck:
    """The answer to a check; `problem` is None where the transfer would go through now."""

    problem: PullProblem | None
    detail: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether it would go through now."""
        return self.problem is None


class Pull(Protocol):
    """Checks and carries out transfers that payers signed."""

    async def check(self, transfer: SignedTransfer) -> PullCheck:
        """Whether a transfer would go through now; changes nothing.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def settle(self, transfer: SignedTransfer) -> Outcome:
        """Carry it out, once for each payer and nonce, and wait a bounded time.

        An exception means that nothing was sent; after that point only outcomes are returned. A
        failed transfer can still be carried out by anyone who has the signature, until it expires.

        Raises:
            InvalidRequest: it would not go through; the fact `problem` says why.
            IdempotencyMismatch: another transfer with this payer and nonce was carried out.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def look_up_transfer(self, transfer: SignedTransfer) -> Outcome:
        """What became of a transfer that was to be carried out; never sends anything new."""
        ...
