"""What a Solana devnet starts with: its keys, its mints and its pace, all derived from one seed.

The keys guard nothing: everybody who knows the seed can mint. That is why the network has a genesis
hash of its own, and so a CAIP-2 name that no real network has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

LABEL = "SVM in process: real VM and token programs, simulated consensus"

# Circle's devnet address for USDC: clients of other projects accept this mint without an option.
TEST_USDC_MINT = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"

FAUCET_LAMPORTS = 100_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class MintSpec:
    """A token that the devnet's issuer can make; `scale` is its count of decimals."""

    symbol: str
    address: str
    scale: int


@dataclass(frozen=True, slots=True)
class Genesis:
    """The fixed beginning of one devnet.

    `confirm_slots` and `finalize_slots` are the distances in slots at which a chain tx counts as
    confirmed and as finalized; 1 and 32 are what the real network shows.
    """

    seed: str = "aisa"
    slot_ms: int = 400
    confirm_slots: int = 0
    finalize_slots: int = 2
    mints: tuple[MintSpec, ...] = field(default=())

    def keypair(self, role: str) -> Keypair:
        """The devnet's key for a role, such as `faucet` or `issuer`."""
        return Keypair.from_seed(self._digest(f"key {role}"))

    def mint_specs(self) -> tuple[MintSpec, ...]:
        """The mints made at boot: those asked for, else aiUSD and test-USDC at scale 6."""
        if self.mints:
            return self.mints
        ai_usd = str(self.keypair("mint aiUSD").pubkey())
        return (MintSpec("aiUSD", ai_usd, 6), MintSpec("test-USDC", TEST_USDC_MINT, 6))

    def mint_by_address(self, address: Pubkey) -> MintSpec | None:
        """The boot mint at an address, if there is one."""
        text = str(address)
        return next((mint for mint in self.mint_specs() if mint.address == text), None)

    @property
    def genesis_hash(self) -> str:
        """The hash that names this network, in base58."""
        return str(Hash(self._digest("genesis hash")))

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        return f"solana:{self.genesis_hash[:32]}"

    def asset(self, mint: str) -> str:
        """The CAIP-19 name of a mint on this network."""
        return f"{self.network}/token:{mint}"

    def _digest(self, purpose: str) -> bytes:
        return hashlib.sha256(f"aisa devnet solana {self.seed} {purpose}".encode()).digest()
