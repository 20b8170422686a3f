"""What a test may do to a chain that no real network allows: blocks, time, re-orgs, balances."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

from aisa.devnet.ethereum.rpc import Rpc, quantity
from aisa.errors import RailError

REORG_BLOCKS_MAX: Final = 64
"""How deep a re-org may be; no chain that we serve has seen one half as deep."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's place and name."""

    number: int
    hash: str
    time_s: int


class Control:
    """The levers of one anvil."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def block(self, which: int | str = "latest") -> Block:
        """A block by number or tag.

        Raises:
            RailError: there is none.
        """
        name = hex(which) if isinstance(which, int) else which
        found = self._rpc.call("eth_getBlockByNumber", name, False)
        if not isinstance(found, dict):
            raise RailError(f"the chain has no block {which}")
        block = cast("dict[str, object]", found)
        return Block(quantity(block["number"]), str(block["hash"]), quantity(block["timestamp"]))

    def mine(self, blocks: int = 1, *, interval_s: int = 0) -> Block:
        """Make blocks, each `interval_s` after the one before; returns the newest."""
        params = [hex(blocks)] + ([hex(interval_s)] if interval_s else [])
        self._rpc.call("anvil_mine", *params)
        return self.block()

    @contextmanager
    def held_mining(self) -> Generator[None]:
        """Keep chain txs out of blocks inside; at the end mining goes on as before.

        What waits meanwhile goes into blocks by `mine`, or into the first one afterwards.
        """
        automatic = bool(self._rpc.call("anvil_getAutomine"))
        interval_s = self._rpc.call("anvil_getIntervalMining")
        self._rpc.call("evm_setAutomine", False)
        self._rpc.call("anvil_setIntervalMining", 0)
        try:
            yield
        finally:
            if automatic:
                self._rpc.call("evm_setAutomine", True)
                self._rpc.call("evm_mine")
            elif isinstance(interval_s, int) and interval_s:
                self._rpc.call("anvil_setIntervalMining", interval_s)

    def set_block_time(self, block_time_s: int) -> None:
        """Make a block every so often; 0 makes one for every chain tx, at once."""
        # Each of the two turns the other off, so the one that is wanted comes last.
        if block_time_s:
            self._rpc.call("evm_setAutomine", False)
            self._rpc.call("anvil_setIntervalMining", block_time_s)
        else:
            self._rpc.call("anvil_setIntervalMining", 0)
            self._rpc.call("evm_setAutomine", True)

    def pass_time(self, seconds: int) -> Block:
        """Let time pass at once, and make a block in which it has."""
        self._rpc.call("evm_increaseTime", hex(seconds))
        return self.mine()

    def reorg(
        self, depth: int, *, instead: Sequence[tuple[int, Mapping[str, object] | str]] = ()
    ) -> Block:
        """Replace the newest `depth` blocks by as many others; returns the newest of them.

        Args:
            depth: how many blocks are lost, with every chain tx in them.
            instead: chain txs for the new blocks: the place among them from 0, and the chain tx
                (an object for an unlocked account, or one that is signed, as hex). None brings
                a block back empty.

        Raises:
            RailError: the chain is shorter, or a chain tx of `instead` does not fit.
        """
        if not 0 < depth <= REORG_BLOCKS_MAX:
            raise RailError(f"a re-org of {depth} blocks is not possible")
        before = self.block()
        if before.number < depth:
            raise RailError(f"a chain of {before.number} blocks has no re-org of {depth}")
        pairs = [[tx, place] for place, tx in instead]
        self._rpc.call("anvil_reorg", depth, pairs)
        after = self.block()
        if after.hash == before.hash:
            raise RailError("the re-org has changed nothing")
        return after

    def cut(self, depth: int) -> Block:
        """Lose the newest `depth` blocks and put none in their place: a chain that got shorter."""
        self._rpc.call("anvil_rollback", depth)
        return self.block()

    def snapshot(self) -> str:
        """Remember the chain as it is; `revert` goes back to it, once."""
        return str(self._rpc.call("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot: every block since is gone.

        Raises:
            RailError: there is no such snapshot, or it was used.
        """
        if self._rpc.call("evm_revert", snapshot) is not True:
            raise RailError("the chain knows no such snapshot")

    def set_balance(self, address: str, wei: int) -> None:
        """Write an account's native balance; such money comes from nowhere and is on no record."""
        self._rpc.call("anvil_setBalance", address, hex(wei))

    def set_code(self, address: str, code: str) -> None:
        """Write a contract's code to an address."""
        self._rpc.call("anvil_setCode", address, code)

    def set_base_fee(self, wei: int) -> None:
        """Write the base fee of the next block."""
        self._rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei))

    def drop(self, tx_hash: str) -> bool:
        """Take a chain tx that is in no block out of the pool; says whether it was there."""
        return self._rpc.call("anvil_dropTransaction", tx_hash) is not None

    def drop_all(self) -> None:
        """Take every chain tx that is in no block out of the pool."""
        self._rpc.call("anvil_dropAllTransactions")

    @contextmanager
    def impersonating(self, address: str) -> Generator[None]:
        """Let anvil sign for any address inside, such as a contract's."""
        self._rpc.call("anvil_impersonateAccount", address)
        try:
            yield
        finally:
            self._rpc.call("anvil_stopImpersonatingAccount", address)
