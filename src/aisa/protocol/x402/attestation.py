"""The extension `offer-and-receipt`: a seller's signature under its price, and under a payment.

Two forms: EIP-712, signed by an account of an EVM network, and JWS, here with Ed25519. The chain id
in the domain is 1 on every network: the signature is for people and judges, never for a contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol import base64url, jcs
from aisa.protocol.eip712 import Domain, struct_hash, text_word, type_hash, uint_word
from aisa.protocol.evm_address import format_bytes, parse_bytes_exact
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed, parse_object, present
from aisa.protocol.x402.requirements import (
    ACCEPTS_MAX,
    TEXT_CHARS_MAX,
    PaymentRequirements,
    read_network,
)

OFFER_RECEIPT: Final = "offer-receipt"
_VERSION: Final = 1
_EIP712: Final = "eip712"
_JWS: Final = "jws"
_JWS_CHARS_MAX: Final = 12 * 1024
_OFFER_DOMAIN: Final = Domain("x402 offer", "1", 1, None)
_RECEIPT_DOMAIN: Final = Domain("x402 receipt", "1", 1, None)
_OFFER: Final = (
    "Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,"
    "string payTo,string amount,uint256 validUntil)"
)
_RECEIPT: Final = (
    "Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,"
    "string transaction)"
)


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """A price that the seller stands by until `valid_until` (unix seconds; 0 is for as long as asked).

    `amount` is text and kept as it is, because it is signed as it is.
    """

    resource_url: str
    scheme: str
    network: str
    asset: str
    pay_to: str
    amount: str
    valid_until: int = 0

    @classmethod
    def of(
        cls, requirements: PaymentRequirements, resource_url: str, valid_until: int = 0
    ) -> OfferTerms:
        """Return the terms of one way to pay."""
        return cls(
            resource_url,
            requirements.scheme,
            requirements.network,
            requirements.asset,
            requirements.pay_to,
            str(requirements.amount),
            valid_until,
        )

    def digest(self) -> bytes:
        """The 32 bytes that an EVM account signs."""
        return _OFFER_DOMAIN.digest(
            struct_hash(
                type_hash(_OFFER),
                uint_word(_VERSION),
                text_word(self.resource_url),
                text_word(self.scheme),
                text_word(self.network),
                text_word(self.asset),
                text_word(self.pay_to),
                text_word(self.amount),
                uint_word(self.valid_until),
            )
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "version": _VERSION,
                "resourceUrl": self.resource_url,
                "scheme": self.scheme,
                "network": self.network,
                "asset": self.asset,
                "payTo": self.pay_to,
                "amount": self.amount,
                "validUntil": self.valid_until or None,
            },
        )

    @classmethod
    def read(cls, fields: Fields) -> OfferTerms:
        """Read the JSON object.

        Raises:
            MalformedMessage: another version; a member is missing or breaks its bounds.
        """
        fields.integer("version", low=_VERSION, high=_VERSION)
        valid_until = fields.members.get("validUntil")
        return cls(
            resource_url=fields.text("resourceUrl", chars_max=TEXT_CHARS_MAX),
            scheme=fields.text("scheme", chars_max=64),
            network=read_network(fields),
            asset=fields.text("asset", chars_max=256),
            pay_to=fields.text("payTo", chars_max=256),
            amount=fields.text("amount", chars_max=78),
            valid_until=0 if valid_until is None else fields.integer("validUntil"),
        )


@dataclass(frozen=True, slots=True)
class ReceiptTerms:
    """A payment that the seller took and answered; `transaction` is empty where it is kept back."""

    network: str
    resource_url: str
    payer: str
    issued_at: int
    transaction: str = ""

    def digest(self) -> bytes:
        """The 32 bytes that an EVM account signs."""
        return _RECEIPT_DOMAIN.digest(
            struct_hash(
                type_hash(_RECEIPT),
                uint_word(_VERSION),
                text_word(self.network),
                text_word(self.resource_url),
                text_word(self.payer),
                uint_word(self.issued_at),
                text_word(self.transaction),
            )
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "version": _VERSION,
            "network": self.network,
            "resourceUrl": self.resource_url,
            "payer": self.payer,
            "issuedAt": self.issued_at,
            "transaction": self.transaction,
        }

    @classmethod
    def read(cls, fields: Fields) -> ReceiptTerms:
        """Read the JSON object.

        Raises:
            MalformedMessage: another version; a member is missing or breaks its bounds.
        """
        fields.integer("version", low=_VERSION, high=_VERSION)
        return cls(
            network=read_network(fields),
            resource_url=fields.text("resourceUrl", chars_max=TEXT_CHARS_MAX),
            payer=fields.text("payer", chars_max=256),
            issued_at=fields.integer("issuedAt"),
            transaction=fields.optional_text("transaction", chars_max=256, empty=True) or "",
        )


Terms: TypeAlias = "OfferTerms | ReceiptTerms"


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS: its header's algorithm and key, the bytes that are signed, the signature."""

    algorithm: str
    key: str
    signing_input: str
    signature: bytes

    def encode(self) -> str:
        """Return the compact form."""
        return f"{self.signing_input}.{base64url.encode(self.signature)}"


@dataclass(frozen=True, slots=True)
class Attested:
    """Terms and the seller's signature: 65 bytes over their digest, or a JWS.

    That the key may speak for the resource's seller is not in the signature; check it elsewhere.
    """

    terms: Terms
    signature: bytes | Jws

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        if isinstance(self.signature, Jws):
            return {"format": _JWS, "signature": self.signature.encode()}
        return {
            "format": _EIP712,
            "payload": self.terms.to_json(),
            "signature": format_bytes(self.signature),
        }


def sign_jws(terms: Terms, key_id: str, sign: Callable[[bytes], bytes]) -> Attested:
    """Return the terms under a JWS of an Ed25519 key, which `key_id` (a DID URL) names."""
    header = jcs.canonical({"alg": "EdDSA", "kid": key_id})
    signing_input = f"{base64url.encode(header)}.{base64url.encode(jcs.canonical(terms.to_json()))}"
    signature = sign(signing_input.encode())
    return Attested(terms, Jws("EdDSA", key_id, signing_input, signature))


def offers_extension(offers: list[Attested]) -> dict[str, JsonValue]:
    """Return the extension for a 402: offers in the order of `accepts`, each with its place."""
    return _extension(
        "offers", [{"acceptIndex": place, **one.to_json()} for place, one in enumerate(offers)]
    )


def receipt_extension(receipt: Attested) -> dict[str, JsonValue]:
    """Return the extension for a settlement."""
    return _extension("receipt", receipt.to_json())


def read_offers(extensions: JsonObject | None) -> tuple[Attested, ...]:
    """Read the offers among a 402's extensions; none when the extension is not among them.

    Raises:
        MalformedMessage: an offer has another form or version, or breaks its bounds.
    """
    info = _info(extensions)
    if info is None:
        return ()
    offers = info.each("offers", items_max=ACCEPTS_MAX)
    return tuple(_read(one, OfferTerms.read) for one in offers)


def read_receipt(extensions: JsonObject | None) -> Attested | None:
    """Read the receipt among a settlement's extensions; None when there is none.

    Raises:
        MalformedMessage: it has another form or version, or breaks its bounds.
    """
    info = _info(extensions)
    return None if info is None else _read(info.fields("receipt"), ReceiptTerms.read)


def _read(fields: Fields, read_terms: Callable[[Fields], Terms]) -> Attested:
    form = fields.text("format", chars_max=16)
    if form == _EIP712:
        signature = fields.text("signature", chars_max=132)
        return Attested(
            read_terms(fields.fields("payload")),
            parse_bytes_exact(signature, fields.path("signature"), 65),
        )
    if form != _JWS:
        raise malformed(fields.path("format"), "is neither eip712 nor jws")
    jws, payload = _read_jws(fields)
    return Attested(read_terms(Fields(fields.path("signature"), payload)), jws)


def _read_jws(fields: Fields) -> tuple[Jws, JsonObject]:
    what = fields.path("signature")
    parts = fields.text("signature", chars_max=_JWS_CHARS_MAX).split(".")
    if len(parts) != 3:
        raise malformed(what, "is not a compact JWS")
    head, payload, signature = (
        base64url.decode(part, what, bytes_max=_JWS_CHARS_MAX) for part in parts
    )
    header = Fields(what, parse_object(head, what))
    jws = Jws(
        algorithm=header.text("alg", chars_max=16),
        key=header.text("kid", chars_max=1024),
        signing_input=f"{parts[0]}.{parts[1]}",
        signature=signature,
    )
    return jws, parse_object(payload, what)


def _info(extensions: JsonObject | None) -> Fields | None:
    fields = Fields("extensions", extensions or {})
    if fields.optional_object(OFFER_RECEIPT) is None:
        return None
    return fields.fields(OFFER_RECEIPT).fields("info")


def _extension(name: str, value: JsonValue) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": [name],
    }
    return {"info": {name: value}, "schema": schema}
