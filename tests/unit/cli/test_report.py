from __future__ import annotations

import pytest

from aisa.cli.report import Report, Table, show


@pytest.mark.parametrize(("headings", "lines"), [(["", ">"], 1), (["name", "units>"], 3)])
def test_a_table_without_headings_has_no_place_for_them(
    headings: list[str], lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    show(Report({}, [Table(headings, [["paid", "1 aiUSD"]])]), as_json=False)
    shown = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(shown) == lines
    assert shown[-1].split() == ["paid", "1", "aiUSD"]


def test_a_cell_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report({}, [Table(["what"], [["[bold]x[/bold]"]])]), as_json=False)
    assert "[bold]x[/bold]" in capsys.readouterr().out
