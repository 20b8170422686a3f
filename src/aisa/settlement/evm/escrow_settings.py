"""Which escrow contract an EVM rail uses, and what brings deposits into it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Final

import msgspec

from aisa.errors import ConfigInvalid
from aisa.protocol.escrow import BATCH_CONTRACT
from aisa.protocol.keccak import keccak_256
from aisa.protocol.x402.batch import EIP3009_COLLECTOR, PERMIT2_COLLECTOR

CLAIMS_MAX: Final = 100


class _Artifact(msgspec.Struct, frozen=True):
    deployed_bytecode: str


@dataclass(frozen=True, slots=True)
class EscrowSettings:
    """Addresses of 20 bytes; a collector that is None is x402's own, at x402's own contract.

    The address of x402's contract is made of its code, so nothing else can stand there on a main
    network. At any other address `code_hash` (keccak-256 of the runtime code) says what must stand;
    None is our own contract as this version compiles it.

    Raises:
        ConfigInvalid: a value has another size.
    """

    contract: bytes = BATCH_CONTRACT
    eip3009_collector: bytes | None = None
    permit2_collector: bytes | None = None
    code_hash: bytes | None = None

    def __post_init__(self) -> None:
        addresses = self.contract, self.eip3009_collector, self.permit2_collector
        if any(one is not None and len(one) != 20 for one in addresses):
            raise ConfigInvalid("an escrow's address has 20 bytes")
        if self.code_hash is not None and len(self.code_hash) != 32:
            raise ConfigInvalid("the hash of an escrow's code has 32 bytes")

    @property
    def is_canonical(self) -> bool:
        """Whether it is the contract at x402's own address."""
        return self.contract == BATCH_CONTRACT

    @property
    def eip3009(self) -> bytes | None:
        """The collector of EIP-3009 deposits, if there is one."""
        default = EIP3009_COLLECTOR if self.is_canonical else None
        return self.eip3009_collector or default

    @property
    def permit2(self) -> bytes | None:
        """The collector of Permit2 deposits, if there is one."""
        default = PERMIT2_COLLECTOR if self.is_canonical else None
        return self.permit2_collector or default


def own_code_hash() -> bytes:
    """The keccak-256 hash of our own contract's runtime code, which is the same at any address."""
    folder = resources.files("aisa.settlement.evm")
    raw = (folder / "artifacts" / "ChannelEscrow.json").read_bytes()
    code = msgspec.json.decode(raw, type=_Artifact).deployed_bytecode
    return keccak_256(bytes.fromhex(code.removeprefix("0x")))
