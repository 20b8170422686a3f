"""The seller's side: ask for payment, check it, charge what was served.

`aisa.paywall.server` runs an application under uvicorn with a bounded head; it is imported by name,
because only it needs uvicorn.
"""

from aisa.client.facilitator_client import TrustedFacilitator
from aisa.paywall.middleware import PaywallMiddleware
from aisa.paywall.paid import Paid, PaidCall, charge, paid
from aisa.paywall.price import FREE, FreeQuota, Price, RequestFacts
from aisa.paywall.proxy import ReverseProxy
from aisa.paywall.redeemer import HubClient, Redeemer, Sweep
from aisa.paywall.seller import Paywall, PaywallOptions, TrustedHub
from aisa.paywall.x402_offer import X402Offer

__all__ = [
    "FREE",
    "FreeQuota",
    "HubClient",
    "Paid",
    "PaidCall",
    "Paywall",
    "PaywallMiddleware",
    "PaywallOptions",
    "Price",
    "Redeemer",
    "RequestFacts",
    "ReverseProxy",
    "Sweep",
    "TrustedFacilitator",
    "TrustedHub",
    "X402Offer",
    "charge",
    "paid",
]
