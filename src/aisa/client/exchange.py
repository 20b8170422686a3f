"""From a call to an HTTP request and back, without sending it: what both clients share."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx2

from aisa.client.call import ANSWER_BYTES_MAX, Call
from aisa.errors import ConfigInvalid, MalformedMessage, NodeUnavailable, RedirectRefused
from aisa.identity import Signer
from aisa.protocol import base64url
from aisa.protocol.httpsig import SignatureParams, sign_request
from aisa.protocol.problem import error_of, parse_problem

T = TypeVar("T")

TIMEOUT_S_DEFAULT: Final = 30.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def wall_clock_ms() -> int:
    """Unix time in milliseconds; the default where nobody passes a clock."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - the outermost default, replaced in tests


def random_nonce() -> str:
    """A nonce that nobody used before."""
    return secrets.token_urlsafe(18)


def origin_of(url: str) -> str:
    """Return `scheme://host[:port]` of a node's URL, in the one spelling that is signed.

    Raises:
        ConfigInvalid: it is not an http or https URL of a host alone.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigInvalid(f"node URL {url[:80]!r} is malformed") from None
    if parts.scheme not in _DEFAULT_PORTS or not host or not host.isascii():
        raise ConfigInvalid(f"node URL {url[:80]!r} is not http:// or https:// and a host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise ConfigInvalid(f"node URL {url[:80]!r} has more than a host and a port")
    name = f"[{host}]" if ":" in host else host
    suffix = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{name}{suffix}"


def is_loopback(origin: str) -> bool:
    """Whether an origin is this machine, where no proxy stands between."""
    host = urlsplit(origin).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to send."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """How one client speaks with one node; `signer` None allows unsigned calls only."""

    origin: str
    signer: Signer | None
    clock: Callable[[], int]
    nonce: Callable[[], str]

    def prepare(self, call: Call[T]) -> Prepared:
        """Return the request of a call, signed anew.

        Raises:
            ConfigInvalid: the call must be signed and there is no key.
        """
        url = self.origin + call.target
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if call.body:
            headers["content-type"] = "application/json"
        if call.signed:
            if self.signer is None:
                raise ConfigInvalid("this call must be signed, and the client has no key")
            keyid = base64url.encode(self.signer.public_key)
            params = SignatureParams(keyid, self.clock() // 1000, self.nonce())
            headers |= sign_request(call.method, url, call.body, params, self.signer.sign)
        return Prepared(call.method, url, headers, call.body)

    def read(self, call: Call[T], status: int, body: bytes) -> T:
        """Return what the answer says.

        Raises:
            AisaError: the class that the node's problem names.
            NodeUnavailable: a server error that is not the node's own.
        """
        if status == 200:
            return call.parse(body)
        if 300 <= status < 400:
            raise RedirectRefused(f"the node answered {status}; it is not followed")
        try:
            problem = parse_problem(body, status=status)
        except MalformedMessage:
            if status >= 500:
                raise NodeUnavailable(f"the node answered {status} without a problem") from None
            raise
        raise error_of(problem)

    def unavailable(self, error: Exception) -> NoReturn:
        """Raise NodeUnavailable for a transport's error."""
        kind = type(error).__name__
        raise NodeUnavailable(
            f"the node at {self.origin} does not answer ({kind})",
            hint="nothing was decided; repeat with the same id",
        ) from error


def collect(chunks: Iterable[bytes], so_far: bytearray) -> None:
    """Add chunks to a bounded body.

    Raises:
        MalformedMessage: it grew beyond the largest answer.
    """
    for chunk in chunks:
        so_far += chunk
        if len(so_far) > ANSWER_BYTES_MAX:
            raise MalformedMessage(f"the node's answer is longer than {ANSWER_BYTES_MAX} bytes")


TRANSPORT_ERRORS: Final = (httpx2.TransportError, httpx2.StreamError)
"""What a transport may raise before there is a whole answer."""
