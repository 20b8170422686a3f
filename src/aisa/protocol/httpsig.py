"""HTTP message signatures (RFC 9421) in AISA's one profile, and content digests (RFC 9530).

Covered: `@method`, `@target-uri`, `content-digest`, in this order. Parameters: `created`, `nonce`,
`keyid`, `alg="ed25519"`, `tag="aisa"`. Signatures of other tags beside it are passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.errors import SignatureInvalid
from aisa.protocol.strictjson import malformed
from aisa.protocol.structuredfield import (
    Dictionary,
    InnerList,
    Item,
    Parameters,
    format_dictionary,
    parse_dictionary,
)

SIGNATURE_INPUT: Final = "Signature-Input"
SIGNATURE: Final = "Signature"
CONTENT_DIGEST: Final = "Content-Digest"
COMPONENTS: Final = ("@method", "@target-uri", "content-digest")
ALGORITHM: Final = "ed25519"
TAG: Final = "aisa"
LABEL: Final = "aisa"
WINDOW_S: Final = 300
"""How far `created` may lie from the receiver's clock; a nonce is kept until `created` and this."""

SIGNATURE_SIZE: Final = 64
URI_CHARS_MAX: Final = 8 * 1024

_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}", re.ASCII)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+")
_NAME: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
_NAMES: Final = ("created", "nonce", "keyid", "alg", "tag")

Sign: TypeAlias = "Callable[[bytes], bytes]"
Verify: TypeAlias = "Callable[[bytes, bytes, bytes], bool]"


@dataclass(frozen=True, slots=True)
class SignatureParams:
    """Who signs (`keyid`), when (unix seconds) and under which nonce.

    `order` is the order of the parameters as sent, which the signature covers.

    Raises:
        MalformedMessage: a name has characters outside visible ASCII, or is too long.
    """

    keyid: str
    created_s: int
    nonce: str
    order: tuple[str, ...] = _NAMES

    def __post_init__(self) -> None:
        for name, text in (("keyid", self.keyid), ("nonce", self.nonce)):
            if _NAME.fullmatch(text) is None:
                raise malformed(f"signature.{name}", "is not 1 to 128 visible characters")
        if not 0 <= self.created_s < 2**40:
            raise malformed("signature.created", "is not a time in unix seconds")
        if sorted(self.order) != sorted(_NAMES):
            raise malformed(
                "signature", f"does not have exactly the parameters {', '.join(_NAMES)}"
            )

    def inner_list(self) -> InnerList:
        """Return the value of `@signature-params`."""
        values = {
            "created": self.created_s,
            "nonce": self.nonce,
            "keyid": self.keyid,
            "alg": ALGORITHM,
            "tag": TAG,
        }
        items = tuple(Item(name) for name in COMPONENTS)
        return InnerList(items, tuple((name, values[name]) for name in self.order))


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """What a request's `Signature-Input` and `Signature` say under tag `aisa`."""

    label: str
    params: SignatureParams
    signature: bytes

    def headers(self) -> dict[str, str]:
        """Return the two header fields."""
        return {
            SIGNATURE_INPUT: format_dictionary({self.label: self.params.inner_list()}),
            SIGNATURE: format_dictionary({self.label: Item(self.signature)}),
        }


def content_digest(body: bytes) -> str:
    """Return the `Content-Digest` of the body, SHA-256; an empty body has one too."""
    return format_dictionary({"sha-256": Item(hashlib.sha256(body).digest())})


def check_content_digest(value: str, body: bytes) -> None:
    """Check that the header names this body's SHA-256; other algorithms beside it are ignored.

    Raises:
        MalformedMessage: the header does not follow the grammar or has no sha-256.
        SignatureInvalid: the body is another one.
    """
    member = parse_dictionary(value, CONTENT_DIGEST).get("sha-256")
    if not (isinstance(member, Item) and isinstance(member.value, bytes)):
        raise malformed(CONTENT_DIGEST, "has no sha-256")
    if not hmac.compare_digest(member.value, hashlib.sha256(body).digest()):
        raise SignatureInvalid("the body is not the one that was signed")


def signature_base(components: Sequence[tuple[str, str]], params: InnerList) -> bytes:
    """Return the bytes that RFC 9421 signs for these component values.

    Raises:
        MalformedMessage: a value has a control character or is not ASCII.
    """
    lines: list[str] = []
    for name, value in components:
        # A line break in a value would let one component pass for another.
        if not (value.isascii() and value.replace("\t", " ").isprintable()):
            raise malformed(name, "has a character that cannot be signed")
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {params.format()}')
    return "\n".join(lines).encode("ascii")


def signing_base(method: str, target_uri: str, digest: str, params: SignatureParams) -> bytes:
    """Return the bytes to sign: `digest` is the `Content-Digest` value as it is sent.

    Raises:
        MalformedMessage: the method is not a token, or the target is not an absolute URI.
    """
    if _METHOD.fullmatch(method) is None:
        raise malformed("@method", "is not a method")
    if len(target_uri) > URI_CHARS_MAX or _URI.fullmatch(target_uri) is None:
        raise malformed("@target-uri", "is not an absolute URI of visible ASCII, at most 8 KiB")
    values = (method, target_uri, digest)
    return signature_base(tuple(zip(COMPONENTS, values, strict=True)), params.inner_list())


def sign_request(
    method: str, target_uri: str, body: bytes, params: SignatureParams, sign: Sign
) -> dict[str, str]:
    """Return the header fields to add: `Content-Digest`, `Signature-Input`, `Signature`.

    Raises:
        MalformedMessage: as `signing_base`.
    """
    digest = content_digest(body)
    signature = sign(signing_base(method, target_uri, digest, params))
    return {
        CONTENT_DIGEST: digest,
        **RequestSignature(LABEL, params, signature).headers(),
    }


def parse_signature(signature_input: str, signature: str) -> RequestSignature:
    """Read the one signature of tag `aisa`; nothing is verified here.

    Raises:
        MalformedMessage: a header breaks the grammar, or the signature is not in the profile.
        SignatureInvalid: there is no signature of this tag.
    """
    inputs = parse_dictionary(signature_input, SIGNATURE_INPUT)
    label, member = _tagged(inputs)
    if member.items != tuple(Item(name) for name in COMPONENTS):
        raise malformed(SIGNATURE_INPUT, f"does not cover exactly {', '.join(COMPONENTS)}")
    made = parse_dictionary(signature, SIGNATURE).get(label)
    if not (isinstance(made, Item) and isinstance(made.value, bytes)):
        raise malformed(SIGNATURE, f"has no signature called {label!r}")
    if len(made.value) != SIGNATURE_SIZE:
        raise malformed(SIGNATURE, f"is not {SIGNATURE_SIZE} bytes")
    return RequestSignature(label, _params(member.parameters), made.value)


def check_window(params: SignatureParams, now_s: int, *, window_s: int = WINDOW_S) -> None:
    """Check that the signature was made about now.

    Raises:
        SignatureInvalid: `created` is further from `now_s` than the window.
    """
    if abs(now_s - params.created_s) > window_s:
        raise SignatureInvalid(
            f"the signature was made {now_s - params.created_s} s ago by this clock",
            hint="compare the two machines' clocks",
            now_s=now_s,
        )


def verify_request(
    method: str,
    target_uri: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    key_of: Callable[[str], bytes],
    verify: Verify,
    now_s: int,
) -> SignatureParams:
    """Check a signed request and return who signed it; the caller then refuses a repeated nonce.

    `headers` are by lower-case name; `key_of` gives the public key of a keyid, and raises what it
    likes for one it does not know.

    Raises:
        SignatureInvalid: a header is missing, or digest, time or signature is wrong.
        MalformedMessage: a header breaks the grammar, or the signature is not in the profile.
    """
    values = [headers.get(name.lower()) for name in (SIGNATURE_INPUT, SIGNATURE, CONTENT_DIGEST)]
    signature_input, signature, digest = values
    if signature_input is None or signature is None or digest is None:
        raise SignatureInvalid(
            f"the request lacks {SIGNATURE_INPUT}, {SIGNATURE} or {CONTENT_DIGEST}"
        )
    parsed = parse_signature(signature_input, signature)
    check_window(parsed.params, now_s)
    check_content_digest(digest, body)
    base = signing_base(method, target_uri, digest, parsed.params)
    if not verify(key_of(parsed.params.keyid), base, parsed.signature):
        raise SignatureInvalid("the signature does not verify", keyid=parsed.params.keyid)
    return parsed.params


def _tagged(inputs: Dictionary) -> tuple[str, InnerList]:
    found = [
        (label, member)
        for label, member in inputs.items()
        if isinstance(member, InnerList) and dict(member.parameters).get("tag") == TAG
    ]
    if len(found) != 1:
        raise SignatureInvalid(f"the request has {len(found)} signatures of tag {TAG!r}, not one")
    return found[0]


def _params(parameters: Parameters) -> SignatureParams:
    values = dict(parameters)
    created, nonce, keyid = values.get("created"), values.get("nonce"), values.get("keyid")
    if values.get("alg") != ALGORITHM:
        raise malformed("signature.alg", f"is not {ALGORITHM}")
    if isinstance(created, bool) or not isinstance(created, int):
        raise malformed("signature.created", "is missing or not an integer")
    if not isinstance(nonce, str) or not isinstance(keyid, str):
        raise malformed("signature.nonce", "or keyid is missing or not a string")
    return SignatureParams(keyid, created, nonce, tuple(values))
