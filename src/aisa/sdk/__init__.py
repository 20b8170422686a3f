"""The agent's side: pay for calls within limits that its owner set.

Enter through `Agent` or `AsyncAgent`; `PaymentTransport` and `AsyncPaymentTransport` let an HTTP
client of your own pay. Nothing above the rooms `client` and `channel` is imported, and each HTTP
library only when a name that needs it is used.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aisa.sdk.agent import Agent
    from aisa.sdk.answer import Answer, ClosedChannel, Outcome, Payment, Quote, Receipt, Spent
    from aisa.sdk.async_agent import AsyncAgent
    from aisa.sdk.async_transport import AsyncPaymentTransport
    from aisa.sdk.budget import UNLIMITED, Budget
    from aisa.sdk.transport import PaymentTransport

__all__ = [
    "UNLIMITED",
    "Agent",
    "Answer",
    "AsyncAgent",
    "AsyncPaymentTransport",
    "Budget",
    "ClosedChannel",
    "Outcome",
    "Payment",
    "PaymentTransport",
    "Quote",
    "Receipt",
    "Spent",
]

__modules__ = {
    "UNLIMITED": "budget",
    "Agent": "agent",
    "AsyncAgent": "async_agent",
    "AsyncPaymentTransport": "async_transport",
    "Budget": "budget",
    "PaymentTransport": "transport",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f"{__name__}.{__modules__.get(name, 'answer')}")
    return getattr(module, name)
