"""Running somebody's application behind the paywall."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import Any

from aisa import faults
from aisa.cli.seller_control import Controlled, state_of
from aisa.cli.seller_folder import SellerFiles, ensure_seller_seed, trusted_hubs, x402_offers
from aisa.cli.service import Service, forget_service, read_service, write_service
from aisa.errors import AisaError, ConfigInvalid, FileOwned
from aisa.paywall import Paid, Paywall, PaywallMiddleware, Price
from aisa.paywall.server import loop_factory, serve_async


def load_app(path: str) -> Any:
    """The ASGI application at `module:name`; a function there is called to make it.

    Raises:
        ConfigInvalid: there is no such module or name.
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        name = "app"
    # As uvicorn does: a module of the folder where the command is given can be named.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module_name), name)
    except AisaError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigInvalid(
            f"there is no application at {path[:80]!r}: {error}", hint="write it as module:app"
        ) from error
    return found() if isfunction(found) else found


def refuse_a_second(files: SellerFiles) -> None:
    """Say who runs before the port does: another port would not help, one file has one owner.

    Raises:
        FileOwned: a seller of this home runs.
    """
    service = read_service(files.process)
    if service is not None:
        raise FileOwned(
            f"a seller of this home runs already at {service.url} (pid {service.pid})",
            hint="stop it (the devnet's: start aisa devnet up without --seller), "
            "or give this one a home of its own: --home DIR --node URL --port 0",
        )


def paywall_of(files: SellerFiles, origin: str, node: str | None) -> Paywall:
    """The paywall of this home's seller."""
    hubs = trusted_hubs(files, node)
    seed, offers = ensure_seller_seed(files), x402_offers(files)
    return Paywall(files.store, seed, origin=origin, hubs=hubs, x402=offers)


def run_seller(
    files: SellerFiles,
    app: Any,
    paywall: Paywall,
    listener: socket.socket,
    on_ready: Callable[[Service], None],
    prices: Mapping[str, str | Price | Paid] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was earned is redeemed at the end.

    Failpoints are armed from the environment.

    Raises:
        FileOwned: another process serves from this seller's file.
    """
    faults.arm(os.environ)
    token = secrets.token_urlsafe(32)
    port = listener.getsockname()[1]
    controlled = Controlled(PaywallMiddleware(app, paywall, prices), token)
    service = Service.of_this_process(f"http://127.0.0.1:{port}", token=token)

    async def run() -> None:
        # Before anything listens: a file that somebody else owns is told as such.
        await paywall.start()
        listens = asyncio.Event()
        serving = asyncio.create_task(serve_async(controlled, sockets=[listener], listens=listens))
        ready = asyncio.create_task(listens.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if listens.is_set():
            write_service(files.process, service)
            on_ready(service)
        await serving

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(run())
    finally:
        forget_service(files.process)


async def redeem_offline(paywall: Paywall) -> dict[str, object]:
    """Redeem from a seller's file that nobody serves from."""
    async with paywall:
        await paywall.redeem()
        return state_of(paywall)
