"""The agent's side: pay for calls within limits that its owner set.

Enter through `Agent` or `AsyncAgent`; `PaymentTransport` and `AsyncPaymentTransport` let an HTTP
client of your own pay. Nothing above the rooms `client` and `channel` is imported.
"""

from aisa.sdk.agent import Agent
from aisa.sdk.answer import Answer, ClosedChannel, Outcome, Payment, Quote, Receipt, Spent
from aisa.sdk.async_agent import AsyncAgent
from aisa.sdk.budget import UNLIMITED, Budget
from aisa.sdk.transport import AsyncPaymentTransport, PaymentTransport

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
