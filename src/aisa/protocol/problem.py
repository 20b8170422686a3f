"""Problems (RFC 9457): every deliberate error as JSON on the wire, and back into the same class.

`slug` decides which class a problem is. The `type` of an error that answers with 402 is the one
that MPP names for it, so that another project's client understands it too; every other type is
`urn:aisa:problem:<slug>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from aisa.errors import (
    AisaError,
    BodyTooLarge,
    Conflict,
    Fact,
    HeadTooLarge,
    Internal,
    InvalidRequest,
    NotAllowed,
    NotFound,
    PaymentRequired,
    RateLimited,
    Unauthenticated,
    Unprocessable,
    class_by_slug,
)
from aisa.protocol.strictjson import (
    BODY_BYTES_MAX,
    INTEGER_MAX,
    JsonObject,
    JsonValue,
    format_json,
    malformed,
    parse_object,
)

CONTENT_TYPE: Final = "application/problem+json"
URN: Final = "urn:aisa:problem:"
MPP: Final = "https://paymentauth.org/problems/"
TITLE_CHARS_MAX: Final = 256
DETAIL_CHARS_MAX: Final = 4096
FACTS_MAX: Final = 64

_ABOUT_BLANK: Final = "about:blank"
_KNOWN: Final = frozenset({"type", "title", "status", "detail", "instance"})
_FACT_NAME: Final = re.compile(r"(?!(?:self|detail|hint)$)[a-z][a-z0-9_]{0,63}")

MPP_TYPES: Final[Mapping[str, str]] = {
    "payment-required": MPP + "payment-required",
    "challenge-invalid": MPP + "invalid-challenge",
    "channel-unknown": MPP + "verification-failed",
    "voucher-required": MPP + "payment-insufficient",
    "voucher-refused": MPP + "verification-failed",
    "tick-refused": MPP + "verification-failed",
    "price-above-tick": MPP + "payment-insufficient",
    "session-expired": MPP + "payment-expired",
    "lane-closed": MPP + "verification-failed",
    "statement-refused": MPP + "verification-failed",
    "hub-not-listed": MPP + "verification-failed",
    "cap-exceeded": MPP + "payment-required",
    "payment-invalid": MPP + "verification-failed",
    "settlement-pending": MPP + "payment-required",
}
"""The MPP type of each 402 of ours, by slug."""

_SLUG_BY_MPP_TYPE: Final[Mapping[str, str]] = {
    MPP + "payment-required": "payment-required",
    MPP + "payment-insufficient": "payment-required",
    MPP + "payment-expired": "payment-required",
    MPP + "invalid-challenge": "challenge-invalid",
    MPP + "verification-failed": "payment-required",
    MPP + "malformed-credential": "malformed-message",
    MPP + "method-unsupported": "invalid-request",
}

_CLASS_BY_STATUS: Final[Mapping[int, type[AisaError]]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    402: PaymentRequired,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: BodyTooLarge,
    422: Unprocessable,
    429: RateLimited,
    431: HeadTooLarge,
    500: Internal,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document; `extensions` holds the members that RFC 9457 does not name."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    extensions: JsonObject = field(default_factory=dict[str, JsonValue])

    def encode(self) -> bytes:
        """Return the JSON body, to be sent as `application/problem+json`.

        Raises:
            MalformedMessage: it is longer than 64 KiB, or an extension has no JSON form.
        """
        document: dict[str, JsonValue] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.instance:
            document["instance"] = self.instance
        more = {name: value for name, value in self.extensions.items() if name not in _KNOWN}
        raw = format_json({**document, **more}).encode()
        if len(raw) > BODY_BYTES_MAX:
            raise malformed("problem", f"is longer than {BODY_BYTES_MAX} bytes")
        return raw


def problem_of(error: AisaError, *, instance: str = "") -> Problem:
    """Return the problem that says this error; long texts are cut to their bounds."""
    extensions: dict[str, JsonValue] = {"slug": error.slug, "retryable": error.retryable}
    if error.hint:
        extensions["hint"] = _printable(error.hint, DETAIL_CHARS_MAX)
    if error.facts:
        extensions["facts"] = {
            name: _fact_value(value) for name, value in list(error.facts.items())[:FACTS_MAX]
        }
    return Problem(
        type=MPP_TYPES.get(error.slug, URN + error.slug),
        title=error.title,
        status=error.status,
        detail=_printable(error.detail, DETAIL_CHARS_MAX),
        instance=instance,
        extensions=extensions,
    )


def parse_problem(body: bytes, *, status: int = 500) -> Problem:
    """Read a problem document; `status` is the response's own, for one that does not say.

    As RFC 9457 asks, a member of another type than specified counts as absent.

    Raises:
        MalformedMessage: it is not a JSON object, longer than 64 KiB, or a text is too long.
    """
    document = parse_object(body, "problem", bytes_max=BODY_BYTES_MAX)
    said = document.get("status")
    is_status = isinstance(said, int) and not isinstance(said, bool) and 100 <= said <= 599
    return Problem(
        type=_text(document, "type", TITLE_CHARS_MAX) or _ABOUT_BLANK,
        title=_text(document, "title", TITLE_CHARS_MAX),
        status=cast("int", said) if is_status else status,
        detail=_text(document, "detail", DETAIL_CHARS_MAX),
        instance=_text(document, "instance", DETAIL_CHARS_MAX),
        extensions={name: value for name, value in document.items() if name not in _KNOWN},
    )


def error_of(problem: Problem, facts: Mapping[str, Fact] | None = None) -> AisaError:
    """Return the error that the problem says: the same class, detail, hint and facts.

    `facts` are added, such as `retry_after_s` from the response's header. A problem of another
    project becomes the class that its MPP type or its status stands for.
    """
    members = problem.extensions.get("facts")
    said = {**_facts(members if isinstance(members, Mapping) else {}), **(facts or {})}
    hint = problem.extensions.get("hint")
    return _class_of(problem)(
        problem.detail or problem.title, hint=hint if isinstance(hint, str) else "", **said
    )


def _class_of(problem: Problem) -> type[AisaError]:
    slug = problem.extensions.get("slug")
    if not isinstance(slug, str):
        slug = _SLUG_BY_MPP_TYPE.get(problem.type, problem.type.removeprefix(URN))
    found = class_by_slug(slug)
    if found is AisaError:
        return _CLASS_BY_STATUS.get(problem.status, AisaError)
    return found


def _facts(members: JsonObject) -> dict[str, Fact]:
    # Names are checked: one such as `detail` would clash with the error's own arguments.
    return {
        name: value
        for name, value in list(members.items())[:FACTS_MAX]
        if _FACT_NAME.fullmatch(name) and isinstance(value, (str, int))
    }


def _text(document: JsonObject, name: str, chars_max: int) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        return ""
    if len(value) > chars_max:
        raise malformed(f"problem.{name}", f"is longer than {chars_max} characters")
    return value


def _fact_value(value: Fact) -> Fact:
    if isinstance(value, str):
        return _printable(value, DETAIL_CHARS_MAX)
    # Readers keep integers exactly only up to 2^53 - 1; a larger one is told as text.
    return value if abs(value) <= INTEGER_MAX else str(value)


def _printable(text: str, chars_max: int) -> str:
    """Cut the text, and replace what has no UTF-8 form: telling an error must not fail."""
    return text[:chars_max].encode("utf-8", "replace").decode("utf-8")
