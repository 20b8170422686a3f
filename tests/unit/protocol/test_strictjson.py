from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any, cast

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol.jcs import canonical
from aisa.protocol.strictjson import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    INTEGER_MAX,
    format_json,
    parse_json,
    parse_object,
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ("\ufeff{}", "BOM"),
        ('{"a":1,"a":2}', "repeated"),
        ('[{"a":{"b":1,"b":1}}]', "repeated"),
        ("NaN", "NaN is not a number"),
        ("[Infinity]", "Infinity is not a number"),
        ("-Infinity", "not a number"),
        ("1e400", "too large"),
        ("9007199254740992", "2\\^53"),
        ("-9007199254740992", "2\\^53"),
        ("1" * 5_000, "2\\^53"),
        ('"\\ud800"', "not Unicode"),
        ('{"\\udc00":1}', "not Unicode"),
        ('"a\nb"', "control character"),
        ("[" * (DEPTH_MAX + 2) + "]" * (DEPTH_MAX + 2), "deep"),
        ("[" * 30_000, "deep"),
        ("'a'", "Expecting value"),
        ("[1,]", "JSON"),
        ("{} {}", "Extra data"),
    ],
)
def test_what_is_not_strict_json_is_refused(text: str, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why) as refused:
        parse_json(text, "thing")
    assert refused.value.facts == {"field": "thing"}
    assert refused.value.detail.startswith("thing ")


def test_bytes_must_be_utf8_and_short() -> None:
    with pytest.raises(MalformedMessage, match="not UTF-8"):
        parse_json(b'"\xff"')
    with pytest.raises(MalformedMessage, match="not UTF-8"):
        parse_json('{"a":1}'.encode("utf-16-le")[:-1] + b"\xd8")
    with pytest.raises(MalformedMessage, match=f"longer than {BODY_BYTES_MAX}"):
        parse_json(b" " * (BODY_BYTES_MAX + 1))
    assert parse_json(b"1" + b" " * (BODY_BYTES_MAX - 1)) == 1


def test_an_object_is_asked_for() -> None:
    assert parse_object(b'{"a":[]}') == {"a": []}
    with pytest.raises(MalformedMessage, match="not a JSON object"):
        parse_object("[]")


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        INTEGER_MAX + 1,
        "\ud800",
        {1: 2},
        {"a": Decimal(1)},
        {"\udfff": 1},
    ],
)
def test_what_has_no_json_form_is_not_written(value: Any) -> None:
    with pytest.raises(MalformedMessage):
        format_json(value)
    with pytest.raises(MalformedMessage):
        canonical(value)


def test_any_mapping_and_tuple_is_written() -> None:
    from types import MappingProxyType

    assert format_json(MappingProxyType({"b": (1, MappingProxyType({})), "a": None})) == (
        '{"b":[1,{}],"a":null}'
    )


def test_a_float_has_no_canonical_form() -> None:
    with pytest.raises(MalformedMessage, match="float"):
        canonical({"a": [1.0]})


def test_the_deepest_value_that_is_read_is_written_too() -> None:
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert format_json(parse_json(deep)) == deep
    assert canonical(parse_json(deep)) == deep.encode()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 65_536,
        '{"a":' * 13_000,
        '[[{"' + "x" * 9_000 + '":' * 2 + "[" * 5_000,
        "[" * 500 + '"' + '\\"' * 30_000 + "\\",
    ],
)
def test_no_depth_ends_the_process_whatever_a_library_did_to_the_recursion_limit(text: str) -> None:
    code = (
        "import sys; sys.setrecursionlimit(100_000)\n"
        "from aisa.errors import MalformedMessage\n"
        "from aisa.protocol.strictjson import parse_json\n"
        "try: parse_json(sys.stdin.read())\n"
        "except MalformedMessage: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_brackets_in_texts_and_beside_each_other_are_not_depth() -> None:
    beside = "[" + ",".join(["[{}]"] * 2_000) + "]"
    assert len(cast("list[Any]", parse_json(beside))) == 2_000
    inside = '["' + '[\\"{' * 2_000 + '"]'
    assert parse_json(inside) == ['["{' * 2_000]
