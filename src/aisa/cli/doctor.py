"""`aisa doctor`: what on this machine could stand in the way, and what to do about it."""

from __future__ import annotations

import click

from aisa.cli.command import Command, Session
from aisa.cli.examination import Finding, Verdict, examine
from aisa.cli.exit_code import DONE, NOT_HELD
from aisa.cli.report import Report, Table


@click.command("doctor", cls=Command)
@click.pass_obj
def command(session: Session) -> Report:
    """Check Python, packages, ports, home, disk, clock and node; say a way out for each problem."""
    with session.progress() as progress:
        findings = list(examine(session.home, progress))
    broken = any(one.verdict is Verdict.PROBLEM for one in findings)
    return Report(
        {"ok": not broken, "checks": [_as_json(one) for one in findings]},
        [
            Table(
                ["", "check", "found"],
                [[one.verdict.value, one.name, one.detail] for one in findings],
            ),
            *[f"{one.name}: {one.hint}" for one in findings if one.hint],
            "something stands in the way" if broken else "nothing stands in the way",
        ],
        NOT_HELD if broken else DONE,
    )


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "name": finding.name,
        "verdict": finding.verdict.value,
        "detail": finding.detail,
        "hint": finding.hint,
    }
