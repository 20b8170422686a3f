"""`aisa seller revenue`: what was sold, by day, and every call as a line of CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from aisa.errors import ConfigInvalid
from aisa.money import currency_by_code, format_units

if TYPE_CHECKING:
    from aisa.paywall.revenue import Sale

WriteRow: TypeAlias = Callable[[Iterable[object]], object]

COLUMNS: Final = (
    "time", "amount", "currency", "units", "payer", "channel", "lane", "seq", "status", "voided",
    "redeemed", "network", "reference",
)  # fmt: skip
STANDARD_OUTPUT: Final = "-"


@dataclass(slots=True)
class Day:
    """The sales of one UTC day in one currency."""

    day: str
    currency: str
    calls: int = 0
    units: int = 0
    payers: set[bytes] = field(default_factory=set[bytes])

    @property
    def amount(self) -> str:
        """What was earned, as a decimal."""
        return amount_text(self.units, self.currency)


def span(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """The unix milliseconds of a span of UTC days; `until` is the last day of it.

    Raises:
        ConfigInvalid: it ends before it begins.
    """
    first = since.date() if since else date(1970, 1, 1)
    last = until.date() if until else date(9998, 12, 31)
    if last < first:
        raise ConfigInvalid(f"{last} is before {first}", hint="--since comes before --until")
    return _ms(first), _ms(last + timedelta(days=1))


def count(sales: Iterable[Sale], write: WriteRow | None) -> list[Day]:
    """Add the sales up by day, and write each of them."""
    days: dict[tuple[str, str], Day] = {}
    if write is not None:
        write(COLUMNS)
    for sale in sales:
        moment = datetime.fromtimestamp(sale.at_ms / 1000, UTC)
        key = (moment.date().isoformat(), sale.currency)
        day = days.setdefault(key, Day(*key))
        if not sale.is_voided:
            day.calls += 1
            day.units += sale.units
            day.payers.add(sale.payer)
        if write is not None:
            write(_line(sale, moment))
    return [days[key] for key in sorted(days)]


def amount_text(units: int, code: str) -> str:
    """Units as a decimal of their currency."""
    return format_units(units, currency_by_code(code).scale)


@contextmanager
def csv_at(target: str | None) -> Generator[WriteRow | None]:
    """What writes a line to a new file, to standard output for `-`, or none.

    Raises:
        ConfigInvalid: the file exists, or cannot be made.
    """
    if target is None:
        yield None
    elif target == STANDARD_OUTPUT:
        yield csv.writer(sys.stdout).writerow
    else:
        with _new_file(Path(target)) as file:
            yield csv.writer(file).writerow


@contextmanager
def _new_file(path: Path) -> Generator[TextIO]:
    try:
        file = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise ConfigInvalid(
            f"{path} exists already", hint="name another file, or remove that one"
        ) from None
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}") from error
    with file:
        yield file


def _line(sale: Sale, moment: datetime) -> tuple[object, ...]:
    return (
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        amount_text(sale.earned, sale.currency), sale.currency, sale.earned, sale.payer.hex(),
        sale.channel.hex(), sale.lane, sale.seq, sale.status, int(sale.is_voided),
        int(sale.is_redeemed), sale.network, sale.reference,
    )  # fmt: skip


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
