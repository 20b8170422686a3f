"""Signed transfers in the wallet: what pays an x402 seller, from before it is signed.

A signed transfer can be carried out until it expires, whatever its seller said. So its units count
as spent from the moment it is written down, and come back only when it is proved that nobody
carried it out and nobody can any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TransferState(Enum):
    """Where a signed transfer stands.

    SENT is under way, or its process died. HELD was refused or not answered: the same call sends it
    again. UNKNOWN was answered without a word about the payment. FAILED is proved never to move.
    """

    SENT = "sent"
    HELD = "held"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WalletTransfer:
    """One transfer, named by its nonce, and the request that it pays for.

    `units` are what it takes of the budget, in `currency`; `asset` is a CAIP-19 name; `expiry` is
    in unix seconds. `body` is the payment without its signature.
    """

    nonce: bytes
    call_id: str
    method: str
    url: str
    digest: bytes
    asset: str
    payee: bytes
    currency: str
    units: int
    expiry: int
    body: bytes
    at_ms: int
    state: TransferState = TransferState.SENT
    chain_tx: str = ""

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        return self.asset.partition("/")[0]
