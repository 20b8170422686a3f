"""Between a user's own HTTP library (httpx2 or httpx) and the steps of a dance."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx2

from aisa.money import Amount
from aisa.sdk.answer import Answer
from aisa.sdk.call import Call, prepare_headers
from aisa.sdk.desk import TIMEOUT_S_DEFAULT
from aisa.sdk.place import place_of
from aisa.sdk.step import Lost, Reply, Send

PAYMENT: Final = "aisa_payment"


def library_of(request: httpx2.Request) -> Any:
    """Return the library that the caller's client is from; httpx is never imported before it is."""
    return importlib.import_module(type(request).__module__.partition(".")[0])


def call_of(request: httpx2.Request, content: bytes, now_ms: int, price_max: Amount | None) -> Call:
    """Return a client's request as a call."""
    # Content that is read is sent whole: its length replaces chunked coding.
    left_out = {"accept-encoding", "transfer-encoding"}
    headers = {n: v for n, v in request.headers.items() if n.lower() not in left_out}
    if content:
        headers["content-length"] = str(len(content))
    timeouts = cast("Mapping[str, float | None]", request.extensions.get("timeout", {}))
    seconds = timeouts.get("read") or TIMEOUT_S_DEFAULT
    return Call(
        request.method,
        place_of(request.url),
        prepare_headers(headers),
        content,
        now_ms + int(seconds * 1000),
        seconds,
        price_max,
    )


def request_of(library: Any, step: Send, original: httpx2.Request) -> Any:
    """Return the client library's request for a step."""
    extensions = {
        **original.extensions,
        "timeout": dict.fromkeys(("connect", "read", "write", "pool"), step.timeout_s),
    }
    return library.Request(
        step.method,
        step.native or step.url,
        headers=step.headers,
        content=step.content or None,
        extensions=extensions,
    )


def lost(library: Any, error: Exception) -> Lost:
    """Return what a transport's error says about the request."""
    never_sent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout)
    return Lost(is_sent=not isinstance(error, never_sent), reason=type(error).__name__)


def reply_of(response: Any, content: bytes | None) -> Reply:
    """Return a response whose body was read, or was too long for that."""
    challenges = tuple(response.headers.get_list("WWW-Authenticate"))
    status, headers = response.status_code, response.headers
    return Reply(status, headers, content or b"", challenges, is_cut=content is None)


def response_of(library: Any, answer: Answer) -> Any:
    """Return an answer as the client library's response."""
    extensions = {} if answer.payment is None else {PAYMENT: answer.payment}
    return library.Response(
        answer.status,
        headers=cast("Any", answer.headers),
        content=answer.content,
        extensions=extensions,
    )
