"""The seller's side of `batch-settlement` in the official Python SDK."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from line import SETTINGS
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeServerConfig,
)


def channel_scheme() -> BatchSettlementEvmScheme:
    signer = LocalAuthorizerSigner(Account.create())
    config = BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=signer)
    return BatchSettlementEvmScheme(SETTINGS["pay_to"], config)


def manager_config(scheme: BatchSettlementEvmScheme, facilitator: Any) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "facilitator": facilitator,
        "receiver": SETTINGS["pay_to"],
        "token": SETTINGS["token"]["address"],
        "network": SETTINGS["network"],
    }
