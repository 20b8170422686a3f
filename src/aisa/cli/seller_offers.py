"""The `[[x402]]` tables of a seller's file: tokens that it takes for single calls beside AIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from aisa.errors import ConfigInvalid

if TYPE_CHECKING:
    from aisa.paywall import X402Offer

OFFER_NAMES: Final = (
    "network",
    "asset",
    "decimals",
    "domain_name",
    "domain_version",
    "pay_to",
    "facilitators",
    "keeps_keys",
    "method",
    "flow",
    "max_timeout_s",
)
_REQUIRED: Final = frozenset(
    {"network", "asset", "decimals", "domain_name", "domain_version", "pay_to", "facilitators"}
)
_NUMBERS: Final = frozenset({"decimals", "max_timeout_s"})


def offers_in(document: Mapping[str, Any], where: object) -> tuple[X402Offer, ...]:
    """The offers of a seller's file; `where` names it in errors.

    Raises:
        ConfigInvalid: a table is not one, or lacks a setting.
    """
    tables = document.get("x402", [])
    if not isinstance(tables, list):
        raise ConfigInvalid(f"{where}: x402 is not a list of tables", hint="write [[x402]]")
    return tuple(_offer(table, where) for table in cast("list[Any]", tables))


def _offer(table: Any, where: object) -> X402Offer:
    from aisa.client.facilitator_client import TrustedFacilitator
    from aisa.paywall import X402Offer

    if not isinstance(table, dict):
        raise ConfigInvalid(f"{where}: x402 is not a list of tables", hint="write [[x402]]")
    values = dict(cast("dict[str, Any]", table))
    if unknown := set(values) - set(OFFER_NAMES):
        raise ConfigInvalid(
            f"{where}: [[x402]] has no setting {min(unknown)!r}",
            hint=f"one of {', '.join(OFFER_NAMES)}",
        )
    if missing := _REQUIRED - set(values):
        raise ConfigInvalid(f"{where}: [[x402]] lacks {', '.join(sorted(missing))}")
    keeps_keys = values.pop("keeps_keys", False)
    urls = values.pop("facilitators")
    if not isinstance(keeps_keys, bool) or not _are_texts(urls):
        raise ConfigInvalid(f"{where}: facilitators is a list of URLs, keeps_keys true or false")
    for name, value in values.items():
        if type(value) is not (int if name in _NUMBERS else str):
            kind = "a whole number" if name in _NUMBERS else "a text"
            raise ConfigInvalid(f"{where}: {name} of [[x402]] is {kind}")
    facilitators = [TrustedFacilitator(url, keeps_keys) for url in urls]
    return X402Offer(**values, facilitators=facilitators)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))
