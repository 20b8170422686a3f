"""`aisa seller`: run an application behind the paywall, redeem and withdraw what it earned."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from aisa.cli.account import Account, payee_account_at
from aisa.cli.amount_text import show_units
from aisa.cli.command import Noun, Session
from aisa.cli.node_url import find_node_url
from aisa.cli.report import Report, Table
from aisa.cli.seller_folder import (
    ensure_seller_config,
    ensure_seller_seed,
    seller_files,
    trusted_hubs,
)
from aisa.cli.seller_revenue import Day, amount_text
from aisa.cli.service import Service, read_service
from aisa.identity import SigningKey

if TYPE_CHECKING:
    from aisa.paywall import Paywall


@click.group("seller", cls=Noun)
def command() -> None:
    """Run a seller, redeem what it earned, withdraw it."""


@command.command("init")
@click.option(
    "--node", metavar="URL", help="The node whose channels to accept (default: this home's)."
)
@click.pass_obj
def init(session: Session, node: str | None) -> Report:
    """Make the seller's key and the list of nodes that it accepts; what exists is kept."""
    from aisa.cli.node_url import node_url

    session.make_home()
    files = seller_files(session.home)
    payee = SigningKey(ensure_seller_seed(files)).public_key.hex()
    ensure_seller_config(files, node or node_url(session.home))
    hubs = trusted_hubs(files, None)
    return Report(
        {
            "payee": payee,
            "config": str(files.config),
            "nodes": [{"url": one.url, "network": one.network} for one in hubs],
        },
        [
            f"payee {payee}",
            *[f"accepts channels at {one.network} ({one.url})" for one in hubs],
            "sell something: aisa seller up module:app",
        ],
    )


@command.command("up")
@click.argument("app", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8402,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option("--origin", metavar="URL", help="What payers see, such as https://api.example.")
@click.option("--node", metavar="URL", help="Where the accepted node answers now.")
@click.option("--test", "is_play", is_flag=True, help="Take play money of a devnet of its own.")
@click.pass_obj
def up(
    session: Session,
    *,
    app: str,
    host: str,
    port: int,
    origin: str | None,
    node: str | None,
    is_play: bool,
) -> None:
    """Serve an ASGI application behind the paywall until Ctrl-C or SIGTERM.

    Its paid routes are marked with `@paid("0.0001 aiUSD")` or `Depends(paid(…))`.
    """
    from aisa.cli.seller_run import load_app, paywall_of, refuse_a_second, run_seller
    from aisa.paywall.server import listen

    if is_play:
        from aisa.cli.play import play_session

        session = play_session(session)
    session.make_home()
    files = seller_files(session.home)
    refuse_a_second(files)
    found = node or find_node_url(session.home)
    if found is not None:
        ensure_seller_config(files, found)
    with listen(host, port) as listener:
        url = origin or f"http://127.0.0.1:{listener.getsockname()[1]}"
        paywall = paywall_of(files, url, found)
        run_seller(
            files,
            load_app(app),
            paywall,
            listener,
            lambda service: session.show(_up_report(service, paywall)),
        )


@command.command("status")
@click.pass_obj
def status(session: Session) -> Report:
    """Say whether the seller runs, what it has at its node and what it has not redeemed."""
    from aisa.cli.seller_control import give_order

    service = read_service(seller_files(session.home).process)
    state = give_order(service, "status") if service else {}
    with _account(session) as account:
        balances = account.client.account().balances
    return Report(
        {
            "running": service is not None,
            "url": service.url if service else None,
            "balances": [
                {"currency": one.currency, "units": str(one.units), "available": str(one.available)}
                for one in balances
            ],
            "unredeemed": state.get("unredeemed"),
        },
        [
            f"runs at {service.url}" if service else "does not run",
            *[
                f"at the node: {show_units(one.available, one.currency, account.info)}"
                for one in balances
            ],
            *[
                f"not redeemed: {show_units(int(one['units']), account.first_currency, account.info)}"
                for one in state.get("unredeemed", [])
            ],
        ],
    )


@command.command("redeem")
@click.pass_obj
def redeem(session: Session) -> Report:
    """Redeem everything that payers owe now, whether the seller runs or not."""
    from aisa.cli.seller_control import give_order
    from aisa.cli.seller_run import paywall_of, redeem_offline

    files = seller_files(session.home)
    service = read_service(files.process)
    with _account(session) as account:
        currency = account.first_currency
        before = account.client.account().available(currency)
        with session.progress() as progress:
            progress("redeeming")
            if service is not None:
                give_order(service, "redeem")
            else:
                paywall = paywall_of(files, "http://127.0.0.1", account.client.origin)
                asyncio.run(redeem_offline(paywall))
        after = account.client.account().available(currency)
        return Report(
            {"currency": currency, "units": str(after - before), "available": str(after)},
            [
                f"{show_units(after - before, currency, account.info)} redeemed, "
                f"{show_units(after, currency, account.info)} at the node"
            ],
        )


@command.command("revenue")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC.")
@click.option("--csv", "target", metavar="FILE", help="Write every call; `-` is standard output.")
@click.pass_obj
def revenue(
    session: Session, *, since: datetime | None, until: datetime | None, target: str | None
) -> Report | None:
    """Add up what was sold, by day; charges are kept for 30 days unless the seller keeps them longer.

    Calls of the last seconds may be missing while the seller runs.
    """
    from aisa.cli import seller_revenue as book
    from aisa.paywall.revenue import revenue as sales_of

    files = seller_files(session.home)
    payee = SigningKey(ensure_seller_seed(files)).public_key
    from_ms, until_ms = book.span(since, until)
    with session.progress() as progress, book.csv_at(target) as write:
        progress("reading the seller's file")
        sales = sales_of(files.store, payee, from_ms=from_ms, until_ms=until_ms)
        days = book.count(sales, write)
    return None if target == book.STANDARD_OUTPUT else _revenue_report(days, target)


@command.command("withdraw")
@click.argument("amount")
@click.option("--to", "destination", required=True, metavar="ADDRESS", help="Who receives it.")
@click.option("--asset", metavar="SYMBOL", help="Token to send, by symbol or CAIP-19 name.")
@click.option("--fee-max", metavar="AMOUNT", help="Refuse a higher fee (default: the quote).")
@click.option("--id", "request_id", metavar="ID", help="Repeat an earlier withdrawal by its id.")
@click.pass_obj
def withdraw(
    session: Session,
    *,
    amount: str,
    destination: str,
    asset: str | None,
    fee_max: str | None,
    request_id: str | None,
) -> Report:
    """Send AMOUNT (or `all`) out to a network, and wait until it is settled there."""
    from aisa.cli.withdrawal import withdraw_and_wait

    with _account(session) as account:
        return withdraw_and_wait(
            session,
            account,
            amount,
            destination=destination,
            asset=asset,
            fee_max=fee_max,
            request_id=request_id,
        )


@contextmanager
def _account(session: Session) -> Generator[Account]:
    """The seller's account at the first node that it accepts."""
    files = seller_files(session.home)
    hub = trusted_hubs(files, find_node_url(session.home))[0]
    with payee_account_at(hub.url, ensure_seller_seed(files)) as account:
        yield account


def _revenue_report(days: list[Day], target: str | None) -> Report:
    totals: dict[str, int] = {}
    for day in days:
        totals[day.currency] = totals.get(day.currency, 0) + day.units
    calls = sum(day.calls for day in days)
    rows = [
        (day.day, str(day.calls), str(len(day.payers)), f"{day.amount} {day.currency}")
        for day in days
    ]
    total = ", ".join(f"{amount_text(units, code)} {code}" for code, units in totals.items())
    return Report(
        {
            "calls": calls,
            "earned": [{"currency": code, "units": str(n)} for code, n in totals.items()],
            "days": [
                {
                    "day": day.day,
                    "currency": day.currency,
                    "calls": day.calls,
                    "payers": len(day.payers),
                    "units": str(day.units),
                }
                for day in days
            ],
            "csv": target,
        },
        [
            *([Table(("day", "calls >", "payers >", "earned >"), rows)] if rows else []),
            f"{calls} calls, {total}" if calls else "nothing was sold in that time",
            *([f"every call is in {target}"] if target else []),
        ],
    )


def _up_report(service: Service, paywall: Paywall) -> Report:
    return Report(
        {
            "running": True,
            "url": service.url,
            "origin": paywall.origin,
            "payee": paywall.signer.public_key.hex(),
            "pid": service.pid,
        },
        [
            f"the seller runs at {service.url}; Ctrl-C stops it",
            f"payee {paywall.signer.public_key.hex()}",
        ],
    )
