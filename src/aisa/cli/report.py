"""What a command says: one JSON document, and the same for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from aisa.cli.exit_code import DONE


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; a column whose heading ends in `>` is set to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a command: `document` for machines, `lines` for people, and its exit code."""

    document: Mapping[str, object]
    lines: Sequence[str | Table] = field(default=())
    exit_code: int = DONE


def show(report: Report, *, as_json: bool) -> None:
    """Write the report to standard output."""
    if as_json:
        sys.stdout.write(json_text(report.document) + "\n")
        sys.stdout.flush()
        return
    for line in report.lines:
        if isinstance(line, Table):
            _show_table(line)
        else:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()


def json_text(document: Mapping[str, object]) -> str:
    """The document as one line of JSON."""
    return msgspec.json.encode(document).decode()


def _show_table(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    # A pipe has no width: a narrow default would fold addresses and ids that someone wants to cut.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    drawn = RichTable(
        title=table.title or None,
        box=SIMPLE_HEAD,
        title_justify="left",
        # Rows that name themselves need no empty line above them.
        show_header=any(heading.removesuffix(">") for heading in table.headings),
    )
    for heading in table.headings:
        right = heading.endswith(">")
        drawn.add_column(
            heading.removesuffix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in table.rows:
        drawn.add_row(*[cell.replace("[", "\\[") for cell in row])
    console.print(drawn)
