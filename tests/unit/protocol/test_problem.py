from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aisa import errors
from aisa.protocol.problem import (
    MPP,
    MPP_TYPES,
    URN,
    Problem,
    error_of,
    parse_problem,
    problem_of,
)


def document(error: errors.AisaError) -> dict[str, Any]:
    return json.loads(problem_of(error).encode())


@pytest.mark.parametrize("cls", list(errors.error_classes()), ids=lambda cls: cls.slug)
def test_every_class_has_a_problem_and_returns_from_it(cls: type[errors.AisaError]) -> None:
    told = document(cls("what happened", hint="what to do", units="12"))
    assert told["status"] == cls.status
    assert told["title"] == cls.title
    assert told["slug"] == cls.slug
    assert told["retryable"] is cls.retryable
    is_402 = issubclass(cls, errors.PaymentRequired)
    assert told["type"].startswith(MPP if is_402 else URN)
    assert is_402 == (cls.slug in MPP_TYPES)
    if cls is not errors.AisaError:
        assert type(error_of(parse_problem(json.dumps(told).encode()))) is cls


def test_the_document_as_it_is_sent() -> None:
    error = errors.RateLimited("slow down", hint="wait", retry_after_s=2, shed=True)
    assert problem_of(error, instance="urn:call:1").encode() == (
        b'{"type":"urn:aisa:problem:rate-limited","title":"Too many requests","status":429,'
        b'"detail":"slow down","instance":"urn:call:1","slug":"rate-limited","retryable":true,'
        b'"hint":"wait","facts":{"retry_after_s":2,"shed":true}}'
    )


def test_large_units_are_told_as_text_and_long_texts_are_cut() -> None:
    told = document(errors.Conflict("x" * 9_000, hint="y" * 9_000, units=2**60, note="z" * 9_000))
    assert told["facts"] == {"units": str(2**60), "note": "z" * 4_096}
    assert len(told["detail"]) == len(told["hint"]) == 4_096
    assert document(errors.Conflict("half \ud800"))["detail"] == "half ?"


@pytest.mark.parametrize(
    ("told", "cls"),
    [
        ({"type": MPP + "payment-required"}, errors.PaymentRequired),
        ({"type": MPP + "invalid-challenge"}, errors.ChallengeInvalid),
        ({"type": MPP + "malformed-credential"}, errors.MalformedMessage),
        ({"type": MPP + "something-new", "status": 402}, errors.PaymentRequired),
        ({"type": URN + "not-found"}, errors.NotFound),
        ({"type": URN + "of-tomorrow", "status": 409}, errors.Conflict),
        ({"slug": 7, "status": 404}, errors.NotFound),
        ({"slug": "answer-gone", "type": MPP + "payment-required"}, errors.AnswerGone),
        ({"status": 413}, errors.BodyTooLarge),
        ({"status": 418}, errors.AisaError),
        ({}, errors.RateLimited),
    ],
)
def test_problems_of_other_projects_become_our_classes(
    told: dict[str, Any], cls: type[errors.AisaError]
) -> None:
    assert type(error_of(parse_problem(json.dumps(told).encode(), status=429))) is cls


def test_members_of_another_type_count_as_absent() -> None:
    body = b'{"type":1,"title":[],"status":true,"detail":{},"instance":null,"more":[0.5]}'
    assert parse_problem(body, status=503) == Problem(
        "about:blank", "", 503, "", "", {"more": [0.5]}
    )
    assert parse_problem(b'{"status":99}', status=400).status == 400
    assert parse_problem(b'{"status":600}', status=400).status == 400


def test_a_hostile_problem_cannot_choose_our_arguments() -> None:
    facts = {"self": 1, "detail": "x", "hint": "y", "Bad-Name": 1, "": 1, "list": [], "ok": "z"}
    body = {"slug": "not-found", "detail": "d", "hint": ["h"], "facts": facts}
    error = error_of(parse_problem(json.dumps(body).encode()), {"retry_after_s": 3})
    assert dict(error.facts) == {"ok": "z", "retry_after_s": 3}
    assert error.detail == "d"
    many = {"facts": {f"f{i}": i for i in range(1_000)}}
    assert len(error_of(parse_problem(json.dumps(many).encode())).facts) == 64
    assert not error_of(parse_problem(b'{"facts":[1]}')).facts


def test_an_error_with_too_many_facts_is_still_told() -> None:
    error = errors.Conflict("x", **{f"f{i}": i for i in range(1_000)})
    assert len(document(error)["facts"]) == 64


def test_long_documents_are_refused() -> None:
    for body in (
        b'{"detail":"' + b"x" * 5_000 + b'"}',
        b'{"title":"' + b"x" * 300 + b'"}',
        b" " * 70_000,
        b"[]",
        b"<html>",
    ):
        with pytest.raises(errors.MalformedMessage):
            parse_problem(body)
    with pytest.raises(errors.MalformedMessage, match="longer than 65536"):
        Problem("a", "b", 400, "c", "", {"x": "y" * 70_000}).encode()


def test_an_extension_cannot_hide_a_member() -> None:
    told = json.loads(Problem("a", "b", 400, "c", "", {"status": 200, "x": 1}).encode())
    assert told == {"type": "a", "title": "b", "status": 400, "detail": "c", "x": 1}


def test_the_page_lists_every_type_of_a_402() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "problems.md").read_text()
    rows = re.findall(r"^\| (`.*`) \| `([a-z-]+)` \|$", page, flags=re.MULTILINE)
    listed = {slug: MPP + kind for slugs, kind in rows for slug in re.findall("`([^`]+)`", slugs)}
    assert listed == MPP_TYPES
