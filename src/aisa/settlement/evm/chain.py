"""Which block is the newest, and which is final."""

from __future__ import annotations

from aisa.settlement.evm.answer import Block
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.settings import EvmSettings


class Chain:
    """Blocks as the RPC servers tell them."""

    def __init__(self, rpc: EvmRpc, settings: EvmSettings) -> None:
        self._rpc = rpc
        self._settings = settings

    async def head(self) -> Block:
        """The newest block, as one server knows it."""
        return await self._rpc.call(Block, "eth_getBlockByNumber", "latest", False)

    async def final_height(self) -> int:
        """The number of the newest block that every answering server calls final; -1 before any.

        Raises:
            RailUnavailable: too few servers answer.
        """
        depth = self._settings.confirmations
        tag = "latest" if depth else "finalized"
        answers = await self._rpc.ask_enough(Block, "eth_getBlockByNumber", [[tag, False]])
        lowest = min(blocks[0].height for blocks in answers)
        return lowest - depth + 1 if depth else lowest

    async def block(self, height: int) -> Block:
        """A block that the servers agree on.

        Raises:
            RailUnavailable: they do not, or too few answer.
        """
        return (await self._rpc.agreed(Block, "eth_getBlockByNumber", [[hex(height), False]]))[0]
