from __future__ import annotations

import time

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol.authscheme import (
    PARAMETERS_MAX,
    VALUE_CHARS_MAX,
    SchemeChallenge,
    quote,
    split_challenges,
    unescape,
)


def test_schemes_of_every_shape_are_split() -> None:
    value = (
        ' ,Negotiate, Bearer abc==  ,Basic realm="a, b" , charset = UTF-8,,'
        'L402 version="0", token="AgE=", invoice="lnbc1", X'
    )
    assert split_challenges(value) == (
        SchemeChallenge("negotiate"),
        SchemeChallenge("bearer", token68="abc=="),
        SchemeChallenge("basic", (("realm", "a, b"), ("charset", "UTF-8"))),
        SchemeChallenge("l402", (("version", "0"), ("token", "AgE="), ("invoice", "lnbc1"))),
        SchemeChallenge("x"),
    )
    assert split_challenges("  ") == ()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ('"a"', "without a scheme"),
        ('X a="b', "no value for a"),
        ('X a="b\x00"', "no value for a"),
        ('X a="b\\"', "no value for a"),
        ("X b=c, a=, d=e", "no value for a"),
        ("X a=, b=c", "lacks a comma"),
        ('X a="b" c="d"', "lacks a comma"),
        ("X a=b, A=c", "repeats the parameter a"),
        ("X(", "lacks a comma"),
        ("X " + ", ".join(f"p{i}=1" for i in range(PARAMETERS_MAX + 1)), "more than 32"),
        ("x" * (VALUE_CHARS_MAX + 1), "longer than"),
        ('X a="\ud800"', "not Unicode"),
        ('X a="\\ud800"', "half a character"),
        ('X a="\\u000a"', "control character"),
    ],
)
def test_broken_values_are_refused(value: str, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        split_challenges(value)


def test_a_name_without_a_value_is_a_token68() -> None:
    assert split_challenges("X a=") == (SchemeChallenge("x", token68="a="),)


def test_escapes_are_those_of_the_peers() -> None:
    assert quote('a"b\\c\u20ac\U0001f600', "x") == '"a\\"b\\\\c\\u20ac\\ud83d\\ude00"'
    assert unescape('a\\"b\\\\u20ac\\u20AC\\ud83d\\ude00\\z', "x") == 'a"b\\u20ac\u20ac\U0001f600z'
    for text in ("a\nb", "\x7f", "\ud800"):
        with pytest.raises(MalformedMessage):
            quote(text, "x")


def test_the_worst_value_takes_no_time_to_speak_of() -> None:
    started = time.process_time()
    for value in ("X a=" + '"' + "\\\\" * 8_000, "a " * 8_000, "," * 16_000, "X " + "a=b," * 4_000):
        try:
            split_challenges(value)
        except MalformedMessage:
            continue
    assert time.process_time() - started < 2
