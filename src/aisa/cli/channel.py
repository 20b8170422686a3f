"""`aisa channel`: the channels that this agent opened, and the receipts that it has for them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager

import click

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.cli.command import Noun, Session
from aisa.cli.report import Report, Table
from aisa.errors import NotFound
from aisa.money import currency_by_code, format_units


@click.group("channel", cls=Noun)
def command() -> None:
    """Channels between this agent and sellers."""


@command.command("list")
@click.option("--all", "with_closed", is_flag=True, help="Closed channels too.")
@click.pass_obj
def list_(session: Session, with_closed: bool) -> Report:
    """List this agent's channels: deposit, what may be claimed of it, and with whom."""
    channels = [
        one for one in _channels(session) if with_closed or one.state is not ChannelState.CLOSED
    ]
    rows = [
        [
            one.channel.hex()[:16],
            one.state.value,
            _text(one.deposit, one),
            _text(one.signed, one),
            one.session_url,
        ]
        for one in channels
    ]
    return Report(
        {"channels": [_document(one) for one in channels]},
        [Table(["channel", "state", "deposit>", "signed>", "seller"], rows)]
        if rows
        else ["no channels: the first paid call opens one"],
    )


@command.command("show")
@click.argument("channel")
@click.pass_obj
def show(session: Session, channel: str) -> Report:
    """Show one CHANNEL (the beginning of its id is enough), and what its node says of it."""
    from aisa.cli.account import account_at
    from aisa.cli.node_url import find_node_url
    from aisa.sdk.home import ensure_agent_seed

    found = _find(session, channel)
    # A devnet's port differs from run to run: where the node answered then is the second choice.
    url = find_node_url(session.home) or found.node_url
    with account_at(url, ensure_agent_seed(session.home)) as account:
        view = account.client.channel(found.channel)
    document = {
        **_document(found),
        "at_node": {
            "state": view.state.value,
            "deposit": str(view.deposit),
            "redeemed": str(view.redeemed),
            "fee_taken": str(view.fee_taken),
            "fee_ppm": view.fee_ppm,
            "closes_at_ms": view.closes_at_ms,
        },
    }
    return Report(
        document,
        [
            f"channel  {found.channel.hex()}",
            f"payee    {found.terms.payee.hex()}",
            f"seller   {found.session_url}",
            f"node     {found.node_url} ({found.terms.network})",
            f"state    {found.state.value}; at the node {view.state.value}",
            f"deposit  {_text(view.deposit, found)}",
            f"signed   {_text(found.signed, found)}",
            f"redeemed {_text(view.redeemed, found)}, of it {_text(view.fee_taken, found)} fee",
        ],
    )


@command.command("close")
@click.argument("channel", required=False)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the last redemption.",
)
@click.pass_obj
def close(session: Session, channel: str | None, wait_s: float) -> Report:
    """Close every channel (or CHANNEL alone); what was not spent returns to the agent's account."""
    from aisa.sdk import Agent, ClosedChannel

    def waits(one: ClosedChannel) -> bool:
        return one.state == "closing"

    only = None if channel is None else {_find(session, channel).channel}
    with session.progress() as progress, Agent(session.make_home()) as agent:
        progress("closing channels")
        closed = agent.close_channels(wait_s=wait_s, only=only)
    return Report(
        {
            "channels": [
                {
                    "channel": one.channel.hex(),
                    "state": one.state,
                    "currency": one.deposit.currency.code,
                    "deposit": str(one.deposit.units),
                    "redeemed": str(one.redeemed.units),
                }
                for one in closed
            ]
        },
        [
            f"{one.channel.hex()[:16]} is {one.state}: {one.redeemed} of {one.deposit} redeemed"
            + ("; the rest returns when the node's closing time is over" if waits(one) else "")
            for one in closed
        ]
        or ["no open channels"],
    )


@command.command("verify")
@click.argument("channel", required=False)
@click.option("--limit", type=click.IntRange(1), help="Check only so many receipts, the newest.")
@click.pass_obj
def verify(session: Session, channel: str | None, limit: int | None) -> Report:
    """Check the receipts that this agent keeps (of CHANNEL alone, if named) with their sellers.

    Each is proved by a path to a root that the seller signed; a forged one is an error.
    """
    from aisa.cli.receipt_check import check_receipts

    wanted = [_find(session, channel)] if channel else _channels(session)
    with _wallet(session) as wallet, session.progress() as progress:
        results = check_receipts(wallet, wanted, limit, progress)
    return Report(
        {
            "receipts": sum(one.checked for one in results),
            "channels": [
                {
                    "channel": one.channel.channel.hex(),
                    "checked": one.checked,
                    "units": str(one.units),
                    "gone": one.gone,
                }
                for one in results
            ],
        },
        [
            f"{one.channel.channel.hex()[:16]}: {one.checked} receipts over "
            f"{_text(one.units, one.channel)} are proved"
            + (f"; {one.gone} are no longer kept by the seller" if one.gone else "")
            for one in results
        ]
        or ["no receipts"],
    )


@contextmanager
def _wallet(session: Session) -> Generator[SqliteWallet]:
    from aisa.sdk.home import WALLET_FILE

    with closing(SqliteWallet(session.make_home() / WALLET_FILE)) as wallet:
        yield wallet


def _channels(session: Session) -> list[PayerChannel]:
    with _wallet(session) as wallet:
        return wallet.channels()


def _find(session: Session, prefix: str) -> PayerChannel:
    """The one channel whose id begins so.

    Raises:
        NotFound: there is none, or more than one.
    """
    found = [one for one in _channels(session) if one.channel.hex().startswith(prefix.lower())]
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'no'} channels begin with {prefix[:64]!r}",
            hint="aisa channel list --all",
        )
    return found[0]


def _document(one: PayerChannel) -> dict[str, object]:
    return {
        "channel": one.channel.hex(),
        "state": one.state.value,
        "currency": one.terms.currency,
        "deposit": str(one.deposit),
        "sent": str(one.sent),
        "signed": str(one.signed),
        "payee": one.terms.payee.hex(),
        "session_url": one.session_url,
        "node": one.node_url,
        "network": one.terms.network,
        "opened_at_ms": one.opened_at_ms,
    }


def _text(units: int, one: PayerChannel) -> str:
    return f"{format_units(units, currency_by_code(one.terms.currency).scale)} {one.terms.currency}"
