"""`aisa proxy`: put the paywall before an API that somebody else's program serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from aisa.cli.command import Command, Session
from aisa.cli.node_url import find_node_url
from aisa.cli.report import Report
from aisa.cli.seller_folder import ensure_seller_config, seller_files
from aisa.cli.service import Service
from aisa.errors import ConfigInvalid

if TYPE_CHECKING:
    from aisa.paywall import Paid, Paywall, Price

_EVERYTHING = "/{path:path}"


class _Wishes(TypedDict):
    price: str | None
    routes: tuple[str, ...]
    free: tuple[str, ...]
    host: str
    port: int
    origin: str | None
    node: str | None
    timeout_s: float
    is_play: bool


@click.command("proxy", cls=Command)
@click.option("--upstream", required=True, metavar="URL", help="Where the API answers.")
@click.option("--price", metavar="AMOUNT", help="What every call costs, such as '0.0001 aiUSD'.")
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="ROUTE=AMOUNT",
    help="Another price for 'GET /path' or '/path/{name}'; may be repeated, the first one counts.",
)
@click.option(
    "--free",
    multiple=True,
    metavar="ROUTE",
    help="A route that costs nothing, such as 'GET /health'; may be repeated.",
)
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
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds to wait for the API, between any two pieces of an answer.",
)
@click.option("--test", "is_play", is_flag=True, help="Take play money of a devnet of its own.")
@click.pass_obj
def command(session: Session, upstream: str, **wishes: Unpack[_Wishes]) -> None:
    """Serve the API at --upstream to those who pay, until Ctrl-C or SIGTERM.

    The API needs no change. It learns from the header `Aisa-Payer` who pays for a call; whoever
    can reach it past this proxy needs to pay nothing, so let it listen to this machine only.
    """
    from aisa.cli.seller_run import paywall_of, refuse_a_second, run_seller
    from aisa.paywall import ReverseProxy
    from aisa.paywall.server import listen

    prices = _prices(wishes["price"], wishes["routes"], wishes["free"])
    if wishes["is_play"]:
        from aisa.cli.play import play_session

        session = play_session(session)
    session.make_home()
    files = seller_files(session.home)
    refuse_a_second(files)
    found = wishes["node"] or find_node_url(session.home)
    if found is not None:
        ensure_seller_config(files, found)
    with listen(wishes["host"], wishes["port"]) as listener:
        url = wishes["origin"] or f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = ReverseProxy(upstream, origin=url, timeout_s=wishes["timeout_s"])
        paywall = paywall_of(files, url, found)
        run_seller(
            files,
            app,
            paywall,
            listener,
            lambda service: session.show(_report(service, paywall, app.upstream, prices)),
            prices,
        )


def _prices(
    price: str | None, routes: tuple[str, ...], free: tuple[str, ...]
) -> dict[str, str | Price | Paid]:
    """The price list; free routes come first, and `price` is for what no other route names."""
    from aisa.paywall import FREE
    from aisa.paywall.pricelist import price_list

    prices: dict[str, str | Price | Paid] = dict.fromkeys(free, FREE)
    for one in routes:
        route, equals, amount = one.rpartition("=")
        if not equals or route in prices:
            raise ConfigInvalid(
                f"--route {one[:80]!r} is not a new ROUTE=AMOUNT",
                hint="such as --route 'GET /rates/{day}=0.001 aiUSD'",
            )
        prices[route.strip()] = amount.strip()
    if price is not None:
        prices[_EVERYTHING] = price
    if all(value is FREE for value in prices.values()):
        raise ConfigInvalid("nothing has a price", hint="give --price or --route")
    price_list(prices)
    return prices


def _report(
    service: Service, paywall: Paywall, upstream: str, prices: dict[str, str | Price | Paid]
) -> Report:
    shown = {route: value if isinstance(value, str) else "free" for route, value in prices.items()}
    return Report(
        {
            "running": True,
            "url": service.url,
            "origin": paywall.origin,
            "upstream": upstream,
            "payee": paywall.signer.public_key.hex(),
            "prices": shown,
            "pid": service.pid,
        },
        [
            f"the proxy to {upstream} runs at {service.url}; Ctrl-C stops it",
            *[f"{amount:>16}  {route}" for route, amount in shown.items()],
            f"payee {paywall.signer.public_key.hex()}",
        ],
    )
