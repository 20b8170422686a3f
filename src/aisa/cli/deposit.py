"""Waiting for deposits, and making test money on a devnet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aisa.cli.account import Account
from aisa.cli.command import Session
from aisa.client import DepositInfo
from aisa.errors import ConfigInvalid, OutcomeUnknown

if TYPE_CHECKING:
    from aisa.demo.devnet_file import DevnetFile

_POLL_S: Final = 0.2


def arrivals(
    account: Account, before: set[str], session: Session, timeout_s: float
) -> list[DepositInfo]:
    """Wait until a deposit that is not in `before` arrives, and return the new ones.

    Raises:
        OutcomeUnknown: nothing arrived in time; the address stays good.
    """
    deadline = time.monotonic() + timeout_s
    with session.progress() as progress:
        while True:
            came = [one for one in account.deposits() if one.id not in before]
            if came:
                return came
            if time.monotonic() >= deadline:
                raise OutcomeUnknown(
                    f"nothing arrived within {timeout_s:.0f} s",
                    hint="the address stays good; aisa wallet show tells when it has arrived",
                )
            progress("waiting for a deposit")
            time.sleep(_POLL_S)


def running_devnet(session: Session, needed_by: str = "--devnet") -> DevnetFile:
    """The devnet of this home.

    Raises:
        ConfigInvalid: there is none, or it has stopped.
    """
    from aisa.demo.devnet_file import read_devnet_file

    devnet = read_devnet_file(session.home)
    if devnet is None or not devnet.is_running:
        raise ConfigInvalid(
            f"{needed_by} needs the devnet of this home, and it does not run",
            hint="aisa devnet up --seller",
        )
    return devnet


def give_test_money(home: Path, devnet: DevnetFile, symbol: str, address: str, units: int) -> str:
    """Mint test money into this home's wallet outside, send it on, and return the chain tx."""
    from aisa.demo.devnet_file import outside_seed
    from aisa.demo.outside import Outside

    outside = Outside(devnet.solana, outside_seed(home))
    return asyncio.run(outside.mint_and_send(devnet.token(symbol).mint, address, units))
