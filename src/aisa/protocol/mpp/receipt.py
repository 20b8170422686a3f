"""Receipt: the seller's `Payment-Receipt` on a paid answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aisa.protocol import base64url
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, format_json, malformed, parse_object
from aisa.protocol.timestamp import CHARS_MAX, parse_timestamp

PAYMENT_RECEIPT: Final = "Payment-Receipt"
RECEIPT_BYTES_MAX: Final = 6 * 1024
_METHOD: Final = re.compile(r"[a-z][a-z0-9:_-]{0,63}")
_SUCCESS: Final = re.compile("success")
_KNOWN: Final = frozenset({"status", "method", "timestamp", "reference"})


@dataclass(frozen=True, slots=True)
class Receipt:
    """A success that the seller states: method, when (RFC 3339), the method's reference, and more.

    Raises:
        MalformedMessage: a field breaks the grammar; names it.
    """

    method: str
    timestamp: str
    reference: str
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def __post_init__(self) -> None:
        if _METHOD.fullmatch(self.method) is None:
            raise malformed("receipt.method", "is not a method's name")
        parse_timestamp(self.timestamp, "receipt.timestamp")

    @property
    def timestamp_s(self) -> int:
        """When it was paid, in unix seconds."""
        return parse_timestamp(self.timestamp, "receipt.timestamp")

    def format(self) -> str:
        """Return the header's value.

        Raises:
            MalformedMessage: it is over 6 KiB, or an extra field has no JSON form.
        """
        own = {"method": self.method, "reference": self.reference, "status": "success"}
        own["timestamp"] = self.timestamp
        raw = format_json(sort_members({**self.other, **own})).encode()
        if len(raw) > RECEIPT_BYTES_MAX:
            raise malformed("receipt", f"is longer than {RECEIPT_BYTES_MAX} bytes")
        return base64url.encode(raw)


def parse_receipt(value: str) -> Receipt:
    """Read a `Payment-Receipt` value; members that MPP does not name are kept.

    Raises:
        MalformedMessage: a field is missing or breaks the grammar; names it.
    """
    raw = base64url.decode(value.strip(" "), "receipt", bytes_max=RECEIPT_BYTES_MAX)
    document = Fields("receipt", parse_object(raw, "receipt"))
    document.text("status", chars_max=16, pattern=_SUCCESS)
    return Receipt(
        method=document.text("method", chars_max=64),
        timestamp=document.text("timestamp", chars_max=CHARS_MAX),
        reference=document.text("reference", chars_max=1024, empty=True),
        other=document.others(_KNOWN),
    )


def sort_members(members: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the object with its members in the order of their names."""
    return {name: members[name] for name in sorted(members)}
