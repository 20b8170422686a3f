from __future__ import annotations

from aisa.cli.exit_code import BY_CLASS, MEANINGS, exit_code_of
from aisa.errors import AisaError, class_by_slug, error_classes


def test_every_error_class_has_a_code_that_the_table_explains() -> None:
    for cls in error_classes():
        code = exit_code_of(cls("x"))
        assert code in MEANINGS, cls
        assert code != 0
        if cls is not AisaError:
            assert code >= 2, cls


def test_a_class_of_its_own_wins_over_its_parent() -> None:
    assert exit_code_of(class_by_slug("rail-error")("x")) == 11
    assert exit_code_of(class_by_slug("rail-unavailable")("x")) == 11
    assert exit_code_of(class_by_slug("outcome-unknown")("x")) == 12
    assert exit_code_of(class_by_slug("node-unavailable")("x")) == 13


def test_no_two_classes_share_a_code() -> None:
    assert len(set(BY_CLASS.values())) == len(BY_CLASS)
