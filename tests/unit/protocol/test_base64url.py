from __future__ import annotations

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol import base64url


@pytest.mark.parametrize(
    "text",
    ["AA==", "AA=", "A", "AB", "AAF", "A A", "AA\n", "+/8", "AA\u00e9", "\u0661A", "A-_!", "="],
)
def test_only_canonical_unpadded_text_is_read(text: str) -> None:
    with pytest.raises(MalformedMessage, match=r"^x "):
        base64url.decode(text, "x", bytes_max=100)


@pytest.mark.parametrize(
    "text", ["AA", "AA=", "AB==", "-_8=", "AAA", "AA==\n", "A===", "AAAA====", "A\u00e9=="]
)
def test_only_canonical_padded_text_is_read(text: str) -> None:
    with pytest.raises(MalformedMessage, match=r"^x "):
        base64url.decode_standard(text, "x", bytes_max=100)


def test_a_long_text_is_refused_before_it_is_decoded() -> None:
    for size in range(1, 8):
        data = bytes(size)
        assert base64url.decode(base64url.encode(data), bytes_max=size) == data
        with pytest.raises(MalformedMessage):
            base64url.decode(base64url.encode(bytes(size + 3)), bytes_max=size)
        with pytest.raises(MalformedMessage, match="longer"):
            base64url.decode_standard(base64url.encode_standard(bytes(size + 3)), bytes_max=size)


def test_an_exact_size_is_asked_for() -> None:
    assert base64url.decode_exact("AAAA", "key", 3) == bytes(3)
    with pytest.raises(MalformedMessage, match="key has 2 bytes, not 3"):
        base64url.decode_exact("AAA", "key", 3)
    with pytest.raises(MalformedMessage, match="key is longer"):
        base64url.decode_exact("AAAAAA", "key", 3)
