"""Every deliberate error of AISA, drawn as a tree.

```
AisaError
├── InvalidRequest        400  InvalidAmount · MalformedMessage · UnknownCurrency · ConfigInvalid · ExtraMissing
├── Unauthenticated       401  SignatureInvalid
├── PaymentRequired       402  ChallengeInvalid · ChannelUnknown · VoucherRequired · VoucherRefused · TickRefused
│                              PriceAboveTick · SessionExpired · LaneClosed · StatementRefused · HubNotListed · CapExceeded
│                              PaymentInvalid · SettlementPending
├── NotAllowed            403  BudgetExceeded · NoCommonNode · OriginRefused · RedirectRefused · ReceiptInvalid
│                              AnswerTooLarge
├── NotFound              404
├── Conflict              409  IdempotencyMismatch · StateConflict · AnswerGone · FileOwned
├── Unprocessable         422  InsufficientFunds · DepositCapReached
├── Throttled             429  RateLimited · HeadTooLarge (431) · BodyTooLarge (413) · BodyTooSlow (408)
├── Internal              500  LedgerCorrupt · LedgerStopped (503) · SolvencyAlarm (503) · StoreUnavailable (503)
│                              UpstreamUnavailable (503)
└── RailError             502  RailUnavailable (503) · OutcomeUnknown (504) · NodeUnavailable (503)
```

A class fixes `slug`, `status`, `title` and `retryable`; an instance adds `detail` (one sentence for
a person), `hint` (what to do about it) and `facts` (values for a machine). The same table turns an
error into an RFC 9457 problem, back into the same class, and into a command's exit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeAlias

Fact: TypeAlias = "str | int | bool"


class AisaError(Exception):
    """Base of every deliberate error; catch it to catch them all."""

    slug: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False
    hint_default: ClassVar[str] = ""

    def __init__(self, detail: str = "", *, hint: str = "", **facts: Fact) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.hint = hint or self.hint_default
        self.facts: Mapping[str, Fact] = facts

    def __str__(self) -> str:
        return f"{self.detail} ({self.hint})" if self.hint else self.detail


class InvalidRequest(AisaError):
    """The caller can fix it: the detail names the field and the constraint."""

    slug, status, title = "invalid-request", 400, "Invalid request"


class InvalidAmount(InvalidRequest):
    """An amount is not an exact, non-negative count of units below 2^63."""

    slug, title = "invalid-amount", "Invalid amount"


class MalformedMessage(InvalidRequest):
    """Bytes, a header or JSON do not follow the wire format."""

    slug, title = "malformed-message", "Malformed message"


class UnknownCurrency(InvalidRequest):
    """The currency is not one that this party holds."""

    slug, title = "unknown-currency", "Unknown currency"


class ConfigInvalid(InvalidRequest):
    """A setting is missing or has a value that cannot work."""

    slug, title = "config-invalid", "Invalid configuration"


class ExtraMissing(InvalidRequest):
    """A part of AISA was asked for whose packages are not installed."""

    slug, title = "extra-missing", "Optional packages are not installed"


class Unauthenticated(AisaError):
    """The request does not prove who sends it."""

    slug, status, title = "unauthenticated", 401, "Authentication required"


class SignatureInvalid(Unauthenticated):
    """A signature does not verify, is too old, or was used before."""

    slug, title = "signature-invalid", "Invalid signature"


class PaymentRequired(AisaError):
    """The resource is paid; the answer carries fresh challenges."""

    slug, status, title, retryable = "payment-required", 402, "Payment required", True


class ChallengeInvalid(PaymentRequired):
    """The echoed challenge was not issued by this seller, or has expired."""

    slug, title = "challenge-invalid", "Invalid or expired challenge"


class ChannelUnknown(PaymentRequired):
    """The seller does not know the channel, or it is closed; open one first."""

    slug, title = "channel-unknown", "Unknown channel"


class VoucherRequired(PaymentRequired):
    """The signed ceiling does not cover the call; send a higher voucher with the same tick."""

    slug, title = "voucher-required", "A higher voucher is required"


class VoucherRefused(PaymentRequired):
    """The voucher's signature, expiry or ceiling is wrong."""

    slug, title, retryable = "voucher-refused", "Voucher refused", False


class TickRefused(PaymentRequired):
    """The tick's MAC, lane or sequence number does not admit this request."""

    slug, title, retryable = "tick-refused", "Tick refused", False


class PriceAboveTick(PaymentRequired):
    """The call costs more than the tick allows."""

    slug, title = "price-above-tick", "The price is above the tick's amount"


class SessionExpired(PaymentRequired):
    """The session is past its expiry; open a new one on the same channel."""

    slug, title = "session-expired", "Session expired"


class LaneClosed(PaymentRequired):
    """The lane is closed or below the seller's floor; use a newer lane."""

    slug, title = "lane-closed", "Lane closed"


class StatementRefused(PaymentRequired):
    """The deposit statement is forged, stale, or its fee is above the seller's limit."""

    slug, title, retryable = "statement-refused", "Deposit statement refused", False


class HubNotListed(PaymentRequired):
    """The channel stands at a node that this seller does not accept."""

    slug, title, retryable = "hub-not-listed", "The channel's node is not accepted here", False


class CapExceeded(PaymentRequired):
    """The seller's unredeemed cap for this node is reached; it is redeeming."""

    slug, title = "cap-exceeded", "The seller's unredeemed cap is reached"


class PaymentInvalid(PaymentRequired):
    """An x402 payment is not what was asked for, or did not settle; `reason` is x402's word for it."""

    slug, title, retryable = "payment-invalid", "The payment is not accepted", False


class SettlementPending(PaymentRequired):
    """The payment was sent to its network, and is not decided; send the same one again."""

    slug, title = "settlement-pending", "The payment is being settled"


class NotAllowed(AisaError):
    """A rule forbids it."""

    slug, status, title = "not-allowed", 403, "Not allowed"


class BudgetExceeded(NotAllowed):
    """The local budget per call, seller or day would be exceeded."""

    slug, title = "budget-exceeded", "Budget exceeded"


class NoCommonNode(NotAllowed):
    """The seller accepts none of the nodes in the payer's own configuration."""

    slug, title = "no-common-node", "No node in common with the seller"


class OriginRefused(NotAllowed):
    """A challenge points to another origin than the resource's own."""

    slug, title = "origin-refused", "The challenge names another origin"


class RedirectRefused(NotAllowed):
    """A paid request was answered by a redirect, which is never followed."""

    slug, title = "redirect-refused", "A paid request is not redirected"


class ReceiptInvalid(NotAllowed):
    """A receipt's MAC, path or root does not verify."""

    slug, title = "receipt-invalid", "Invalid receipt"


class AnswerTooLarge(NotAllowed):
    """The seller's answer is longer than `answer_bytes_max`; it was not read to the end."""

    slug, title = "answer-too-large", "The answer is longer than allowed"


class NotFound(AisaError):
    """There is no such thing, or it belongs to someone else."""

    slug, status, title = "not-found", 404, "Not found"


class Conflict(AisaError):
    """The request contradicts what is already recorded."""

    slug, status, title = "conflict", 409, "Conflict"


class IdempotencyMismatch(Conflict):
    """The same id was used before with another body."""

    slug, title = "idempotency-mismatch", "Same id, other content"


class StateConflict(Conflict):
    """The thing is not in a state that allows this step."""

    slug, title = "state-conflict", "Not possible in this state"


class AnswerGone(Conflict):
    """The call was served and charged, but its answer was not kept."""

    slug, title = "answer-gone", "The stored answer is gone"


class FileOwned(Conflict):
    """Another process owns this state file."""

    slug, title = "file-owned", "The file is in use by another process"


class Unprocessable(AisaError):
    """Well formed, but the state of the accounts forbids it."""

    slug, status, title = "unprocessable", 422, "Cannot be processed"


class InsufficientFunds(Unprocessable):
    """The account does not hold the amount."""

    slug, title = "insufficient-funds", "Insufficient funds"


class DepositCapReached(Unprocessable):
    """The deposit would lift an account or channel above its cap."""

    slug, title = "deposit-cap-reached", "Deposit cap reached"


class Throttled(AisaError):
    """Too much of something; slow down or send less."""

    slug, status, title, retryable = "throttled", 429, "Too much", True


class RateLimited(Throttled):
    """Too many requests without payment from one address; `retry_after_s` says how long to wait."""

    slug, title = "rate-limited", "Too many requests"


class HeadTooLarge(Throttled):
    """The request's head exceeds the limit."""

    slug, status, title, retryable = "head-too-large", 431, "Request head too large", False


class BodyTooLarge(Throttled):
    """The request's body exceeds the route's limit."""

    slug, status, title, retryable = "body-too-large", 413, "Request body too large", False


class BodyTooSlow(Throttled):
    """The request's body did not come in time; nothing was done, and the connection is closed."""

    slug, status, title = "body-too-slow", 408, "Request body too slow"


class Internal(AisaError):
    """A promise of ours is broken; an operator must look."""

    slug, status, title = "internal", 500, "Internal error"


class LedgerCorrupt(Internal):
    """Re-folding the ledger does not give what is stored; the facts name the first bad row."""

    slug, title = "ledger-corrupt", "The ledger does not verify"


class LedgerStopped(Internal):
    """The ledger is closed, or a commit failed; after a restart repeat with the same ids."""

    slug, status, title = "ledger-stopped", 503, "The ledger takes no writes"


class SolvencyAlarm(Internal):
    """The node owes more than its rails hold; withdrawals are stopped."""

    slug, status, title = "solvency-alarm", 503, "Withdrawals are stopped"


class StoreUnavailable(Internal):
    """A commit did not reach the disk; nothing was charged."""

    slug, status, title, retryable = "store-unavailable", 503, "State cannot be saved", True


class UpstreamUnavailable(Internal):
    """The application behind a proxy does not answer; nothing was charged."""

    slug, status, title, retryable = "upstream-unavailable", 503, "The service is unavailable", True


class RailError(AisaError):
    """A network refused or could not carry a payment: proved not to have happened."""

    slug, status, title = "rail-error", 502, "The network refused"


class RailUnavailable(RailError):
    """Nothing was sent; retry freely."""

    slug, status, title, retryable = "rail-unavailable", 503, "Network unavailable", True


class OutcomeUnknown(RailError):
    """Something was sent and its outcome is not known: look it up, never send it again."""

    slug, status, title = "outcome-unknown", 504, "Outcome unknown"


class NodeUnavailable(RailError):
    """The node does not answer; nothing was decided, retry with the same id."""

    slug, status, title, retryable = "node-unavailable", 503, "Node unavailable", True


def error_classes() -> Iterator[type[AisaError]]:
    """Yield every error class once, parents before children."""
    queue: list[type[AisaError]] = [AisaError]
    while queue:
        cls = queue.pop(0)
        yield cls
        queue.extend(cls.__subclasses__())


def class_by_slug(slug: str) -> type[AisaError]:
    """Return the class for a problem's slug; an unknown slug gives `AisaError`."""
    return next((cls for cls in error_classes() if cls.slug == slug), AisaError)
