"""What a running node says of itself, for `aisa node status`."""

from __future__ import annotations

from datetime import UTC, datetime

from aisa.cli.amount_text import show_units
from aisa.cli.report import Report, Table
from aisa.cli.service import Service
from aisa.client import SolvencyInfo, SyncNodeClient
from aisa.errors import RailUnavailable


def node_status(process: Service) -> Report:
    """Ask the node who it is, what it owes and what it holds."""
    with SyncNodeClient(process.url) as client:
        info, solvency = client.info(), _last_comparison(client)
    owed = [
        [
            one.currency,
            show_units(one.customers, one.currency, info),
            show_units(one.fees, one.currency, info),
            show_units(one.suspense, one.currency, info),
        ]
        for one in (solvency.liabilities if solvency else ())
    ]
    return Report(
        {
            "running": True,
            "url": process.url,
            "pid": process.pid,
            "network": info.network,
            "labels": list(info.labels),
            "withdrawals_open": info.withdrawals_open,
            "solvent": solvency.solvent if solvency else None,
            "checked_at_ms": solvency.checked_at_ms if solvency else None,
            "liabilities": [
                {
                    "currency": one.currency,
                    "customers": str(one.customers),
                    "fees": str(one.fees),
                    "suspense": str(one.suspense),
                }
                for one in (solvency.liabilities if solvency else ())
            ],
            "holdings": [
                {"asset": one.asset, "owed": str(one.owed), "held": str(one.held)}
                for one in (solvency.holdings if solvency else ())
            ],
        },
        [
            f"{info.network} at {process.url}, pid {process.pid}",
            *info.labels,
            f"withdrawals are {'open' if info.withdrawals_open else 'stopped'}",
            *_owed_lines(owed, solvency),
        ],
    )


def _last_comparison(client: SyncNodeClient) -> SolvencyInfo | None:
    """None while the node has not read its holdings yet: just started, or its network is away."""
    try:
        return client.solvency()
    except RailUnavailable:
        return None


def _owed_lines(owed: list[list[str]], solvency: SolvencyInfo | None) -> list[str | Table]:
    if solvency is None:
        return ["what is owed and held was not compared yet: no network has answered so far"]
    checked = datetime.fromtimestamp(solvency.checked_at_ms / 1000, UTC)
    return [
        f"compared at {checked:%Y-%m-%d %H:%M:%S} UTC: "
        + ("all that is owed is held" if solvency.solvent else "the node owes more than it holds"),
        Table(["currency", "owed to customers>", "fees>", "held apart>"], owed),
    ]
