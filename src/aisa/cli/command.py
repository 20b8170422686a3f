"""What every command has: `--json`, `--home`, a report that is shown, an exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from aisa.cli.progress import Progress
from aisa.cli.report import Report, show


@dataclass(frozen=True, slots=True)
class Session:
    """Where a command works, and how it speaks."""

    home: Path
    as_json: bool

    def make_home(self) -> Path:
        """The home, made for its owner alone if it is not there."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home

    def progress(self) -> Progress:
        """A progress line for this command; quiet with `--json`."""
        return Progress(quiet=self.as_json)

    def show(self, report: Report) -> None:
        """Show a report before the command ends, as those that stay in the foreground do."""
        show(report, as_json=self.as_json)

    def say(self, text: str) -> None:
        """Tell a person something on standard error; a machine is not disturbed."""
        if not self.as_json:
            click.echo(text, err=True)


def home_from(environ: Mapping[str, str]) -> Path:
    """`AISA_HOME`, or `~/.aisa`."""
    return Path(environ.get("AISA_HOME") or "~/.aisa").expanduser().absolute()


class Command(click.Command):
    """A command whose function takes a `Session` first and returns a `Report`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["--home", "home_text"],
                metavar="DIR",
                help="Where keys and state live (AISA_HOME, else ~/.aisa).",
            ),
            click.Option(
                ["--json", "as_json"],
                is_flag=True,
                help="Print one JSON document; problems are JSON on standard error.",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; one such as `-5` is no option that somebody forgot to make."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name[1:2].isdigit():
                raise click.UsageError(
                    f"{error.option_name} … is read as an option: no amount is below zero", ctx
                ) from error
            raise

    def invoke(self, ctx: click.Context) -> int:
        """Run the function, show what it reports and return its exit code."""
        home_text: str | None = ctx.params.pop("home_text")
        if home_text:
            # What this command starts, and every library that it calls, must look at the same home.
            os.environ["AISA_HOME"] = str(Path(home_text).expanduser().absolute())
        session = Session(home_from(os.environ), as_json=ctx.params.pop("as_json"))
        ctx.obj = session
        report = super().invoke(ctx)
        if not isinstance(report, Report):
            return 0
        session.show(report)
        return report.exit_code


class Noun(click.Group):
    """A group of commands about one thing."""

    command_class = Command


class Application(click.Group):
    """The root: knows every noun by name and one sentence, and imports one when it is used."""

    def __init__(self, *args: Any, nouns: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nouns = nouns

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns in the order of the table."""
        del ctx
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one noun."""
        del ctx
        if cmd_name not in self._nouns:
            return None
        return import_module(self._nouns[cmd_name][0]).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, noun[1]) for name, noun in self._nouns.items()])
