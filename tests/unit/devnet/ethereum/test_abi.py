"""Arguments as contracts read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisa.devnet.ethereum.abi import address_at, argument_types, encode

ADDRESS = "0x" + "Ab" * 20


def words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def test_static_arguments_follow_one_another() -> None:
    data = encode(["uint256", "bool", "address", "uint8"], [7, True, ADDRESS, 255])
    assert words(data) == [7, 1, int("ab" * 20, 16), 255]


def test_what_has_no_fixed_length_comes_after_the_rest() -> None:
    data = encode(["string", "uint8", "bytes"], ["USD", 6, b"\1" * 33])
    assert words(data)[:4] == [96, 6, 160, 3]
    assert data[128:131] == b"USD"
    assert words(data)[5] == 33
    assert data[192:225] == b"\1" * 33
    assert len(data) == 256


def test_lists_and_short_bytes() -> None:
    data = encode(["address[]", "bytes4[]", "bytes32"], [[], [b"\1\2\3\4"], b"\5" * 32])
    assert words(data)[:3] == [96, 128, int("05" * 32, 16)]
    assert words(data)[3:] == [0, 1, int("01020304".ljust(64, "0"), 16)]


def test_a_list_of_texts_points_into_itself() -> None:
    data = encode(["string[]"], [["a", "bc"]])
    assert words(data)[:4] == [32, 2, 64, 128]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint256", -1),
        ("uint256", "1"),
        ("address", 1),
        ("bool", "yes"),
        ("bytes4", b"\1"),
        ("tuple", 1),
        ("string", 1),
        ("bytes", "0x"),
        ("address[]", ADDRESS),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=kind.replace("[]", "")):
        encode([kind], [value])  # type: ignore[list-item]


def test_as_many_values_as_types() -> None:
    with pytest.raises(ValueError, match="2 arguments"):
        encode(["uint8", "uint8"], [1])


def test_a_signature_tells_its_types() -> None:
    assert argument_types("totalSupply()") == []
    assert argument_types("mint(address,uint256)") == ["address", "uint256"]
    assert address_at("0x" + "0" * 24 + "AB" * 20) == "0x" + "ab" * 20


@given(st.lists(st.tuples(st.integers(0, 2**256 - 1), st.binary(max_size=100))))
def test_every_encoding_is_whole_words(values: list[tuple[int, bytes]]) -> None:
    kinds = ["uint256", "bytes"] * len(values)
    data = encode(kinds, [part for value in values for part in value])
    assert len(data) % 32 == 0
    assert words(data)[: 2 * len(values) : 2] == [number for number, _ in values]
