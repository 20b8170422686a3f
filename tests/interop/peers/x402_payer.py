"""A payer of the official Python SDK: which schemes it has a key for."""

from __future__ import annotations

from typing import TypeVar

from eth_account import Account
from line import SETTINGS
from x402 import x402Client, x402ClientSync
from x402.mechanisms.evm.batch_settlement.client import BatchSettlementEvmScheme
from x402.mechanisms.evm.exact import ExactEvmScheme

Payer = TypeVar("Payer", x402Client, x402ClientSync)


def with_schemes(payer: Payer) -> Payer:
    network = SETTINGS["network"]
    account = Account.from_key(SETTINGS["key"])
    payer.register(network, ExactEvmScheme(account))
    payer.register(network, BatchSettlementEvmScheme(account))
    # Of tokens that it does not know it pays only those that it was told to.
    allowed = [{"network": network, "asset": one} for one in SETTINGS["assets"]]
    return payer.set_spend_controls({"allowed_assets": allowed})
