"""`aisa demo`: an agent pays a real API 10,000 times, and every cent is accounted for."""

from __future__ import annotations

import click

from aisa.cli.command import Command, Session
from aisa.cli.exit_code import DONE, NOT_HELD
from aisa.cli.report import Report, Table


@click.command("demo", cls=Command)
@click.option(
    "--calls",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="How many calls the agent pays for.",
)
@click.option("--keep", is_flag=True, help="Keep the temporary home, with ledger, keys and logs.")
@click.pass_obj
def command(session: Session, calls: int, keep: bool) -> Report:
    """Watch an agent pay a real API 10,000 times at $0.0001, and every cent accounted for.

    Node, seller and agent run as separate processes in a temporary home; the money comes in and
    goes out as tokens on a real virtual machine. Nothing is left behind.
    """
    from aisa.demo.outcome import rows, verdicts
    from aisa.demo.play import Play, passing_home

    with passing_home(keep) as home, session.progress() as progress:

        def tell(text: str) -> None:
            progress.clear()
            session.say(text)

        outcome = Play(home, calls, tell, progress.count).run()
    lines: list[str | Table] = [
        Table(["", ">"], rows(outcome), "What happened"),
        *[f"{'✓' if holds else '✗'} {claim}" for claim, holds in verdicts(outcome)],
        *[f"  {problem}" for problem in outcome.job.problems],
        f"kept: {home}" if keep else "nothing is left behind",
    ]
    return Report(outcome.document(), lines, DONE if outcome.holds else NOT_HELD)
