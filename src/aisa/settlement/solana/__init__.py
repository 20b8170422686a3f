"""SPL tokens on Solana, over any RPC: a derived deposit address per account, journaled sends."""

from aisa.settlement.solana.rail import SolanaRail
from aisa.settlement.solana.settings import SolanaSettings

__all__ = ["SolanaRail", "SolanaSettings"]
