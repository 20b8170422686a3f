"""What an agent hands out: answers, payments, quotes and totals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from aisa.errors import AisaError, class_by_slug
from aisa.money import Amount
from aisa.protocol.aip import ReceiptLeaf


class Outcome(Enum):
    """What became of a payment.

    SETTLED: charged, with an authentic receipt. FAILED: proved not to be charged. UNKNOWN: it may
    be charged; the amount stays counted as sent, and `unknown_calls()` lists it.
    """

    SETTLED = "settled"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Payment(msgspec.Struct, frozen=True, gc=False):
    """One call's payment, as `on_payment` gets it and `Answer.payment` keeps it.

    `amount` is what the tick allowed, `charged` what the seller took. `problem` is the slug of what
    went wrong, such as `receipt-invalid`, or nothing. A payment to an x402 seller has no channel: it
    names the CAIP-2 `network`, the CAIP-19 `asset` and, once it is settled, the chain `transaction`.
    """

    outcome: Outcome
    method: str
    url: str
    payee: bytes
    channel: bytes
    lane: int
    seq: int
    amount: Amount
    charged: Amount
    at_ms: int
    call_id: str = ""
    problem: str = ""
    network: str = ""
    asset: str = ""
    transaction: str = ""

    def __str__(self) -> str:
        what = f"{self.charged} {self.outcome.value}"
        return f"{what} ({self.problem})" if self.problem else what

    def error(self) -> AisaError | None:
        """Return the error that `problem` names."""
        return class_by_slug(self.problem)() if self.problem else None


class Answer(msgspec.Struct, frozen=True):
    """A seller's answer; `payment` is None where nothing was asked for."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    payment: Payment | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The content as text, in UTF-8 unless its type names another charset."""
        kind = self.headers.get("content-type", "")
        _, _, charset = kind.partition("charset=")
        name = charset.split(";")[0].strip().strip('"') or "utf-8"
        try:
            return self.content.decode(name, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the content read as JSON; raises ValueError if it is none."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would cost, asked without paying; `price` is None where the call is free.

    `node` is the URL of this agent's node that the seller accepts, None if there is none.
    """

    url: str
    price: Amount | None
    payee: bytes = b""
    networks: tuple[str, ...] = ()
    node: str | None = None
    deposit_min: Amount | None = None
    status: int = 402


@dataclass(frozen=True, slots=True)
class Spent:
    """What this agent was charged since it started: one amount per currency, and how many calls."""

    amounts: tuple[Amount, ...] = ()
    calls: int = 0

    def __str__(self) -> str:
        return " + ".join(map(str, self.amounts)) or "0"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A kept receipt: the call, its price in `currency` units, and the leaf that it proves."""

    number: int
    method: str
    url: str
    charged: Amount
    at_ms: int
    leaf: ReceiptLeaf


@dataclass(frozen=True, slots=True)
class ClosedChannel:
    """A channel that was asked to close; `state` is the node's word: open, closing or closed."""

    channel: bytes
    session_url: str
    deposit: Amount
    redeemed: Amount
    state: str
