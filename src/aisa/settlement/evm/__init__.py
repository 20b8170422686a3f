"""ERC-20 tokens on any EVM chain, by configuration: derived deposit addresses, journaled sends."""

from aisa.settlement.evm.escrow_settings import EscrowSettings
from aisa.settlement.evm.rail import EvmRail
from aisa.settlement.evm.settings import EvmSettings

__all__ = ["EscrowSettings", "EvmRail", "EvmSettings"]
