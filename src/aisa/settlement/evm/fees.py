"""What gas costs now, within the operator's limits."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import RailUnavailable
from aisa.settlement.evm.answer import FeeHistory, quantity
from aisa.settlement.evm.chain_tx import Price
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.settings import EvmSettings

_BLOCKS = 10
_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class GasMarket:
    """The next block's base fee, the tip that half of recent blocks' payers gave, and how full they were."""

    base_wei: int
    tip_wei: int
    congestion_ppm: int


class Fees:
    """Asks for recent fees, and turns them into a price."""

    def __init__(self, rpc: EvmRpc, settings: EvmSettings) -> None:
        self._rpc = rpc
        self._settings = settings

    async def market(self) -> GasMarket:
        """The market as one server sees it."""
        history = await self._rpc.call(FeeHistory, "eth_feeHistory", hex(_BLOCKS), "latest", [50])
        if not history.base_fee_per_gas:
            raise RailUnavailable("the RPC server knows no base fee")
        tips = sorted(quantity(block[0]) for block in history.reward or () if block)
        ratios = history.gas_used_ratio
        full = sum(round(ratio * _PPM) for ratio in ratios) // max(1, len(ratios))
        return GasMarket(
            base_wei=quantity(history.base_fee_per_gas[-1]),
            tip_wei=tips[len(tips) // 2] if tips else 0,
            congestion_ppm=min(_PPM, max(0, full)),
        )

    async def price(self) -> Price:
        """Twice the base fee and the tip: good for six full blocks in a row.

        Raises:
            RailUnavailable: gas costs more than the operator allows, or no server answers.
        """
        market = await self.market()
        limits = self._settings
        tip = min(max(market.tip_wei, limits.tip_wei_min), limits.tip_wei_max)
        if market.base_wei + tip > limits.fee_wei_max:
            raise RailUnavailable(
                f"gas costs {market.base_wei + tip} wei, more than {limits.fee_wei_max}",
                hint="wait, or raise fee_gwei_max",
            )
        return Price(min(2 * market.base_wei + tip, limits.fee_wei_max), tip)

    def is_allowed(self, price: Price) -> bool:
        """Whether a price is within the operator's limit."""
        return price.fee_wei <= self._settings.fee_wei_max
