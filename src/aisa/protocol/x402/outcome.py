"""What an x402 facilitator says: whether a payment would hold, and how its settlement ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, parse_object, present
from aisa.protocol.x402.requirements import TEXT_CHARS_MAX, amount_of, encode_body, read_network

_SETTLED: Final = frozenset(
    {
        "success",
        "errorReason",
        "errorMessage",
        "payer",
        "transaction",
        "network",
        "amount",
        "extensions",
        "extra",
    }
)
_VERIFIED: Final = frozenset(
    {"isValid", "invalidReason", "invalidMessage", "payer", "extensions", "extra"}
)


@dataclass(frozen=True, slots=True)
class SettlementResponse:
    """The body of `PAYMENT-RESPONSE`; `transaction` is empty when nothing went to a chain.

    `amount` is what was charged, None when it is not said.
    """

    success: bool
    transaction: str
    network: str
    payer: str | None = None
    amount: int | None = None
    error_reason: str | None = None
    error_message: str | None = None
    extensions: JsonObject | None = None
    extra: JsonObject | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "success": self.success,
                "errorReason": self.error_reason,
                "errorMessage": self.error_message,
                "payer": self.payer,
                "transaction": self.transaction,
                "network": self.network,
                "amount": None if self.amount is None else str(self.amount),
                "extensions": self.extensions,
                "extra": self.extra,
            },
            self.other,
        )

    def encode(self) -> bytes:
        """Return the JSON body."""
        return encode_body(self.to_json(), "SettlementResponse")

    @classmethod
    def parse(cls, body: bytes) -> SettlementResponse:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds; names it.
        """
        fields = Fields("SettlementResponse", parse_object(body, "SettlementResponse"))
        # The batch scheme writes an empty amount for a voucher that moved nothing on a chain.
        amount = fields.optional_text("amount", chars_max=78, empty=True)
        return cls(
            success=fields.boolean("success"),
            transaction=fields.text("transaction", chars_max=256, empty=True),
            network=read_network(fields),
            payer=fields.optional_text("payer", chars_max=256, empty=True),
            amount=amount_of(amount, fields.path("amount")) if amount else None,
            error_reason=fields.optional_text("errorReason", chars_max=256, empty=True),
            error_message=fields.optional_text(
                "errorMessage", chars_max=TEXT_CHARS_MAX, empty=True
            ),
            extensions=fields.optional_object("extensions"),
            extra=fields.optional_object("extra"),
            other=fields.others(_SETTLED),
        )


@dataclass(frozen=True, slots=True)
class VerifyResponse:
    """Whether the facilitator would settle the payment, and why not."""

    is_valid: bool
    invalid_reason: str | None = None
    invalid_message: str | None = None
    payer: str | None = None
    extensions: JsonObject | None = None
    extra: JsonObject | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "isValid": self.is_valid,
                "invalidReason": self.invalid_reason,
                "invalidMessage": self.invalid_message,
                "payer": self.payer,
                "extensions": self.extensions,
                "extra": self.extra,
            },
            self.other,
        )

    def encode(self) -> bytes:
        """Return the JSON body."""
        return encode_body(self.to_json(), "VerifyResponse")

    @classmethod
    def parse(cls, body: bytes) -> VerifyResponse:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds; names it.
        """
        fields = Fields("VerifyResponse", parse_object(body, "VerifyResponse"))
        return cls(
            is_valid=fields.boolean("isValid"),
            invalid_reason=fields.optional_text("invalidReason", chars_max=256, empty=True),
            invalid_message=fields.optional_text(
                "invalidMessage", chars_max=TEXT_CHARS_MAX, empty=True
            ),
            payer=fields.optional_text("payer", chars_max=256, empty=True),
            extensions=fields.optional_object("extensions"),
            extra=fields.optional_object("extra"),
            other=fields.others(_VERIFIED),
        )
