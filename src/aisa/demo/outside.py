"""Somebody's own wallet on the devnet, outside every node: where money comes from and returns to."""

from __future__ import annotations

from dataclasses import dataclass, field

from solders.keypair import Keypair

from aisa.devnet.solana.wallet import SolanaWallet

FEES_LAMPORTS = 1_000_000_000
"""One SOL of the faucet: enough for every chain tx of a demo."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The wallet of a 32-byte seed at a Solana devnet's RPC."""

    rpc_url: str
    seed: bytes = field(repr=False)

    @property
    def address(self) -> str:
        """Its address."""
        return str(self._keypair().pubkey())

    def open(self) -> SolanaWallet:
        """The wallet itself, an async context manager."""
        return SolanaWallet(self.rpc_url, self._keypair())

    async def mint_and_send(self, mint: str, destination: str, units: int) -> str:
        """Have the issuer make tokens for this wallet, send them on; returns the chain tx."""
        async with self.open() as wallet:
            if await wallet.lamports() < FEES_LAMPORTS // 2:
                await wallet.request_airdrop(FEES_LAMPORTS)
            await wallet.request_tokens(mint, units)
            return await wallet.send_token(mint, destination, units)

    def _keypair(self) -> Keypair:
        return Keypair.from_seed(self.seed)
