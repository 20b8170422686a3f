"""The extension `payment-identifier`: a name that makes a payment safe to send twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue

PAYMENT_IDENTIFIER: Final = "payment-identifier"
ID_CHARS_MIN: Final = 16
ID_CHARS_MAX: Final = 128
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{{ID_CHARS_MIN},{ID_CHARS_MAX}}}", re.ASCII)
_SCHEMA: Final[JsonObject] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "required": {"type": "boolean"},
        "id": {
            "type": "string",
            "minLength": ID_CHARS_MIN,
            "maxLength": ID_CHARS_MAX,
            "pattern": "^[a-zA-Z0-9_-]+$",
        },
    },
    "required": ["required"],
}


@dataclass(frozen=True, slots=True)
class PaymentIdentifier:
    """Whether the seller insists on an id, and the payer's: 16 to 128 letters, digits, - and _."""

    required: bool
    id: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object of the extension, with its schema."""
        info: dict[str, JsonValue] = {"required": self.required}
        if self.id is not None:
            info["id"] = self.id
        return {"info": info, "schema": _SCHEMA}

    @classmethod
    def read(cls, extensions: JsonObject | None) -> PaymentIdentifier | None:
        """Read it from the extensions of an offer or a payment; None when it is not among them.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        fields = Fields("extensions", extensions or {})
        if fields.optional_object(PAYMENT_IDENTIFIER) is None:
            return None
        info = fields.fields(PAYMENT_IDENTIFIER).fields("info")
        return cls(
            required=info.boolean("required"),
            id=info.optional_text("id", chars_max=ID_CHARS_MAX, pattern=_ID),
        )
