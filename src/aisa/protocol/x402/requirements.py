"""What an x402 seller asks for: PaymentRequired with its alternatives, and the resource."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import (
    BODY_BYTES_MAX,
    JsonObject,
    JsonValue,
    format_json,
    malformed,
    parse_object,
    present,
)

VERSION: Final = 2
ACCEPTS_MAX: Final = 16
TEXT_CHARS_MAX: Final = 2048
AMOUNT_MAX: Final = 2**256 - 1

_NETWORK: Final = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,64}", re.ASCII)
_SCHEME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_PRINTED: Final = re.compile(r"[\x21-\x7e]+")

_RESOURCE: Final = frozenset({"url", "description", "mimeType", "serviceName", "tags", "iconUrl"})
_REQUIREMENTS: Final = frozenset(
    {"scheme", "network", "asset", "amount", "payTo", "maxTimeoutSeconds", "extra"}
)
_REQUIRED: Final = frozenset({"x402Version", "error", "resource", "accepts", "extensions"})


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """What is sold; `other` holds members that the protocol does not name."""

    url: str
    description: str | None = None
    mime_type: str | None = None
    service_name: str | None = None
    tags: tuple[str, ...] | None = None
    icon_url: str | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "url": self.url,
                "description": self.description,
                "mimeType": self.mime_type,
                "serviceName": self.service_name,
                "tags": self.tags,
                "iconUrl": self.icon_url,
            },
            self.other,
        )

    @classmethod
    def read(cls, fields: Fields) -> ResourceInfo:
        """Read the JSON object.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds; names it.
        """
        tags = fields.optional_array("tags", items_max=16)
        return cls(
            url=fields.text("url", chars_max=TEXT_CHARS_MAX),
            description=fields.optional_text("description", chars_max=TEXT_CHARS_MAX, empty=True),
            mime_type=fields.optional_text("mimeType", chars_max=128, empty=True),
            service_name=fields.optional_text("serviceName", chars_max=128, empty=True),
            tags=None if tags is None else tuple(_tag(tag, fields) for tag in tags),
            icon_url=fields.optional_text("iconUrl", chars_max=TEXT_CHARS_MAX, empty=True),
            other=fields.others(_RESOURCE),
        )


@dataclass(frozen=True, slots=True)
class PaymentRequirements:
    """One way to pay: `amount` in atomic units of `asset` on the CAIP-2 `network`.

    A payer echoes it in full, so members that the protocol does not name are kept in `other`.
    """

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    max_timeout_s: int
    extra: JsonObject | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object; the amount is a string of digits."""
        return present(
            {
                "scheme": self.scheme,
                "network": self.network,
                "asset": self.asset,
                "amount": str(self.amount),
                "payTo": self.pay_to,
                "maxTimeoutSeconds": self.max_timeout_s,
                "extra": self.extra,
            },
            self.other,
        )

    @classmethod
    def read(cls, fields: Fields) -> PaymentRequirements:
        """Read the JSON object.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds; names it.
        """
        return cls(
            scheme=fields.text("scheme", chars_max=64, pattern=_SCHEME),
            network=read_network(fields),
            asset=fields.text("asset", chars_max=256, pattern=_PRINTED),
            amount=amount_of(fields.text("amount", chars_max=78), fields.path("amount")),
            pay_to=fields.text("payTo", chars_max=256, pattern=_PRINTED),
            max_timeout_s=fields.integer("maxTimeoutSeconds", high=2**31 - 1),
            extra=fields.optional_object("extra"),
            other=fields.others(_REQUIREMENTS),
        )


@dataclass(frozen=True, slots=True)
class PaymentRequired:
    """The body of `PAYMENT-REQUIRED`: alternatives, of which the client picks one."""

    accepts: tuple[PaymentRequirements, ...]
    resource: ResourceInfo | None = None
    error: str | None = None
    extensions: JsonObject | None = None
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "x402Version": VERSION,
                "error": self.error,
                "resource": None if self.resource is None else self.resource.to_json(),
                "accepts": [one.to_json() for one in self.accepts],
                "extensions": self.extensions,
            },
            self.other,
        )

    def encode(self) -> bytes:
        """Return the JSON body."""
        return encode_body(self.to_json(), "PaymentRequired")

    @classmethod
    def parse(cls, body: bytes) -> PaymentRequired:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds, or another version; names it.
        """
        fields = Fields("PaymentRequired", parse_object(body, "PaymentRequired"))
        read_version(fields)
        resource = fields.optional_object("resource")
        return cls(
            accepts=tuple(
                PaymentRequirements.read(Fields(fields.path("accepts"), _object(item, fields)))
                for item in fields.array("accepts", items_max=ACCEPTS_MAX)
            ),
            resource=None if resource is None else ResourceInfo.read(fields.fields("resource")),
            error=fields.optional_text("error", chars_max=TEXT_CHARS_MAX, empty=True),
            extensions=fields.optional_object("extensions"),
            other=fields.others(_REQUIRED),
        )


def encode_body(document: JsonObject, what: str) -> bytes:
    """Return compact JSON.

    Raises:
        MalformedMessage: it is longer than 64 KiB.
    """
    raw = format_json(document).encode()
    if len(raw) > BODY_BYTES_MAX:
        raise malformed(what, f"is longer than {BODY_BYTES_MAX} bytes")
    return raw


def amount_of(digits: str, what: str) -> int:
    """Return the units that a canonical string of digits stands for.

    Raises:
        MalformedMessage: a sign, a point, a leading zero, or beyond 2^256 - 1.
    """
    if _DIGITS.fullmatch(digits) is None or int(digits) > AMOUNT_MAX:
        raise malformed(what, "is not a whole number of atomic units below 2^256")
    return int(digits)


def read_network(fields: Fields) -> str:
    """Return the CAIP-2 name in the member `network`."""
    return fields.text("network", chars_max=80, pattern=_NETWORK)


def read_version(fields: Fields) -> None:
    """Check that `x402Version` is 2."""
    fields.integer("x402Version", low=VERSION, high=VERSION)


def _object(item: JsonValue, fields: Fields) -> JsonObject:
    return Fields(fields.what, {"accepts": item}).object("accepts")


def _tag(tag: JsonValue, fields: Fields) -> str:
    return Fields(fields.what, {"tags": tag}).text("tags", chars_max=128, empty=True)
