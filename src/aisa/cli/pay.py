"""`aisa pay`: one paid call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aisa.cli.command import Command, Session
from aisa.cli.exit_code import DONE, NOT_HELD
from aisa.cli.report import Report
from aisa.errors import BudgetExceeded, InvalidRequest
from aisa.money import AIUSD, Amount, format_units, parse_amount, parse_units

if TYPE_CHECKING:
    from aisa.sdk import Agent, Answer, Payment


@click.command("pay", cls=Command)
@click.argument("url")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and pay nothing.")
@click.option(
    "--max",
    "price_max",
    metavar="AMOUNT",
    help="Refuse a higher price: 0.01, or '0.01 aiUSD'.",
)
@click.option(
    "--method", "-X", metavar="METHOD", help="HTTP method (default: GET, or POST with --data)."
)
@click.option(
    "--data", "-d", metavar="TEXT", help="Body to send; @FILE reads a file, @- standard input."
)
@click.option(
    "--header", "-H", "headers", metavar="NAME:VALUE", multiple=True, help="Header; repeatable."
)
@click.option("--id", "call_id", metavar="ID", help="Repeat safely: the same id is paid once.")
@click.pass_obj
def command(
    session: Session,
    *,
    url: str,
    dry_run: bool,
    price_max: str | None,
    method: str | None,
    data: str | None,
    headers: tuple[str, ...],
    call_id: str | None,
) -> Report:
    """Call a paid URL and print the answer and its receipt."""
    from aisa.sdk import Agent

    body = None if data is None else _body(data)
    verb = (method or ("GET" if body is None else "POST")).upper()
    limit = None if price_max is None else _limit(price_max)
    with session.progress() as progress, Agent(session.make_home()) as agent:
        # A seller that restarts is waited for; whoever mistyped its port must see why.
        progress(f"waiting for {url}")
        if dry_run:
            return _quoted(agent, verb, url, limit)
        try:
            answer = agent.request(
                verb,
                url,
                headers=dict(_header(one) for one in headers),
                content=body or b"",
                price_max=limit,
                call_id=call_id,
            )
        except BudgetExceeded as error:
            if error.facts.get("limit") != "price_max":
                raise
            # The agent names its own argument; here it is an option.
            detail = error.detail.replace("price_max", f"--max {limit}")
            raise BudgetExceeded(detail, hint="raise --max", **error.facts) from error
    return _answered(answer)


def _quoted(agent: Agent, method: str, url: str, limit: Amount | None) -> Report:
    quote = agent.quote(url, method=method)
    if quote.price is not None and limit is not None and limit < quote.price:
        raise BudgetExceeded(f"{url} costs {quote.price}, above --max {limit}", limit="per_call")
    price = "nothing" if quote.price is None else str(quote.price)
    return Report(
        {
            "url": url,
            "price": None if quote.price is None else _amount(quote.price),
            "payee": quote.payee.hex(),
            "node": quote.node,
            "status": quote.status,
            "paid": False,
        },
        [
            f"{method} {url} costs {price}",
            *([f"paid to {quote.payee.hex()} through {quote.node}"] if quote.price else []),
            "nothing was paid",
        ],
    )


def _answered(answer: Answer) -> Report:
    payment = answer.payment
    lines = [answer.text.rstrip("\n"), ""] if answer.content else []
    if not answer.is_success:
        lines.insert(0, f"HTTP {answer.status}")
    lines.append("no payment was asked for" if payment is None else _receipt_line(payment))
    return Report(
        {
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": _readable(answer),
            "payment": None if payment is None else _payment(payment),
        },
        lines,
        DONE if answer.is_success else NOT_HELD,
    )


def _receipt_line(payment: Payment) -> str:
    if payment.problem:
        return f"{payment.outcome.value}: {payment.problem}"
    return (
        f"paid {payment.charged} to {payment.payee.hex()[:16]}…; "
        f"receipt {payment.channel.hex()[:16]}… {payment.lane}:{payment.seq}"
    )


def _payment(payment: Payment) -> dict[str, object]:
    return {
        "outcome": payment.outcome.value,
        "charged": _amount(payment.charged),
        "payee": payment.payee.hex(),
        "channel": payment.channel.hex(),
        "lane": payment.lane,
        "seq": payment.seq,
        "at_ms": payment.at_ms,
        "id": payment.call_id,
        "problem": payment.problem,
    }


def _amount(amount: Amount) -> dict[str, str]:
    return {
        "currency": amount.currency.code,
        "units": str(amount.units),
        "text": format_units(amount.units, amount.currency.scale),
    }


def _readable(answer: Answer) -> object:
    """The body as JSON where it is JSON, else as text."""
    if "json" in answer.headers.get("content-type", ""):
        try:
            return json.loads(answer.content)
        except ValueError:
            return answer.text
    return answer.text


def _limit(text: str) -> Amount:
    return parse_amount(text) if " " in text else Amount(parse_units(text, AIUSD.scale), AIUSD)


def _body(data: str) -> bytes:
    if not data.startswith("@"):
        return data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"--data cannot be read: {error}") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise InvalidRequest(f"--header {text[:60]!r} is not NAME:VALUE")
    return name.strip(), value.strip()
