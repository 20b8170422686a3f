"""One call of the node's HTTP API as a value: what to send, and how to read the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from aisa.client.shape import decode, encode

T = TypeVar("T")

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """`target` is the path with its query, as it stands in the request line."""

    method: str
    target: str
    body: bytes
    signed: bool
    parse: Callable[[bytes], T]


def _parser(answer: type[T], what: str) -> Callable[[bytes], T]:
    return lambda raw: decode(answer, raw, what, bytes_max=ANSWER_BYTES_MAX, allow_unknown=True)


def get(answer: type[T], path: str, *, signed: bool = True, **query: str | int | None) -> Call[T]:
    """Describe a GET; a query value of None is left out."""
    pairs = urlencode({name: value for name, value in query.items() if value is not None})
    target = f"{path}?{pairs}" if pairs else path
    return Call("GET", target, b"", signed, _parser(answer, "answer"))


def post(answer: type[T], path: str, message: object) -> Call[T]:
    """Describe a signed POST of a message."""
    return Call("POST", path, encode(message), True, _parser(answer, "answer"))
