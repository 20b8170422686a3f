"""`aisa devnet`: networks, a node and a seller on this machine, for trying and developing."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Final

import click
import msgspec

from aisa.cli.background import start_in_background
from aisa.cli.command import Noun, Session
from aisa.cli.devnet_parts import CHAIN_NAMES, Parts
from aisa.cli.report import Report, Table
from aisa.demo.devnet_file import (
    DevnetFile,
    read_devnet_file,
    remove_devnet_file,
)
from aisa.demo.port import PORT_COUNT, Ports, usual_ports, with_free_ones
from aisa.errors import NodeUnavailable

_START_S_MAX: Final = 180.0
_STOP_S_MAX: Final = 30.0


@click.group("devnet", cls=Noun)
def command() -> None:
    """Networks, a node and a seller on this machine."""


@command.command("up")
@click.option("--seller", "with_seller", is_flag=True, help="Also start a seller of ECB rates.")
@click.option("--ethereum", is_flag=True, help="Also start Ethereum (anvil; needs Node.js once).")
@click.option("--polygon", is_flag=True, help="Also start Polygon (anvil; needs Node.js once).")
@click.option(
    "--real-pace",
    is_flag=True,
    help="Blocks every 12 s (Ethereum) and 2 s (Polygon), not at once.",
)
@click.option(
    "--background", is_flag=True, help="Return when it runs; `aisa devnet down` stops it."
)
@click.option(
    "--port-base",
    type=click.IntRange(1024, 65536 - PORT_COUNT),
    metavar="PORT",
    help="Listen on PORT (node) and the next ones (seller, Solana, Ethereum, Polygon)"
    " instead of 8401, 8402, 8899, 8545, 8546.",
)
@click.pass_obj
def up(
    session: Session,
    *,
    with_seller: bool,
    ethereum: bool,
    polygon: bool,
    real_pace: bool,
    background: bool,
    port_base: int | None,
) -> Report | None:
    """Start Solana in process, a node on it, and money in the agent's wallet; stop with Ctrl-C."""
    wanted = zip(CHAIN_NAMES, (ethereum, polygon), strict=True)
    parts = Parts(with_seller, tuple(name for name, asked in wanted if asked), real_pace)
    running = read_devnet_file(session.home)
    if running is not None and running.is_running:
        parts.check_running(running)
        return _report(running, "runs already")
    if background:
        return _report(start_devnet(session, parts, port_base), "runs in the background")
    from aisa.cli.devnet_run import run_in_foreground

    session.make_home()
    run_in_foreground(session, _ports(session, port_base, parts), parts, _report)
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


@command.command("faucet")
@click.argument("address")
@click.option(
    "--chain",
    type=click.Choice(("solana", *CHAIN_NAMES)),
    help="Where (default: the one that has such addresses).",
)
@click.option(
    "--token", "symbol", metavar="SYMBOL", help="What (default: aiUSD); or ETH, POL, SOL."
)
@click.option("--amount", metavar="AMOUNT", help="How much (default: 10).")
@click.pass_obj
def faucet(
    session: Session, address: str, chain: str | None, symbol: str | None, amount: str | None
) -> Report:
    """Make test money, or move native coins, into ADDRESS on a network of this home's devnet."""
    from aisa.cli.deposit import running_devnet
    from aisa.cli.devnet_faucet import give

    devnet = running_devnet(session, "the faucet")
    with session.progress() as progress:
        progress("waiting for the chain tx")
        given = give(devnet, address, chain=chain, symbol=symbol, amount=amount)
    return Report(
        {
            "network": given.network,
            "asset": given.asset,
            "symbol": given.symbol,
            "address": given.address,
            "units": str(given.units),
            "tx": given.tx,
        },
        [f"{given.text} for {given.address} on {given.network}: {given.tx}"],
    )


def _ports(session: Session, base: int | None, parts: Parts) -> Ports:
    wanted = usual_ports(base)
    ports = with_free_ones(wanted)
    named = [
        ("node", wanted.node, ports.node),
        ("seller", wanted.seller, ports.seller),
        ("Solana", wanted.solana, ports.solana),
        ("Ethereum", wanted.ethereum, ports.ethereum),
        ("Polygon", wanted.polygon, ports.polygon),
    ]
    for name, usual, port in named:
        is_asked_for = name.lower() not in CHAIN_NAMES or name.lower() in parts.chains
        if port != usual and is_asked_for:
            session.say(f"port {usual} is taken; the {name} listens on {port}")
    return ports


def start_devnet(session: Session, parts: Parts, port_base: int | None = None) -> DevnetFile:
    """Start a devnet in the background, and return once it runs.

    Raises:
        NodeUnavailable: a part of it did not start.
    """
    words = ["devnet", "up", *parts.options]
    words += [] if port_base is None else ["--port-base", str(port_base)]

    def ready(pid: int) -> DevnetFile | None:
        running = read_devnet_file(session.home)
        return running if running is not None and running.processes[0].pid == pid else None

    log = session.make_home() / "devnet" / "supervisor.log"
    return start_in_background(session, "devnet", words, log, ready, _START_S_MAX)


def _report(running: DevnetFile, how: str) -> Report:
    document = {
        "running": True,
        "label": running.label,
        "node": running.node,
        "seller": running.seller,
        "solana": running.solana,
        "network": running.node_network,
        "chains": [msgspec.to_builtins(one) for one in running.chains],
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
            *_chain_lines(running),
            *_next_lines(running),
        ],
    )


def _chain_lines(running: DevnetFile) -> list[str | Table]:
    if not running.chains:
        return []
    tokens = [
        [one.name, one.network, token.symbol, token.address, token.label]
        for one in running.chains
        for token in one.tokens
    ]
    give = f"{_this_command()} devnet faucet ADDRESS --chain {running.chains[0].name}"
    return [
        f"{running.chains[0].label}; contracts and all else: devnet status --json",
        Table(["chain", "network", "token", "address", "what it is"], tokens),
        f"test money for an address: {give}",
    ]


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
