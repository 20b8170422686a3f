"""One Solana devnet in this process: a chain, its RPC, and the file that keeps it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from aisa.devnet.solana import state
from aisa.devnet.solana.blocks import Clock
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.genesis import LABEL, Genesis
from aisa.devnet.solana.rpc import Rpc


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Devnet:
    """A devnet for tests in one process, and what the server serves.

    With a path it goes on from that file, and `save` writes it back.
    """

    def __init__(
        self,
        genesis: Genesis | None = None,
        *,
        path: Path | None = None,
        clock: Clock = _now_ms,
    ) -> None:
        self.genesis = genesis or Genesis()
        self._path = path
        if path is None:
            self.chain = Chain(self.genesis, clock=clock)
        else:
            self.chain = state.restore(self.genesis, path, clock=clock)
        self.rpc = Rpc(self.chain)

    def call(self, method: str, *params: object) -> object:
        """Answer one RPC call.

        Raises:
            RpcRefusal: the call is answered with an error.
        """
        return self.rpc.call(method, *params)

    def answer(self, body: bytes) -> bytes:
        """Answer the body of one HTTP request."""
        return self.rpc.answer(body)

    @property
    def changes(self) -> int:
        """A number that is another one whenever `save` would write something else."""
        return self.chain.history.added + self.chain.blocks.era.warped_slots

    def save(self) -> None:
        """Write the chain to its file, if it has one."""
        if self._path is not None:
            state.save(self.chain, self._path)

    def card(self, url: str) -> Mapping[str, object]:
        """What a client must know: URL, network, mints, and the label to show to people."""
        return {
            "label": LABEL,
            "url": url,
            "network": self.genesis.network,
            "issuer": str(self.genesis.keypair("issuer").pubkey()),
            "mints": [
                {
                    "symbol": spec.symbol,
                    "mint": spec.address,
                    "asset": self.genesis.asset(spec.address),
                    "scale": spec.scale,
                }
                for spec in self.genesis.mint_specs()
            ],
        }
