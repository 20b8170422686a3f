"""The application: its nouns, and the one place where an error becomes words and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from aisa.cli.command import Application
from aisa.cli.exit_code import DONE, INTERRUPTED, UNEXPECTED, USAGE, exit_code_of
from aisa.cli.interruption import INTERRUPTION
from aisa.cli.report import json_text
from aisa.errors import AisaError, InvalidRequest

NOUNS: Final = {
    "init": ("aisa.cli.init", "Make a home: the agent's key and its configuration."),
    "pay": ("aisa.cli.pay", "Call a paid URL and print the answer and its receipt."),
    "wallet": ("aisa.cli.wallet", "The agent's money: balances, deposits, withdrawals, log."),
    "channel": ("aisa.cli.channel", "Channels between this agent and sellers."),
    "seller": ("aisa.cli.seller", "Run a seller, redeem what it earned, withdraw it."),
    "proxy": ("aisa.cli.proxy", "Put the paywall before any API, in any language."),
    "node": ("aisa.cli.node", "Run, back up and restore a node."),
    "ledger": ("aisa.cli.ledger", "Read and verify a node's ledger."),
    "devnet": ("aisa.cli.devnet", "Networks, a node and a seller on this machine."),
    "demo": ("aisa.cli.demo", "Watch an agent pay a real API 10,000 times."),
    "doctor": ("aisa.cli.doctor", "Check this machine, with a way out for each problem."),
}


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"aisa {version('aisa-node')}")
        ctx.exit()


application = Application(
    name="aisa",
    nouns=NOUNS,
    help="A payment node, an SDK and a paywall for machines that pay machines.",
    epilog="Every command has --help and --json. Exit codes: docs/reference/cli.md.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        )
    ],
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every way out of it is an exit code of the table."""
    as_json = "--json" in arguments
    try:
        with INTERRUPTION.listening():
            result = application.main(list(arguments), prog_name="aisa", standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("" if as_json else "\nstopped\n")
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        return _show_help(error, as_json=as_json)
    except click.ClickException as error:
        return _tell(_usage(error), as_json=as_json)
    except AisaError as error:
        return _tell(error, as_json=as_json)
    except BrokenPipeError:
        # Whoever read our output has left; a second complaint at interpreter exit helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # noqa: BLE001 - the top of the program: a person gets a sentence
        if os.environ.get("AISA_DEBUG"):
            traceback.print_exc()
        return _tell(_unexpected(error), as_json=as_json, code=UNEXPECTED)


def _show_help(error: click.exceptions.NoArgsIsHelpError, *, as_json: bool) -> int:
    """A noun alone is a question, and its help is the answer; a script gets the problem."""
    if as_json:
        return _tell(InvalidRequest("a command is missing", hint=_way_out(error)), as_json=True)
    sys.stderr.write(error.format_message() + "\n")
    return USAGE


def _usage(error: click.ClickException) -> InvalidRequest:
    return InvalidRequest(error.format_message(), hint=_way_out(error))


def _way_out(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context else "aisa --help"


def _unexpected(error: Exception) -> AisaError:
    if isinstance(error, OSError):
        return AisaError(str(error), hint="`aisa doctor` checks permissions, ports and disk")
    return AisaError(
        f"unexpected {type(error).__name__}: {error}", hint="AISA_DEBUG=1 shows where it happened"
    )


def _tell(error: AisaError, *, as_json: bool, code: int | None = None) -> int:
    code = exit_code_of(error) if code is None else code
    if as_json:
        from aisa.protocol.problem import problem_of

        document = msgspec.json.decode(problem_of(error).encode(), type=dict[str, object])
        sys.stderr.write(json_text({**document, "exit_code": code}) + "\n")
    else:
        sys.stderr.write(f"aisa: {error.detail}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
    sys.stderr.flush()
    return code
