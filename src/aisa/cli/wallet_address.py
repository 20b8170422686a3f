"""Where an agent is paid on EVM networks, for what it pays to x402 sellers, and what it holds there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import httpx2

from aisa.cli.report import Report, Table
from aisa.client import SyncNodeClient
from aisa.money import format_units
from aisa.protocol.eip712 import chain_id_of
from aisa.protocol.evm_address import format_address
from aisa.sdk.agent import send_with
from aisa.sdk.home import ensure_agent_seed, read_config
from aisa.sdk.purse import agent_evm_key
from aisa.sdk.sync_driver import SyncDriver
from aisa.sdk.x402_asset import PayableAsset
from aisa.sdk.x402_chain import ask_balance


def addresses(home: Path, network: str | None) -> Report:
    """Report the address on each network that is configured, or on one that is named.

    Raises:
        MalformedMessage: the name is not that of an EVM network.
        ExtraMissing: the packages for EVM networks are not installed.
    """
    if network is not None:
        chain_id_of(network)
    assets = [one for one in read_config(home).x402 if network in {None, one.network}]
    networks = dict.fromkeys([network] if network else [one.network for one in assets])
    root = ensure_agent_seed(home)
    own = {name: agent_evm_key(root, name).address for name in networks}
    held = _balances(own, assets)
    rows = [
        [name, format_address(address), *told]
        for name, address in own.items()
        for told in _told(name, assets, held) or [("", "")]
    ]
    document = {
        "addresses": [
            {
                "network": name,
                "address": format_address(address),
                "balances": [
                    {"asset": one.id, "units": None if units is None else str(units)}
                    for one, units in zip(assets, held, strict=True)
                    if one.network == name
                ],
            }
            for name, address in own.items()
        ]
    }
    nothing = "no token is allowed: see [[agent.x402.asset]] of config.toml"
    table = Table(["network", "address", "token", "balance>"], rows)
    return Report(document, [table] if rows else [nothing])


def _told(
    network: str, assets: Sequence[PayableAsset], held: Sequence[int | None]
) -> list[tuple[str, str]]:
    return [
        (one.symbol, "unknown" if units is None else format_units(units, one.scale))
        for one, units in zip(assets, held, strict=True)
        if one.network == network
    ]


def _balances(own: dict[str, bytes], assets: Sequence[PayableAsset]) -> list[int | None]:
    with httpx2.Client(trust_env=False) as http:
        driver = SyncDriver(lambda step: send_with(http, step), SyncNodeClient)
        with closing(driver):
            return [driver.drive(ask_balance(own[one.network], one)) for one in assets]
