"""The routes of a seller, as the official Python SDK wants them."""

from __future__ import annotations

from line import SETTINGS
from x402.http.types import PaymentOption, RouteConfig
from x402.schemas import AssetAmount


def route_table() -> dict[str, RouteConfig]:
    table: dict[str, RouteConfig] = {}
    for route in SETTINGS["routes"]:
        option = PaymentOption(
            scheme=route["scheme"],
            pay_to=SETTINGS["pay_to"],
            price=AssetAmount(amount=route["amount"], asset=route["asset"], extra=route["extra"]),
            network=SETTINGS["network"],
        )
        table[f"GET {route['path']}"] = RouteConfig(accepts=[option], mime_type="application/json")
    return table
