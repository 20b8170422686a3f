"""Challenge: what a 402 demands, one per offer, with an id that needs no memory to check."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.authscheme import TOKEN, SchemeChallenge, quote, split_challenges
from aisa.protocol.strictjson import JsonObject, malformed, parse_object
from aisa.protocol.timestamp import parse_timestamp

WWW_AUTHENTICATE: Final = "WWW-Authenticate"
AUTHORIZATION: Final = "Authorization"
PAYMENT_AUTHORIZATION: Final = "Payment-Authorization"
CHALLENGES_MAX: Final = 16
REQUEST_BYTES_MAX: Final = 8 * 1024
TEXT_CHARS_MAX: Final = 1024

_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_METHOD: Final = re.compile(r"[a-z][a-z0-9:_-]{0,63}")
_INTENT: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DIGEST: Final = re.compile(r"[a-z0-9-]{1,32}=:?[A-Za-z0-9+/]{1,128}={0,2}:?")
_PAYMENT: Final = re.compile(r"(?:^|,)[ \t]*payment(?:[ \t,]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One offer of the `Payment` scheme.

    `request` and `opaque` are JSON objects as bytes, kept as they were sent; `expires` is RFC 3339.
    `header` names the field that the credential is to ride in, None for `Authorization`.

    Raises:
        MalformedMessage: a field breaks the grammar; names it.
    """

    id: str
    realm: str
    method: str
    intent: str
    request: bytes
    expires: str | None = None
    digest: str | None = None
    opaque: bytes | None = None
    description: str | None = None
    header: str | None = None

    def __post_init__(self) -> None:
        _match(self.id, _ID, "challenge.id")
        _match(self.method, _METHOD, "challenge.method")
        _match(self.intent, _INTENT, "challenge.intent")
        _text(self.realm, "challenge.realm")
        # A bar would let a forger move text from one slot of the id to the next.
        if "|" in self.realm or not self.realm:
            raise malformed("challenge.realm", "is empty or has a bar")
        parse_object(self.request, "challenge.request", bytes_max=REQUEST_BYTES_MAX)
        if self.expires is not None:
            parse_timestamp(self.expires, "challenge.expires")
        if self.digest is not None:
            _match(self.digest, _DIGEST, "challenge.digest")
        if self.opaque is not None:
            parse_object(self.opaque, "challenge.opaque", bytes_max=REQUEST_BYTES_MAX)
        if self.description is not None:
            _text(self.description, "challenge.description")
        self._check_header()

    @property
    def credential_header(self) -> str:
        """The name of the field that carries the credential."""
        return self.header or AUTHORIZATION

    @property
    def expires_at_s(self) -> int | None:
        """When the challenge ends, in unix seconds; None when it does not say."""
        return None if self.expires is None else parse_timestamp(self.expires, "challenge.expires")

    def request_object(self) -> JsonObject:
        """Return the method's own part of the offer."""
        return parse_object(self.request, "challenge.request", bytes_max=REQUEST_BYTES_MAX)

    def is_issued_by(self, secret: bytes) -> bool:
        """Whether the id is the one that the holder of `secret` gave to exactly these terms."""
        return hmac.compare_digest(self.id.encode(), _id_of(self, secret).encode())

    def format(self) -> str:
        """Return the `WWW-Authenticate` value; ASCII, parameters in a fixed order."""
        pairs = [
            ("id", self.id),
            ("realm", self.realm),
            ("method", self.method),
            ("intent", self.intent),
            ("request", base64url.encode(self.request)),
            ("digest", self.digest),
            ("expires", self.expires),
            ("description", self.description),
            ("header", self.header),
            ("opaque", None if self.opaque is None else base64url.encode(self.opaque)),
        ]
        return "Payment " + ", ".join(
            f"{name}={quote(text, f'challenge.{name}')}" for name, text in pairs if text is not None
        )

    def _check_header(self) -> None:
        if self.header is None:
            return
        if TOKEN.fullmatch(self.header) is None or "|" in self.header or len(self.header) > 64:
            raise malformed("challenge.header", "is not a field name")
        if self.header.lower() == AUTHORIZATION.lower():
            # The default is never advertised: with it the id would have two spellings.
            object.__setattr__(self, "header", None)


def issue_challenge(  # noqa: PLR0913 - one keyword per slot of the header
    secret: bytes,
    *,
    realm: str,
    method: str,
    intent: str,
    request: bytes,
    expires: str | None = None,
    digest: str | None = None,
    opaque: bytes | None = None,
    description: str | None = None,
    header: str | None = None,
) -> Challenge:
    """Return the challenge with the id that binds it to `secret`; nothing need be stored.

    `request` and `opaque` should be canonical JSON (`jcs.canonical`): peers re-encode them so.

    Raises:
        MalformedMessage: a field breaks the grammar; names it.
    """
    terms = Challenge(
        "unsigned", realm, method, intent, request, expires, digest, opaque, description, header
    )
    return Challenge(
        _id_of(terms, secret),
        realm,
        method,
        intent,
        request,
        expires,
        digest,
        opaque,
        description,
        terms.header,
    )


def parse_challenge(value: str) -> Challenge:
    """Return the one `Payment` challenge of a header value.

    Raises:
        MalformedMessage: there is none, more than one, or it is malformed.
    """
    found = [one for one in split_challenges(value) if one.scheme == "payment"]
    if len(found) != 1:
        raise malformed(WWW_AUTHENTICATE, f"has {len(found)} Payment challenges, not one")
    return _challenge(found[0])


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return every well-formed `Payment` challenge of the header's values, in order.

    Other schemes are passed over, and so is a broken offer while another one is whole: a client
    needs one offer that it understands. Challenges after the 16th are not read.

    Raises:
        MalformedMessage: there are Payment challenges, and all of them are malformed.
    """
    found: list[Challenge] = []
    fault: MalformedMessage | None = None
    for value in values:
        try:
            candidates = split_challenges(value)
        except MalformedMessage as error:
            fault = fault or (error if _PAYMENT.search(value) else None)
            continue
        for candidate in candidates:
            if candidate.scheme == "payment" and len(found) < CHALLENGES_MAX:
                try:
                    found.append(_challenge(candidate))
                except MalformedMessage as error:
                    fault = fault or error
    if fault is not None and not found:
        raise fault
    return tuple(found)


def _challenge(parsed: SchemeChallenge) -> Challenge:
    parameters = parsed.mapping()
    for name in ("id", "realm", "method", "intent", "request"):
        if name not in parameters:
            raise malformed(f"challenge.{name}", "is missing")
    opaque = parameters.get("opaque")
    return Challenge(
        id=parameters["id"],
        realm=parameters["realm"],
        method=parameters["method"],
        intent=parameters["intent"],
        request=decode_json_slot(parameters["request"], "challenge.request"),
        expires=parameters.get("expires"),
        digest=parameters.get("digest"),
        opaque=None if opaque is None else decode_json_slot(opaque, "challenge.opaque"),
        description=parameters.get("description"),
        header=parameters.get("header"),
    )


def decode_json_slot(text: str, what: str) -> bytes:
    """Return the JSON bytes of a base64url slot; that they are an object is checked by Challenge.

    Raises:
        MalformedMessage: it is not unpadded base64url, or too long.
    """
    return base64url.decode(text, what, bytes_max=REQUEST_BYTES_MAX)


def _id_of(challenge: Challenge, secret: bytes) -> str:
    slots = [
        challenge.realm,
        challenge.method,
        challenge.intent,
        base64url.encode(challenge.request),
        challenge.expires or "",
        challenge.digest or "",
    ]
    if challenge.header is not None:
        slots.append(challenge.header)
    slots.append("" if challenge.opaque is None else base64url.encode(challenge.opaque))
    return base64url.encode(hmac.digest(secret, "|".join(slots).encode(), hashlib.sha256))


def _match(text: str, pattern: re.Pattern[str], what: str) -> None:
    if pattern.fullmatch(text) is None:
        raise malformed(what, "is empty, too long, or has characters that do not belong there")


def _text(text: str, what: str) -> None:
    if len(text) > TEXT_CHARS_MAX:
        raise malformed(what, f"is longer than {TEXT_CHARS_MAX} characters")
    quote(text, what)
