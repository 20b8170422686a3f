"""The node's HTTP application: routes over services, and its OpenAPI."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from aisa.client import message
from aisa.node import openapi, problems
from aisa.node.api import about, account, channel, deposit, redemption, withdrawal, x402
from aisa.node.services import VERSION, Services
from aisa.protocol.aip import DepositStatement

_ROUTERS: Final = (about, account, deposit, withdrawal, channel, redemption, x402)
_MESSAGES: Final = (
    message.NodeInfo,
    message.SolvencyInfo,
    message.AccountInfo,
    message.TransferPage,
    message.TransferReceipt,
    message.DepositAddress,
    message.DepositAddressRequest,
    message.DepositPage,
    message.WithdrawalQuote,
    message.WithdrawalQuoteRequest,
    message.WithdrawalInfo,
    message.WithdrawalPage,
    message.WithdrawalRequest,
    message.OpenedChannel,
    message.OpenChannelRequest,
    message.ChannelPage,
    message.TopUpRequest,
    message.CloseChannelRequest,
    message.RedemptionClaim,
    message.RedemptionResult,
    DepositStatement,
)
_DESCRIPTION: Final = (
    "Accounts, channels and redemptions of one node. Amounts are digit strings of whole units; "
    "keys, ids and signatures base64url; channel ids hex in paths. Signed requests follow RFC 9421."
)


def create_app(services: Services) -> FastAPI:
    """Return the application of a node."""
    app = FastAPI(
        title="AISA node",
        version=VERSION,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for module in _ROUTERS:
        app.include_router(module.router(services))
    problems.install(app, services.ledger_stopped.set)
    app.openapi = lambda: _document(app)
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # a wrong request is a 400 here
        of_parameters = document.get("components", {}).get("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            of_parameters.pop(unused, None)
        document["components"] = {
            "schemas": of_parameters | openapi.components(_MESSAGES),
            "securitySchemes": openapi.security_schemes(),
        }
        app.openapi_schema = document
    return app.openapi_schema
