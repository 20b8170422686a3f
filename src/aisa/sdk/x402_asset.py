"""What an agent may pay x402 sellers with: tokens and limits of `[agent.x402]`, by the owner's word.

A token's domain, its scale and its currency come from here alone; a seller is only compared with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from aisa.channel.payer import Limits
from aisa.errors import AisaError, BudgetExceeded, ConfigInvalid
from aisa.money import Currency, currency_by_code
from aisa.protocol.eip712 import Domain, chain_id_of
from aisa.protocol.evm_address import parse_address
from aisa.protocol.x402.token import EIP3009, PERMIT2_METHOD
from aisa.sdk.budget import Budget

UNITS_MAX: Final = 2**63 - 1
_ASSET: Final = re.compile(r"eip155:[1-9][0-9]{0,15}/erc20:0x[0-9a-fA-F]{40}", re.ASCII)
_SCALE_MAX: Final = 36


class AssetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[agent.x402.asset]]` of config.toml."""

    asset: str
    currency: str
    scale: int
    per_call: str
    per_day: str
    per_seller: str = "none"
    method: str = EIP3009
    name: str = ""
    version: str = ""
    symbol: str = ""
    rpc_url: str = ""


class X402Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[agent.x402]`."""

    asset: tuple[AssetTable, ...] = ()


ASSET_NAMES: Final = AssetTable.__struct_fields__


@dataclass(frozen=True, slots=True)
class PayableAsset:
    """A token that may be paid with; `id` is its CAIP-19 name, `limits` count the currency's units.

    `method` is how it is moved; `name` and `version` are those of the token's EIP-712 domain.
    """

    id: str
    currency: Currency
    scale: int
    limits: Limits
    symbol: str
    method: str
    name: str
    version: str
    rpc_url: str = ""

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        return self.id.partition("/")[0]

    @property
    def address(self) -> bytes:
        """The token's address.

        Raises:
            MalformedMessage: its capitals are not its checksum.
            ExtraMissing: the packages for EVM networks are not installed.
        """
        return parse_address(self.id.rpartition(":")[2], "asset")

    @property
    def domain(self) -> Domain:
        """The domain that its holder signs in by EIP-3009."""
        return Domain(self.name, self.version, chain_id_of(self.network), self.address)

    def units(self, amount: int) -> int:
        """Return what so many atomic units take of the budget, rounded up.

        Raises:
            BudgetExceeded: more than a wallet can count.
        """
        digits = self.currency.scale - self.scale
        units = amount * 10**digits if digits >= 0 else -(-amount // 10**-digits)
        if units > UNITS_MAX:
            raise BudgetExceeded(f"the seller asks for more {self.symbol} than can be counted")
        return units


def read_assets(table: dict[str, Any], path: Path) -> tuple[PayableAsset, ...]:
    """Return the tokens of the table `[agent.x402]`.

    Raises:
        ConfigInvalid: a setting is missing, unknown, or of another type.
    """
    try:
        assets = tuple(map(_asset, msgspec.convert(table, X402Table).asset))
    except (msgspec.ValidationError, AisaError) as error:
        raise ConfigInvalid(f"{path}: [agent.x402]: {error}") from error
    if len({one.id.lower() for one in assets}) < len(assets):
        raise ConfigInvalid(f"{path}: [agent.x402]: an asset stands there twice")
    return assets


def _asset(table: AssetTable) -> PayableAsset:
    if _ASSET.fullmatch(table.asset) is None:
        raise ConfigInvalid(
            f"asset {table.asset[:120]!r} is not written as eip155:8453/erc20:0x and 40 hex digits"
        )
    if not 0 <= table.scale <= _SCALE_MAX:
        raise ConfigInvalid(f"scale {table.scale} is not from 0 to {_SCALE_MAX}")
    if table.method not in {EIP3009, PERMIT2_METHOD}:
        raise ConfigInvalid(f"method {table.method!r} is not {EIP3009} or {PERMIT2_METHOD}")
    if table.method == EIP3009 and not (table.name and table.version):
        raise ConfigInvalid(f"{table.asset} has no name or version, which {EIP3009} needs")
    currency = currency_by_code(table.currency)
    named = {"per_call": table.per_call, "per_seller": table.per_seller, "per_day": table.per_day}
    limits = Budget(**{name: None if text == "none" else text for name, text in named.items()})
    return PayableAsset(
        table.asset,
        currency,
        table.scale,
        limits.limits(currency.code),
        table.symbol or currency.code,
        table.method,
        table.name,
        table.version,
        table.rpc_url,
    )


def tighten(limits: Limits, budget: Budget, currency: str) -> Limits:
    """Return the limits of a token, or those of the budget where they are in its currency and lower."""
    own = budget.part(currency)
    return Limits(
        _lower(limits.per_call, own.per_call),
        _lower(limits.per_seller, own.per_seller),
        _lower(limits.per_day, own.per_day),
    )


def _lower(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
