"""OpenAPI from the same dataclasses that client and node read and write."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, cast

from aisa.client.shape import Hint, Size, TextRule, UnitsRange, fields_of, hint_of
from aisa.protocol.aip import Voucher
from aisa.protocol.problem import CONTENT_TYPE

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem (RFC 9457); `slug` names the error class, `facts` are for machines.",
    "required": ["type", "title", "status", "detail", "slug"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "slug": {"type": "string"},
        "hint": {"type": "string"},
        "retryable": {"type": "boolean"},
        "facts": {"type": "object"},
    },
}
_SIGNATURE: Final[dict[str, Any]] = {
    "type": "http",
    "scheme": "signature",
    "description": "RFC 9421 over @method, @target-uri and content-digest, by the account's key; "
    "keyid is the base64url of the key, tag is aisa.",
}


def described(answer: Any, request: Any = None, *, signed: bool = True) -> dict[str, Any]:
    """Return the keyword arguments that describe a route to FastAPI."""
    extra: dict[str, Any] = {"security": [{"signature": []}] if signed else []}
    if request is not None:
        content = {"application/json": {"schema": _schema(hint_of(request))}}
        extra["requestBody"] = {"required": True, "content": content}
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "response_model": None,
        "openapi_extra": extra,
        "responses": {
            200: {
                "description": "Done",
                "content": {"application/json": {"schema": _schema(hint_of(answer))}},
            },
            "default": {"description": "A problem", "content": problem},
        },
    }


def components(roots: Iterable[Any]) -> dict[str, Any]:
    """Return the component schemas of these messages and of all that they contain."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    waiting = [hint_of(root) for root in roots]
    while waiting:
        plain = waiting.pop().plain
        if typing.get_origin(plain) is tuple:
            waiting.append(hint_of(typing.get_args(plain)[0]))
        elif dataclasses.is_dataclass(plain):
            cls = cast("type", plain)
            if cls is not Voucher and cls.__name__ not in schemas:
                schemas[cls.__name__] = _object(cls)
                waiting += [hint for _, hint, _ in fields_of(cls)]
    return dict(sorted(schemas.items()))


def security_schemes() -> dict[str, Any]:
    """Return how requests prove who sends them."""
    return {"signature": _SIGNATURE}


def _object(cls: type) -> dict[str, Any]:
    members = fields_of(cls)
    return {
        "type": "object",
        "description": inspect.getdoc(cls) or "",
        "required": [name for name, hint, lacks in members if not (lacks or hint.optional)],
        "properties": {name: _schema(hint) for name, hint, _ in members},
    }


def _schema(hint: Hint) -> dict[str, Any]:
    plain, mark = hint.plain, hint.mark
    if isinstance(mark, UnitsRange):
        return {
            "type": "string",
            "pattern": "^(0|[1-9][0-9]{0,18})$",
            "description": f"whole units, from {mark.low} to 2^63 - 1",
        }
    if typing.get_origin(plain) is tuple:
        array: dict[str, Any] = {
            "type": "array",
            "items": _schema(hint_of(typing.get_args(plain)[0])),
        }
        return {**array, "maxItems": mark.count} if isinstance(mark, Size) else array
    if plain is Voucher:
        return {"type": "string", "description": "base64url of a voucher's 114 bytes"}
    if dataclasses.is_dataclass(plain):
        return {"$ref": f"#/components/schemas/{cast('type', plain).__name__}"}
    if issubclass(plain, Enum):
        return {"type": "string", "enum": [member.value for member in plain]}
    if plain is bytes:
        size = mark.count if isinstance(mark, Size) else 0
        return {"type": "string", "description": f"base64url of {size} bytes"}
    if plain is str and isinstance(mark, TextRule):
        return {"type": "string", "pattern": f"^{mark.pattern}$"}
    return {"type": {str: "string", int: "integer", bool: "boolean"}[plain]}
