"""The rail's keys, all derived from one seed: the treasury, and one for each account."""

from __future__ import annotations

from aisa.identity import derive_seed
from aisa.identity.evm_key import EvmKey, EvmSigner
from aisa.protocol.evm_address import format_address


class RailKeys:
    """Derives signers on demand and keeps them; the seed never leaves this object."""

    def __init__(self, seed: bytes, network: str) -> None:
        self._seed = seed
        self._network = network
        self._deposits: dict[str, EvmKey] = {}
        self.treasury: EvmSigner = self._derive("treasury", "")

    def __repr__(self) -> str:
        return f"RailKeys(treasury={format_address(self.treasury.address)})"

    def deposit(self, account: str) -> EvmSigner:
        """The signer that owns an account's deposit address."""
        key = self._deposits.get(account)
        if key is None:
            key = self._deposits[account] = self._derive("deposit", account)
        return key

    def _derive(self, role: str, account: str) -> EvmKey:
        return EvmKey(derive_seed(self._seed, f"evm {role}", self._network, account))
