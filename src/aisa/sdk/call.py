"""One call that an agent was asked to make, ready to be digested and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from aisa.errors import InvalidRequest
from aisa.money import Amount
from aisa.protocol.aip.tick import EMPTY_BODY_DIGEST, request_digest
from aisa.sdk.step import Send

OWN_HEADERS: Final = frozenset(
    {"payment-tick", "payment-voucher", "payment-authorization", "payment-signature"}
)
PLAIN_ENCODING: Final = {"Accept-Encoding": "identity"}
"""The receipt names the digest of the body as the seller's application wrote it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A URL as the HTTP client at hand will write it: `target` is the request line's."""

    url: str
    origin: str
    path: str
    target: bytes
    native: object = field(default=None, compare=False, repr=False)


class Call(msgspec.Struct):
    """A request, and the caller's wishes for it; `deadline_ms` is on the agent's clock."""

    method: str
    place: Place
    headers: Mapping[str, str]
    content: bytes
    deadline_ms: int
    timeout_s: float
    price_max: Amount | None = None
    call_id: str = ""
    is_known: bool = False
    """Whether the wallet keeps the call's id already."""
    _digest: bytes = b""

    @property
    def digest(self) -> bytes:
        """The digest that a tick pays for."""
        if not self._digest:
            body = sha256(self.content).digest() if self.content else EMPTY_BODY_DIGEST
            self._digest = request_digest(
                self.method.encode(), self.place.origin.encode(), self.place.target, body
            )
        return self._digest

    def request(self, payment: Mapping[str, str] | None, now_ms: int) -> Send:
        """Return the request with these payment headers."""
        left_s = max(0.05, (self.deadline_ms - now_ms) / 1000)
        headers = {**self.headers, **payment} if payment else self.headers
        place = self.place
        return Send(self.method, place.url, headers, self.content, left_s, place.native)


def prepare_headers(
    headers: Mapping[str, str] | None, *, content_type: str = ""
) -> Mapping[str, str]:
    """Return the caller's headers with ours around them.

    Raises:
        InvalidRequest: a header is one that the agent itself sets.
    """
    if not headers:
        if not content_type:
            return PLAIN_ENCODING
        return {**PLAIN_ENCODING, "Content-Type": content_type}
    names = {name.lower() for name in headers}
    if names & OWN_HEADERS:
        raise InvalidRequest(f"{min(names & OWN_HEADERS)} is set by the agent itself")
    merged = dict(headers)
    if "accept-encoding" not in names:
        merged.update(PLAIN_ENCODING)
    if content_type and "content-type" not in names:
        merged["Content-Type"] = content_type
    return merged


def encode_content(content: bytes | str | None, json: object | None) -> tuple[bytes, str]:
    """Return the body and the content type that it implies.

    Raises:
        InvalidRequest: both are given, or the value has no JSON form.
    """
    if json is not None:
        if content is not None:
            raise InvalidRequest("give content or json, not both")
        try:
            return msgspec.json.encode(json), "application/json"
        except (TypeError, msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise InvalidRequest(f"json has no JSON form: {error}") from error
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return content or b"", ""
