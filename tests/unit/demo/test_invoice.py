from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from currency_converter import CurrencyConverter

from aisa.demo.invoice import sample_invoices
from aisa.demo.rates import RateBook
from aisa.errors import NotFound


@pytest.fixture(scope="module")
def book() -> RateBook:
    return RateBook()


def test_the_sample_is_the_same_on_every_machine() -> None:
    first, second = list(sample_invoices(200)), list(sample_invoices(300))
    assert second[:200] == first
    assert first[0].number == "INV-2025-00001"
    assert {invoice.day.year for invoice in second} == {2025}
    assert len({invoice.currency for invoice in second}) > 10
    assert all(invoice.amount >= 10 for invoice in second)


def test_the_euro_sum_is_what_the_library_gives_directly(book: RateBook) -> None:
    library = CurrencyConverter(
        decimal=True, fallback_on_missing_rate=True, fallback_on_missing_rate_method="last_known"
    )
    ours = theirs = Decimal(0)
    for invoice in sample_invoices(2_000):
        ours += invoice.in_euro(book.rate(invoice.currency, invoice.day).rate)
        theirs += library.convert(
            invoice.amount, invoice.currency, "EUR", date=invoice.day
        ).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    assert ours == theirs > 0


def test_a_rate_is_exact_as_published(book: RateBook) -> None:
    rate = book.rate("USD", date(2014, 3, 28))
    assert str(rate.rate) == "1.3759"
    assert rate.published == date(2014, 3, 28)


def test_on_a_weekend_the_last_publication_holds(book: RateBook) -> None:
    sunday = book.rate("USD", date(2014, 3, 30))
    assert sunday.published == date(2014, 3, 28)
    assert sunday.rate == book.rate("USD", date(2014, 3, 28)).rate


@pytest.mark.parametrize(
    ("currency", "day"),
    [("USD", date(1998, 12, 31)), ("USD", date(2190, 1, 1)), ("XXX", date(2020, 1, 2))],
)
def test_what_was_never_published_is_not_found(book: RateBook, currency: str, day: date) -> None:
    with pytest.raises(NotFound):
        book.rate(currency, day)
