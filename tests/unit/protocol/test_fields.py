from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol.fields import Fields

FIELDS = Fields(
    "thing",
    {
        "text": "abc",
        "empty": "",
        "number": 7,
        "yes": True,
        "list": [1, 2],
        "object": {"a": 1},
        "null": None,
    },
)
LETTERS = re.compile("[a-z]+")


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda: FIELDS.text("none", chars_max=9), "thing.none is missing"),
        (lambda: FIELDS.text("null", chars_max=9), "thing.null is missing"),
        (lambda: FIELDS.text("number", chars_max=9), "thing.number is not a string"),
        (lambda: FIELDS.text("text", chars_max=2), "thing.text is longer than 2"),
        (lambda: FIELDS.text("empty", chars_max=2), "thing.empty is empty"),
        (lambda: FIELDS.text("text", chars_max=9, pattern=re.compile("x")), "do not belong"),
        (lambda: FIELDS.integer("none"), "thing.none is missing"),
        (lambda: FIELDS.integer("yes"), "thing.yes is not an integer"),
        (lambda: FIELDS.integer("text"), "thing.text is not an integer"),
        (lambda: FIELDS.integer("number", high=6), "thing.number is not from 0 to 6"),
        (lambda: FIELDS.boolean("none"), "thing.none is missing"),
        (lambda: FIELDS.boolean("number"), "thing.number is not a boolean"),
        (lambda: FIELDS.object("none"), "thing.none is missing"),
        (lambda: FIELDS.object("list"), "thing.list is not an object"),
        (lambda: FIELDS.array("none", items_max=2), "thing.none is missing"),
        (lambda: FIELDS.array("object", items_max=2), "thing.object is not an array"),
        (lambda: FIELDS.array("text", items_max=9), "thing.text is not an array"),
        (lambda: FIELDS.array("list", items_max=1), "thing.list has more than 1 items"),
        (lambda: FIELDS.fields("object").text("b", chars_max=1), "thing.object.b is missing"),
    ],
)
def test_a_refusal_names_the_field(read: Callable[[], Any], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        read()


def test_what_is_there_is_read() -> None:
    assert FIELDS.text("text", chars_max=3, pattern=LETTERS) == "abc"
    assert FIELDS.text("empty", chars_max=3, empty=True) == ""
    assert FIELDS.optional_text("none", chars_max=3) is None
    assert FIELDS.integer("number", low=7, high=7) == 7
    assert FIELDS.boolean("yes") is True
    assert FIELDS.array("list", items_max=2) == (1, 2)
    assert FIELDS.optional_array("none", items_max=2) is None
    assert FIELDS.object("object") == {"a": 1}
    assert FIELDS.optional_object("null") is None
    assert FIELDS.others(frozenset({"text", "empty", "number", "yes"})) == {
        "list": [1, 2],
        "object": {"a": 1},
        "null": None,
    }
