"""Credential: the payer's answer to a challenge, with the challenge echoed in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.protocol import base64url, jcs
from aisa.protocol.fields import Fields
from aisa.protocol.mpp.challenge import TEXT_CHARS_MAX, Challenge, decode_json_slot
from aisa.protocol.strictjson import JsonValue, malformed, parse_object

CREDENTIAL_BYTES_MAX: Final = 24 * 1024
SOURCE_CHARS_MAX: Final = 512
_SCHEME: Final = "payment "
_SLOT_CHARS_MAX: Final = 11 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """The echo, the method's proof as a canonical JSON object, and the payer's DID if it says.

    The echo proves nothing until `challenge.is_issued_by` holds.
    """

    challenge: Challenge
    payload: bytes
    source: str | None = None

    def format(self) -> str:
        """Return the value of `Authorization` or of the field that the challenge names.

        Raises:
            MalformedMessage: the payload is not a JSON object, or the whole is over 24 KiB.
        """
        document: dict[str, JsonValue] = {
            "challenge": _echo(self.challenge),
            "payload": parse_object(self.payload, "credential.payload"),
        }
        if self.source is not None:
            document["source"] = self.source
        raw = jcs.canonical(document, "credential")
        if len(raw) > CREDENTIAL_BYTES_MAX:
            raise malformed("credential", f"is longer than {CREDENTIAL_BYTES_MAX} bytes")
        return "Payment " + base64url.encode(raw)


def parse_credential(value: str) -> Credential:
    """Read the value of `Authorization` or `Payment-Authorization`.

    Raises:
        MalformedMessage: another scheme, or a field is missing or breaks the grammar; names it.
    """
    if value[: len(_SCHEME)].lower() != _SCHEME:
        raise malformed("credential", "is not of the Payment scheme")
    text = value[len(_SCHEME) :].strip(" ")
    raw = base64url.decode(text, "credential", bytes_max=CREDENTIAL_BYTES_MAX)
    document = Fields("credential", parse_object(raw, "credential"))
    return Credential(
        challenge=_challenge(document.fields("challenge")),
        payload=jcs.canonical(document.object("payload"), "credential.payload"),
        source=document.optional_text("source", chars_max=SOURCE_CHARS_MAX),
    )


def _echo(challenge: Challenge) -> dict[str, JsonValue]:
    echo: dict[str, JsonValue] = {
        "id": challenge.id,
        "realm": challenge.realm,
        "method": challenge.method,
        "intent": challenge.intent,
        "request": base64url.encode(challenge.request),
    }
    optional = {
        "expires": challenge.expires,
        "digest": challenge.digest,
        "opaque": None if challenge.opaque is None else base64url.encode(challenge.opaque),
        "description": challenge.description,
        "header": challenge.header,
    }
    echo.update({name: text for name, text in optional.items() if text is not None})
    return echo


def _challenge(echo: Fields) -> Challenge:
    opaque = echo.optional_text("opaque", chars_max=_SLOT_CHARS_MAX)
    return Challenge(
        id=echo.text("id", chars_max=256),
        realm=echo.text("realm", chars_max=TEXT_CHARS_MAX),
        method=echo.text("method", chars_max=64),
        intent=echo.text("intent", chars_max=64),
        request=decode_json_slot(
            echo.text("request", chars_max=_SLOT_CHARS_MAX), echo.path("request")
        ),
        expires=echo.optional_text("expires", chars_max=64),
        digest=echo.optional_text("digest", chars_max=256),
        opaque=None if opaque is None else decode_json_slot(opaque, echo.path("opaque")),
        description=echo.optional_text("description", chars_max=TEXT_CHARS_MAX, empty=True),
        header=echo.optional_text("header", chars_max=64),
    )
