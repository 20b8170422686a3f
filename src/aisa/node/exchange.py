"""From a request to a message and from a message to a response: bounded, signed, strict."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from fastapi import Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from aisa.client.shape import decode, encode
from aisa.errors import BodyTooLarge, InvalidRequest, NotFound
from aisa.node.services import Services

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
After = Annotated[str | None, Query(max_length=200, description="the last page's next_after")]
LIMIT_DEFAULT: Final = 100

REPEATABLE_POSTS: Final = frozenset(
    {
        "/v1/channels",  # by its id, and by the channel
        "/v1/channels/{channel}/close",  # a closing channel stays as it is
        "/v1/channels/{channel}/deposits",  # by its id
        "/v1/deposit-addresses",  # one address for one key
        "/v1/redemptions",  # by channel and total
        "/v1/withdrawal-quotes",  # moves nothing
        "/v1/withdrawals",  # by its id
        "/x402/settle",  # by the payer's nonce
        "/x402/verify",  # moves nothing
    }
)
"""Routes where the same signed request twice moves nothing twice; so is every GET.

Only these are taken when no nonce can be remembered: a new POST is refused until it is named here.
"""


def reply(message: object) -> Response:
    """Return a message as a response that nobody may cache."""
    return Response(
        encode(message), media_type="application/json", headers={"cache-control": "no-store"}
    )


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the request's body.

    Raises:
        BodyTooLarge: it is longer than allowed, by its header or in fact.
    """
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
    except ClientDisconnect:
        raise InvalidRequest("the client left before its body was read") from None
    return bytes(body)


async def caller_of(services: Services, request: Request) -> tuple[bytes, bytes]:
    """Return the key that signed a request, and the body that it signed.

    Raises:
        SignatureInvalid: the request does not prove who sends it.
        BodyTooLarge: the body is longer than allowed.
        RateLimited: a key that owns nothing here asks too often.
    """
    body = await read_body(request, services.config.body_bytes_max)
    headers = dict(request.headers)
    key = await services.authenticator.authenticate(
        request.method,
        _target(request),
        body,
        headers,
        peer=peer_of(request),
        is_repeatable=request.method == "GET" or _template(request) in REPEATABLE_POSTS,
    )
    return key, body


def peer_of(request: Request) -> str:
    """Return the address that a request came from; behind a proxy, the proxy's."""
    return request.client.host if request.client is not None else ""


async def signed_message(services: Services, request: Request, shape: type[T]) -> tuple[bytes, T]:
    """Return the caller's key and the message in the body.

    Raises:
        SignatureInvalid: the request does not prove who sends it.
        InvalidRequest: the body is not such a message; names the field.
    """
    key, body = await caller_of(services, request)
    return key, decode(shape, body, "body", bytes_max=services.config.body_bytes_max)


def channel_in(path: str) -> bytes:
    """Return the channel id in a path.

    Raises:
        NotFound: it is not 64 hex digits, so there is no such channel.
    """
    try:
        channel = bytes.fromhex(path)
    except ValueError:
        channel = b""
    if len(channel) != 32 or channel.hex() != path:
        raise NotFound("a channel id is 64 lower-case hex digits")
    return channel


def _target(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope.get("query_string", b"")
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")
    return target.decode("ascii", "replace")


def _template(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "")


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than {bytes_max} bytes", bytes_max=bytes_max)
