"""`aisa node`: run, back up and restore a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from aisa.cli.background import start_in_background
from aisa.cli.command import Noun, Session
from aisa.cli.node_folder import node_files
from aisa.cli.report import Report, Table
from aisa.cli.service import Service, read_service
from aisa.errors import FileOwned, NodeUnavailable

_START_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 30.0


@click.group("node", cls=Noun)
def command() -> None:
    """Run, back up and restore a node."""


@command.command("init")
@click.option(
    "--devnet", is_flag=True, help="For the devnet of this machine; makes a passphrase too."
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Read the key's passphrase from a file (default: ask for one).",
)
@click.pass_obj
def init(session: Session, devnet: bool, passphrase_file: Path | None) -> Report:
    """Make a node's configuration and its encrypted key; what exists is kept."""
    from aisa.cli.node_init import make_node

    made = make_node(session.make_home(), devnet=devnet, passphrase_file=passphrase_file)
    return Report(
        {
            "config": str(made.config),
            "node_key": made.public_key.hex(),
            "network": made.network,
            "treasuries": [{"network": n, "address": a} for n, a in made.treasuries],
            "new": made.is_new,
        },
        [
            f"node {made.network}",
            f"configuration {made.config}",
            *[f"send native coin for fees on {n} to {a}" for n, a in made.treasuries],
            "start it: aisa node up",
        ],
    )


@command.command("up")
@click.option(
    "--background", is_flag=True, help="Return when it answers; `aisa node stop` stops it."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Listen on another port."
)
@click.option("--devnet", is_flag=True, help="Make a devnet node first where there is none.")
@click.pass_obj
def up(session: Session, background: bool, port: int | None, devnet: bool) -> Report | None:
    """Run the node until Ctrl-C or SIGTERM.

    Where there is none, one without networks is made, with its passphrase in a file beside its key.
    """
    if devnet:
        from aisa.cli.node_init import make_node

        make_node(session.make_home(), devnet=True, passphrase_file=None)
    if port is not None:
        os.environ["AISA_NODE_PORT"] = str(port)
    if background:
        return _in_background(session)
    running = _running(session)
    if running is not None:
        raise FileOwned(
            f"the node of this home runs already at {running.url} (pid {running.pid})",
            hint="aisa node status shows it; aisa node stop, or aisa devnet down, stops it",
        )
    from aisa.cli.node_run import run_node

    run_node(session, lambda process: session.show(_report(process, "runs; Ctrl-C stops it")))
    return None


@command.command("status")
@click.pass_obj
def status(session: Session) -> Report:
    """Say whether the node runs, what it offers, owes and holds."""
    process = _running(session)
    if process is None:
        return Report({"running": False}, ["no node runs in this home: aisa node up"])
    from aisa.cli.node_status import node_status

    return node_status(process)


@command.command("stop")
@click.pass_obj
def stop(session: Session) -> Report:
    """Stop the node of this home; calls in flight are finished first."""
    process = _running(session)
    if process is None:
        return Report({"stopped": False}, ["no node runs in this home"])
    process.id.ask_to_stop()
    with session.progress() as progress:
        progress("waiting for the node to finish")
        if not process.id.wait_gone(_STOP_S_MAX):
            raise NodeUnavailable(
                f"the node (pid {process.pid}) did not stop within {_STOP_S_MAX:.0f} s"
            )
    return Report({"stopped": True, "pid": process.pid}, [f"stopped {process.url}"])


@command.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_obj
def backup(session: Session, target: Path) -> Report:
    """Write ledger, key and configuration to the new folder TARGET, also while the node runs."""
    from aisa.node.backup import backup_node, passphrase_advice

    with session.progress() as progress:
        progress("copying and verifying the ledger")
        found = backup_node(node_files(session.home).config, target)
    return Report(
        {"target": str(target), "digest": found.digest, "head": found.head, "rows": found.rows},
        [
            f"ledger, key and configuration are in {target}",
            f"digest {found.digest}",
            passphrase_advice(node_files(session.home).config),
        ],
    )


@command.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@click.pass_obj
def restore(session: Session, source: Path) -> Report:
    """Restore a node from the backup folder SOURCE, after verifying it; nothing is overwritten."""
    from aisa.node.backup import passphrase_advice, restore_node

    with session.progress() as progress:
        progress("verifying and copying the ledger")
        found = restore_node(source, node_files(session.home).folder)
    return Report(
        {"source": str(source), "digest": found.digest, "head": found.head, "rows": found.rows},
        [
            f"restored into {node_files(session.home).folder}",
            f"digest {found.digest}",
            passphrase_advice(node_files(session.home).config),
        ],
    )


def _running(session: Session) -> Service | None:
    return read_service(node_files(session.home).process)


def _in_background(session: Session) -> Report:
    running = _running(session)
    if running is not None:
        return _report(running, "runs already")
    session.make_home()

    def ready(pid: int) -> Service | None:
        found = _running(session)
        return found if found is not None and found.pid == pid else None

    log = node_files(session.home).log
    found = start_in_background(session, "node", ["node", "up"], log, ready, _START_S_MAX)
    return _report(found, "runs in the background")


def _report(process: Service, how: str) -> Report:
    return Report(
        {"running": True, "url": process.url, "network": process.network, "pid": process.pid},
        [
            f"the node {how}",
            Table(["URL", "network", "pid>"], [[process.url, process.network, str(process.pid)]]),
        ],
    )
