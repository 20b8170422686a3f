"""What a running node says of itself, for `aisa node status`."""

from __future__ import annotations

from aisa.cli.amount_text import show_units
from aisa.cli.report import Report, Table
from aisa.cli.service import Service
from aisa.client import SyncNodeClient


def node_status(process: Service) -> Report:
    """Ask the node who it is, what it owes and what it holds."""
    with SyncNodeClient(process.url) as client:
        info, solvency = client.info(), client.solvency()
    owed = [
        [
            one.currency,
            show_units(one.customers, one.currency, info),
            show_units(one.fees, one.currency, info),
            show_units(one.suspense, one.currency, info),
        ]
        for one in solvency.liabilities
    ]
    return Report(
        {
            "running": True,
            "url": process.url,
            "pid": process.pid,
            "network": info.network,
            "labels": list(info.labels),
            "withdrawals_open": info.withdrawals_open,
            "solvent": solvency.solvent,
            "checked_at_ms": solvency.checked_at_ms,
            "liabilities": [
                {
                    "currency": one.currency,
                    "customers": str(one.customers),
                    "fees": str(one.fees),
                    "suspense": str(one.suspense),
                }
                for one in solvency.liabilities
            ],
            "holdings": [
                {"asset": one.asset, "owed": str(one.owed), "held": str(one.held)}
                for one in solvency.holdings
            ],
        },
        [
            f"{info.network} at {process.url}, pid {process.pid}",
            *info.labels,
            f"withdrawals are {'open' if info.withdrawals_open else 'stopped'}",
            Table(["currency", "owed to customers>", "fees>", "held apart>"], owed),
        ],
    )
