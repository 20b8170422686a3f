"""What an x402 payer answers: the chosen requirements, echoed, and the scheme's own proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, parse_object, present
from aisa.protocol.x402.requirements import (
    VERSION,
    PaymentRequirements,
    ResourceInfo,
    encode_body,
    read_version,
)

_KNOWN: Final = frozenset({"x402Version", "payload", "accepted", "resource", "extensions"})


@dataclass(frozen=True, slots=True)
class PaymentPayload:
    """The body of `PAYMENT-SIGNATURE`; `payload` is what the scheme defines."""

    accepted: PaymentRequirements
    payload: JsonObject
    resource: ResourceInfo | None = None
    extensions: JsonObject | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "x402Version": VERSION,
                "payload": self.payload,
                "accepted": self.accepted.to_json(),
                "resource": None if self.resource is None else self.resource.to_json(),
                "extensions": self.extensions,
            },
            self.other,
        )

    def encode(self) -> bytes:
        """Return the JSON body."""
        return encode_body(self.to_json(), "PaymentPayload")

    @classmethod
    def parse(cls, body: bytes) -> PaymentPayload:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds, or another version; names it.
        """
        return cls.read(Fields("PaymentPayload", parse_object(body, "PaymentPayload")))

    @classmethod
    def read(cls, fields: Fields) -> PaymentPayload:
        """Read the JSON object.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds, or another version; names it.
        """
        read_version(fields)
        resource = fields.optional_object("resource")
        return cls(
            accepted=PaymentRequirements.read(fields.fields("accepted")),
            payload=fields.object("payload"),
            resource=None if resource is None else ResourceInfo.read(fields.fields("resource")),
            extensions=fields.optional_object("extensions"),
            other=fields.others(_KNOWN),
        )
