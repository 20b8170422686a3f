"""The reference page of the command line, written from the commands themselves.

`python -m aisa.cli.reference > docs/reference/cli.md`; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from aisa.cli.application import application
from aisa.cli.exit_code import MEANINGS

_INTRODUCTION = """\
# The command line

`aisa NOUN VERB`, or `python -m aisa NOUN VERB`. Keys and state live in `AISA_HOME` (`~/.aisa` unless
set; `--home DIR` for one command). Amounts are decimals such as `0.01` or `"0.01 aiUSD"`.

With `--json` a command prints exactly one JSON document on standard output; if it fails, it prints
one problem (RFC 9457, with `exit_code`) on standard error instead. Amounts in JSON are strings of
digits: units of the currency's smallest part (`aisa demo` gives integers, to be added up). Without `--json`, whatever takes longer than a second
tells its progress on standard error.

## Exit codes

| code | means |
|---|---|
"""


def pages() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, in the order of the help."""
    context = click.Context(application)
    for noun in application.list_commands(context):
        command = application.get_command(context, noun)
        if isinstance(command, click.Group):
            for verb in command.list_commands(context):
                found = command.get_command(context, verb)
                if found is not None:
                    yield f"aisa {noun} {verb}", found
        elif command is not None:
            yield f"aisa {noun}", command


def reference() -> str:
    """The whole page, in Markdown."""
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in MEANINGS.items())
    sections = "".join(_section(words, command) for words, command in pages())
    return f"{_INTRODUCTION}{rows}\n## Commands\n{sections}"


def _section(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words, max_content_width=100, terminal_width=100)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"\n### {words}\n", (command.help or "").strip(), "", f"`{words} {usage}`", ""]
    options = [one for one in command.params if isinstance(one, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    shown = [one for one in records if not one[0].startswith(("--home", "--json"))]
    if shown:
        lines += ["| option | |", "|---|---|"]
        lines += [f"| `{_cell(option)}` | {_cell(text)} |" for option, text in shown]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
