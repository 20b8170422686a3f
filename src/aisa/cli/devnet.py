"""`aisa devnet`: networks, a node and a seller on this machine, for trying and developing."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Final

import click

from aisa.cli.background import start_in_background
from aisa.cli.command import Noun, Session
from aisa.cli.report import Report, Table
from aisa.demo.devnet_file import (
    DevnetFile,
    read_devnet_file,
    remove_devnet_file,
)
from aisa.demo.port import Ports, usual_ports, with_free_ones
from aisa.errors import NodeUnavailable

_START_S_MAX: Final = 180.0
_STOP_S_MAX: Final = 30.0


@click.group("devnet", cls=Noun)
def command() -> None:
    """Networks, a node and a seller on this machine."""


@command.command("up")
@click.option("--seller", "with_seller", is_flag=True, help="Also start a seller of ECB rates.")
@click.option(
    "--background", is_flag=True, help="Return when it runs; `aisa devnet down` stops it."
)
@click.option(
    "--port-base",
    type=click.IntRange(1024, 65533),
    metavar="PORT",
    help="Listen on PORT (node), PORT+1 (seller), PORT+2 (Solana) instead of 8401, 8402, 8899.",
)
@click.pass_obj
def up(
    session: Session, with_seller: bool, background: bool, port_base: int | None
) -> Report | None:
    """Start Solana in process, a node on it, and money in the agent's wallet; stop with Ctrl-C."""
    running = read_devnet_file(session.home)
    if running is not None and running.is_running:
        return _report(running, "runs already")
    if background:
        return _in_background(session, with_seller, port_base)
    from aisa.cli.devnet_run import run_in_foreground

    session.make_home()
    run_in_foreground(session, _ports(session, port_base), with_seller, _report)
    return None


@command.command("status")
@click.pass_obj
def status(session: Session) -> Report:
    """Say what runs, with its URLs and processes."""
    running = read_devnet_file(session.home)
    if running is None or not running.is_running:
        return Report({"running": False}, ["no devnet runs in this home: aisa devnet up --seller"])
    return _report(running, "runs")


@command.command("down")
@click.pass_obj
def down(session: Session) -> Report:
    """Stop the devnet of this home, and only what it started."""
    running = read_devnet_file(session.home)
    alive = [one for one in running.processes if one.id.is_alive] if running else []
    for one in alive:
        # The supervisor stops its children; asking them too helps only where it was killed.
        if one.name == "supervisor" or alive[0].name != "supervisor":
            one.id.ask_to_stop()
    deadline = time.monotonic() + _STOP_S_MAX
    with session.progress() as progress:
        for one in alive:
            progress(f"waiting for the {one.name} to end")
            if not one.id.wait_gone(max(0.1, deadline - time.monotonic())):
                raise NodeUnavailable(
                    f"the {one.name} (pid {one.pid}) did not stop", hint="try again in a moment"
                )
    remove_devnet_file(session.home)
    names = [one.name for one in alive]
    return Report({"stopped": names}, [f"stopped: {', '.join(names) or 'nothing ran'}"])


def _ports(session: Session, base: int | None) -> Ports:
    wanted = usual_ports(base)
    ports = with_free_ones(wanted)
    for name, usual, port in (
        ("node", wanted.node, ports.node),
        ("seller", wanted.seller, ports.seller),
        ("Solana", wanted.solana, ports.solana),
    ):
        if port != usual:
            session.say(f"port {usual} is taken; the {name} listens on {port}")
    return ports


def _in_background(session: Session, with_seller: bool, port_base: int | None) -> Report:
    words = ["devnet", "up", *(["--seller"] if with_seller else [])]
    words += [] if port_base is None else ["--port-base", str(port_base)]

    def ready(pid: int) -> DevnetFile | None:
        running = read_devnet_file(session.home)
        return running if running is not None and running.processes[0].pid == pid else None

    log = session.make_home() / "devnet" / "supervisor.log"
    running = start_in_background(session, "devnet", words, log, ready, _START_S_MAX)
    return _report(running, "runs in the background")


def _report(running: DevnetFile, how: str) -> Report:
    document = {
        "running": True,
        "label": running.label,
        "node": running.node,
        "seller": running.seller,
        "solana": running.solana,
        "network": running.node_network,
        "processes": [
            {"name": one.name, "pid": one.pid, "port": one.port} for one in running.processes
        ],
    }
    rows = [
        [one.name, str(one.pid), f"http://127.0.0.1:{one.port}" if one.port else ""]
        for one in running.processes
    ]
    return Report(
        document,
        [
            f"the devnet {how} ({running.label})",
            Table(["process", "pid>", "URL"], rows),
            *_next_lines(running),
        ],
    )


def _this_command() -> str:
    """The words that call this command in the next terminal, where nobody has activated a venv."""
    called = Path(sys.argv[0])
    if called.name != "aisa" or shutil.which("aisa") == str(called.absolute()):
        return "aisa"
    inside = called.absolute().is_relative_to(Path.cwd())
    return str(called.absolute().relative_to(Path.cwd()) if inside else called)


def _next_lines(running: DevnetFile) -> list[str]:
    if running.seller is None:
        return [
            f"{_this_command()} wallet show tells what the agent has; sell something of your own with",
            f"{_this_command()} seller up MODULE:APP",
        ]
    url = f"{running.seller}/rates/USD/2025-03-14"
    return [
        "In another terminal, pay for a call:",
        "",
        f"  {_this_command()} pay {url}",
        "",
        "or in Python:",
        "",
        "  from aisa.sdk import Agent",
        "",
        "  with Agent() as agent:",
        f'      answer = agent.get("{url}")',
        "      print(answer.json(), answer.payment)",
    ]
