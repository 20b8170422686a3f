"""`aisa wallet`: the agent's money at its node."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from aisa.channel.wallet import WalletReceipt
from aisa.cli.account import Account, agent_account
from aisa.cli.amount_text import read_amount, show_units
from aisa.cli.command import Noun, Session
from aisa.cli.report import Report, Table
from aisa.cli.withdrawal import withdraw_and_wait
from aisa.client import TransferInfo
from aisa.client.message import Direction
from aisa.errors import InvalidRequest


@click.group("wallet", cls=Noun)
def command() -> None:
    """The agent's money: balances, deposits, withdrawals, log."""


@command.command("show")
@click.pass_obj
def show(session: Session) -> Report:
    """Show what the agent has at its node, and what stands in its channels."""
    with agent_account(session.home) as account:
        found = account.client.account()
        channels = account.open_channels()
        rows = [
            [
                one.currency,
                show_units(one.available, one.currency, account.info),
                show_units(one.units, one.currency, account.info),
                show_units(
                    sum(c.deposit - c.redeemed for c in channels if c.currency == one.currency),
                    one.currency,
                    account.info,
                ),
            ]
            for one in found.balances
        ]
        document = {
            "node": account.client.origin,
            "network": account.info.network,
            "account": found.key.hex(),
            "balances": [
                {"currency": one.currency, "units": str(one.units), "available": str(one.available)}
                for one in found.balances
            ],
            "in_channels": [
                {
                    "channel": c.channel.hex(),
                    "currency": c.currency,
                    "units": str(c.deposit - c.redeemed),
                }
                for c in channels
            ],
        }
        empty = [] if rows else ["nothing yet: aisa wallet fund prints where to send money"]
        table = (
            [Table(["currency", "available>", "balance>", "in channels>"], rows)] if rows else []
        )
        return Report(
            document,
            [
                f"account {found.key.hex()} at {account.client.origin}",
                *account.labels,
                *table,
                *empty,
            ],
        )


@command.command("fund")
@click.option("--asset", metavar="SYMBOL", help="Token to deposit, by symbol or CAIP-19 name.")
@click.option(
    "--devnet", "gift", metavar="AMOUNT", help="On a devnet: mint so much test money and send it."
)
@click.option("--wait/--no-wait", default=True, help="Wait until something arrives (default).")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop waiting after so long.",
)
@click.pass_obj
def fund(
    session: Session, asset: str | None, gift: str | None, wait: bool, timeout_s: float
) -> Report:
    """Print the address that funds this wallet, wait, and say what arrived."""
    from aisa.cli.deposit import arrivals, give_test_money, running_devnet

    with agent_account(session.home) as account:
        token = account.token(asset)
        units = None if gift is None else read_amount(gift, account.info).units
        devnet = None if gift is None else running_devnet(session)
        address = account.client.deposit_address(token.asset)
        before = account.deposit_ids()
        request = f"send {token.symbol} on {token.network} to\n\n  {address.address}\n"
        if wait:
            session.say(request)
        sent = None
        if units is not None and devnet is not None:
            sent = give_test_money(session.home, devnet, token.symbol, address.address, units)
        came = arrivals(account, before, session, timeout_s) if wait else []
        return Report(
            {
                "network": address.network,
                "asset": address.asset,
                "address": address.address,
                "sent": sent,
                "deposits": [
                    {
                        "id": one.id,
                        "asset": one.asset,
                        "currency": one.currency,
                        "units": str(one.units),
                        "state": one.state.value,
                        "reference": one.reference,
                    }
                    for one in came
                ],
            },
            ([] if wait else [request])
            + [
                f"{show_units(one.units, one.currency, account.info)} arrived ({one.state.value})"
                f"{f': {one.reason}' if one.reason else ''}"
                for one in came
            ],
        )


@command.command("address")
@click.option("--network", metavar="NAME", help="One EVM network, such as eip155:8453.")
@click.pass_obj
def address(session: Session, network: str | None) -> Report:
    """Print the addresses that x402 sellers are paid from, and what they hold."""
    from aisa.cli.wallet_address import addresses

    return addresses(session.make_home(), network)


@command.command("approve")
@click.argument("token", metavar="SYMBOL")
@click.pass_obj
def approve(session: Session, token: str) -> Report:
    """Let Permit2 move a token to x402 sellers; once, for gas of the agent's address."""
    from aisa.cli.wallet_approval import approve as approve_token

    return approve_token(session.make_home(), token)


@command.command("withdraw")
@click.argument("amount")
@click.option("--to", "destination", required=True, metavar="ADDRESS", help="Who receives it.")
@click.option("--asset", metavar="SYMBOL", help="Token to send, by symbol or CAIP-19 name.")
@click.option(
    "--fee-max", metavar="AMOUNT", help="Refuse a higher network fee (default: the quote)."
)
@click.option("--id", "request_id", metavar="ID", help="Repeat an earlier withdrawal by its id.")
@click.pass_obj
def withdraw(
    session: Session,
    amount: str,
    destination: str,
    asset: str | None,
    fee_max: str | None,
    request_id: str | None,
) -> Report:
    """Send AMOUNT (or `all`) out to a network, and wait until it is settled there."""
    with agent_account(session.home) as account:
        return withdraw_and_wait(
            session,
            account,
            amount,
            destination=destination,
            asset=asset,
            fee_max=fee_max,
            request_id=request_id,
        )


@command.command("log")
@click.option("--currency", metavar="CODE", help="Which currency (default: the node's first).")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many of each."
)
@click.pass_obj
def log(session: Session, currency: str | None, limit: int) -> Report:
    """List what moved in this account, and the calls that were paid for, the newest first."""
    with agent_account(session.home) as account:
        code = currency or account.first_currency
        if account.info.currency(code) is None:
            raise InvalidRequest(f"the node keeps no {code[:20]!r}")
        transfers = account.client.transfers(code, limit=limit).transfers
        payments = paid_calls(session.home, code, limit)
        lines: list[str | Table] = []
        if transfers:
            lines.append(_log_table(account, transfers))
        if payments:
            lines.append(_payment_table(account, code, payments))
        return Report(
            {
                "currency": code,
                "transfers": [_transfer(one) for one in transfers],
                "payments": [_payment(one) for one in payments],
            },
            lines or ["nothing moved yet"],
        )


def paid_calls(home: Path, currency: str, limit: int) -> list[WalletReceipt]:
    """The newest paid calls of this home's wallet in a currency, the newest first."""
    from aisa.channel.wallet_sqlite.wallet import SqliteWallet
    from aisa.cli.receipt_check import newest_receipts
    from aisa.sdk.home import WALLET_FILE

    if not (home / WALLET_FILE).exists():
        return []
    with closing(SqliteWallet(home / WALLET_FILE)) as wallet:
        ours = {one.channel for one in wallet.channels() if one.terms.currency == currency}
        kept = newest_receipts(wallet, limit)
    return [one for one in reversed(kept) if one.leaf.channel in ours]


def _payment(one: WalletReceipt) -> dict[str, object]:
    return {
        "at_ms": one.at_ms,
        "method": one.method,
        "url": one.url,
        "status": one.leaf.status,
        "units": str(one.leaf.units),
        "channel": one.leaf.channel.hex(),
        "lane": one.leaf.lane,
        "seq": one.leaf.seq,
    }


def _payment_table(account: Account, code: str, payments: Sequence[WalletReceipt]) -> Table:
    rows = [
        [
            _time(one.at_ms),
            f"{one.method} {one.url}",
            str(one.leaf.status),
            "-" + show_units(one.leaf.units, code, account.info),
            f"{one.leaf.channel.hex()[:16]} {one.leaf.lane}:{one.leaf.seq}",
        ]
        for one in payments
    ]
    return Table(["time (UTC)", "paid call", "status>", "amount>", "receipt"], rows)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _transfer(one: TransferInfo) -> dict[str, object]:
    return {
        "seq": one.seq,
        "id": one.id,
        "kind": one.kind,
        "code": one.code,
        "currency": one.currency,
        "units": str(one.units),
        "direction": one.direction.value,
        "counterparty": one.counterparty,
        "reference": one.reference,
        "at_ms": one.at_ms,
    }


def _log_table(account: Account, transfers: tuple[TransferInfo, ...]) -> Table:
    rows = [
        [
            _time(one.at_ms),
            f"{one.code} {one.kind}" if one.kind != "transfer" else one.code,
            ("+" if one.direction is Direction.IN else "-")
            + show_units(one.units, one.currency, account.info),
            one.counterparty,
            one.reference,
        ]
        for one in transfers
    ]
    return Table(["time (UTC)", "what", "amount>", "with", "reference"], rows)
