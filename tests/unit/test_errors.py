"""The table of errors is complete, consistent and documented."""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from aisa import errors
from aisa.errors import AisaError, class_by_slug, error_classes

CLASSES = list(error_classes())
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def by_name(cls: type[AisaError]) -> str:
    return cls.__name__


def test_every_class_is_walked_once_parents_first() -> None:
    written = {
        cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, AisaError)
    }
    assert set(CLASSES) == written
    assert len(CLASSES) == len(written)
    for position, cls in enumerate(CLASSES[1:], 1):
        assert CLASSES.index(cls.__base__) < position  # type: ignore[arg-type]


def test_slugs_are_unique() -> None:
    slugs = [cls.slug for cls in CLASSES]
    assert len(slugs) == len(set(slugs))


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_a_class_says_everything_itself(cls: type[AisaError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.slug)
    assert "slug" in vars(cls), "a slug is never inherited"
    assert "title" in vars(cls), "a title is never inherited"
    assert 400 <= HTTPStatus(cls.status) <= 599
    assert cls.title[0].isupper()
    assert not cls.title.endswith(".")
    assert cls.__doc__
    assert cls.__doc__.strip().endswith(".")


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_the_slug_gives_the_class_back(cls: type[AisaError]) -> None:
    assert class_by_slug(cls.slug) is cls


def test_an_unknown_slug_gives_the_root() -> None:
    assert class_by_slug("of-a-later-version") is AisaError


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_detail_hint_and_facts_are_kept(cls: type[AisaError]) -> None:
    error = cls("the sentence", hint="the way out", units=7, account="a", final=True)
    assert (error.detail, error.hint) == ("the sentence", "the way out")
    assert error.facts == {"units": 7, "account": "a", "final": True}
    assert str(error) == "the sentence (the way out)"
    with pytest.raises(AisaError, match="the sentence"):
        raise error


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_without_a_detail_the_title_speaks(cls: type[AisaError]) -> None:
    assert cls().detail == cls.title
    assert cls().args == (cls.title,)


def test_the_drawn_tree_names_every_class() -> None:
    drawn = set(re.findall(r"\b[A-Z][a-z]\w+\b", errors.__doc__ or ""))
    assert {cls.__name__ for cls in CLASSES} <= drawn


def sections() -> dict[str, str]:
    parts = re.split(r"^## (\S+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_one_section_for_each_slug() -> None:
    assert sorted(sections()) == sorted(cls.slug for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_a_section_says_what_it_means_and_what_to_do(cls: type[AisaError]) -> None:
    text = sections()[cls.slug]
    retry = "retry" if cls.retryable else "do not retry"
    assert f"`{cls.__name__}` · {cls.status} · {retry}\n" in text
    meaning, found, remedy = text.partition("**What to do:** ")
    assert found
    assert len(meaning.split()) > 8
    assert len(remedy.split()) > 4
