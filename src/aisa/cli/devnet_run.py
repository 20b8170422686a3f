"""The devnet in the foreground: start, put money into the agent's wallet, watch, stop cleanly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aisa.cli.account import account_at
from aisa.cli.command import Session
from aisa.cli.deposit import arrivals, give_test_money
from aisa.cli.devnet_parts import Parts
from aisa.cli.interruption import INTERRUPTION
from aisa.cli.report import Report
from aisa.demo.devnet_file import DevnetFile, remove_devnet_file, write_devnet_file
from aisa.demo.port import Ports
from aisa.demo.process import Family
from aisa.demo.stack import Stack, supervise
from aisa.devnet.ethereum.setting import SETTINGS
from aisa.sdk.home import ensure_agent_seed

POCKET_UNITS: Final = 5_000_000
"""5 aiUSD: below the default caps, and 50,000 calls of the demo's seller."""
_ENOUGH_UNITS: Final = 1_000_000
_ARRIVE_S_MAX: Final = 30.0


def run_in_foreground(
    session: Session,
    ports: Ports,
    parts: Parts,
    report: Callable[[DevnetFile, str], Report],
) -> None:
    """Run the devnet until Ctrl-C or SIGTERM; whatever happens, what was started is stopped.

    Raises:
        NodeUnavailable: a part of it did not start, or ended by itself.
    """
    with Family(session.home / "devnet" / "log") as family:
        try:
            with session.progress() as progress:
                running = Stack(session.home, ports, family, progress).start(
                    with_seller=parts.seller,
                    chains=[one for one in SETTINGS if one.name in parts.chains],
                    real_pace=parts.real_pace,
                )
                progress("putting test money into the agent's wallet")
                _fill_pocket(session, running)
            write_devnet_file(session.home, running)
            session.show(report(running, "runs; Ctrl-C stops it"))
            supervise(family, _pause)
        finally:
            remove_devnet_file(session.home)


def _pause(seconds: float) -> None:
    INTERRUPTION.check()
    time.sleep(seconds)


def _fill_pocket(session: Session, running: DevnetFile) -> None:
    with account_at(running.node, ensure_agent_seed(session.home)) as account:
        currency = account.first_currency
        if account.client.account().available(currency) >= _ENOUGH_UNITS:
            return
        token = account.token(None)
        before = account.deposit_ids()
        address = account.client.deposit_address(token.asset).address
        give_test_money(session.home, running, token.symbol, address, POCKET_UNITS)
        arrivals(account, before, session, _ARRIVE_S_MAX)
