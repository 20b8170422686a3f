"""What a seller asks a facilitator: to check a payment, to settle it, and what it can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed, parse_object, present
from aisa.protocol.x402.payload import PaymentPayload
from aisa.protocol.x402.requirements import (
    VERSION,
    PaymentRequirements,
    encode_body,
    read_network,
    read_version,
)

KINDS_MAX: Final = 256
NAMES_MAX: Final = 64
FAMILIES_MAX: Final = 32
_NAME: Final = re.compile(r"[\x21-\x7e]+")
_FAMILY: Final = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9*]{1,64}", re.ASCII)
_KIND: Final = frozenset({"x402Version", "scheme", "network", "extra"})


@dataclass(frozen=True, slots=True)
class FacilitatorRequest:
    """The body of `/verify` and of `/settle`: a payment, and what the seller asked for it."""

    payload: PaymentPayload
    requirements: PaymentRequirements

    def encode(self) -> bytes:
        """Return the JSON body."""
        document: dict[str, JsonValue] = {
            "x402Version": VERSION,
            "paymentPayload": self.payload.to_json(),
            "paymentRequirements": self.requirements.to_json(),
        }
        return encode_body(document, "FacilitatorRequest")

    @classmethod
    def parse(cls, body: bytes) -> FacilitatorRequest:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds, or another version; names it.
        """
        fields = Fields("FacilitatorRequest", parse_object(body, "FacilitatorRequest"))
        read_version(fields)
        return cls(
            payload=PaymentPayload.read(fields.fields("paymentPayload")),
            requirements=PaymentRequirements.read(fields.fields("paymentRequirements")),
        )


@dataclass(frozen=True, slots=True)
class SupportedKind:
    """One scheme on one network that a facilitator settles; `version` is x402's own."""

    scheme: str
    network: str
    extra: JsonObject | None = None
    version: int = VERSION
    other: JsonObject = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "x402Version": self.version,
                "scheme": self.scheme,
                "network": self.network,
                "extra": self.extra,
            },
            self.other,
        )


@dataclass(frozen=True, slots=True)
class Supported:
    """The body of `/supported`; `signers` lists addresses by family, such as `eip155:*`.

    Kinds of x402's first version are passed over when it is read: we speak the second one.
    """

    kinds: tuple[SupportedKind, ...]
    extensions: tuple[str, ...] = ()
    signers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def encode(self) -> bytes:
        """Return the JSON body."""
        document: dict[str, JsonValue] = {
            "kinds": [kind.to_json() for kind in self.kinds],
            "extensions": list(self.extensions),
            "signers": {family: list(names) for family, names in self.signers.items()},
        }
        return encode_body(document, "Supported")

    @classmethod
    def parse(cls, body: bytes) -> Supported:
        """Read the JSON body.

        Raises:
            MalformedMessage: a field is missing or breaks its bounds; names it.
        """
        fields = Fields("Supported", parse_object(body, "Supported"))
        kinds = fields.each("kinds", items_max=KINDS_MAX)
        return cls(
            kinds=tuple(_kind(kind) for kind in kinds if kind.integer("x402Version") == VERSION),
            extensions=_names(fields, "extensions"),
            signers=_signers(fields),
        )


def _kind(fields: Fields) -> SupportedKind:
    return SupportedKind(
        scheme=fields.text("scheme", chars_max=64, pattern=_NAME),
        network=read_network(fields),
        extra=fields.optional_object("extra"),
        other=fields.others(_KIND),
    )


def _signers(fields: Fields) -> dict[str, tuple[str, ...]]:
    families = Fields(fields.path("signers"), fields.optional_object("signers") or {})
    if len(families.members) > FAMILIES_MAX:
        raise malformed(families.what, f"has more than {FAMILIES_MAX} families")
    for family in families.members:
        if _FAMILY.fullmatch(family) is None:
            raise malformed(families.what, "names what is not a family of networks")
    return {family: _names(families, family) for family in families.members}


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    items = fields.optional_array(name, items_max=NAMES_MAX) or ()
    return tuple(
        Fields(fields.what, {name: item}).text(name, chars_max=128, pattern=_NAME) for item in items
    )
