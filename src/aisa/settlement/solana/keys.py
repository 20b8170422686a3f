"""The rail's keys, all derived from one seed: the treasury, and one for each account."""

from __future__ import annotations

from functools import lru_cache

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from aisa.identity.derivation import derive_seed


class RailKeys:
    """Derives keypairs on demand and keeps them; the seed never leaves this object."""

    def __init__(self, seed: bytes, network: str) -> None:
        self._seed = seed
        self._network = network
        self._deposits: dict[str, Keypair] = {}
        self.treasury = self._derive("treasury", "")

    def __repr__(self) -> str:
        return f"RailKeys(treasury={self.treasury.pubkey()})"

    def deposit(self, account: str) -> Keypair:
        """The keypair that owns an account's deposit address."""
        keypair = self._deposits.get(account)
        if keypair is None:
            keypair = self._deposits[account] = self._derive("deposit", account)
        return keypair

    def deposit_address(self, account: str) -> str:
        """An account's deposit address."""
        return str(self.deposit(account).pubkey())

    def _derive(self, role: str, account: str) -> Keypair:
        return Keypair.from_seed(derive_seed(self._seed, f"solana {role}", self._network, account))


@lru_cache(maxsize=100_000)
def token_account(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The associated token account of an owner for a mint."""
    return get_associated_token_address(owner, mint)
