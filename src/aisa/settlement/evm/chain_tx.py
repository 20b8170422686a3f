"""EIP-1559 chain txs: their bytes to sign, and their bytes once a signer has signed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aisa.identity.evm_key import EvmSigner
from aisa.protocol.keccak import keccak_256


@dataclass(frozen=True, slots=True)
class Price:
    """What one gas may cost, and the part of it that is a tip, in wei."""

    fee_wei: int
    tip_wei: int

    def raised(self, floor: Price) -> Price:
        """Return a price that replaces this one: an eighth more in both parts, or `floor`.

        Servers refuse to replace a chain tx for less than a tenth more.
        """
        fee = max(-(-self.fee_wei * 9 // 8), floor.fee_wei)
        tip = max(-(-self.tip_wei * 9 // 8), self.tip_wei + 1, floor.tip_wei)
        return Price(max(fee, tip), tip)


@dataclass(frozen=True, slots=True)
class ChainTx:
    """One chain tx that is not signed yet."""

    chain_id: int
    nonce: int
    to: bytes
    data: bytes
    value_wei: int
    gas: int
    price: Price

    @property
    def cost_wei_max(self) -> int:
        """What its sender may have to pay for it altogether."""
        return self.gas * self.price.fee_wei + self.value_wei

    def at(self, price: Price) -> ChainTx:
        """The same at another price."""
        return replace(self, price=price)

    def sign(self, signer: EvmSigner) -> tuple[bytes, str]:
        """Return the bytes to send, and the hash that names them on the chain."""
        # Imported here: it takes a second, and a node may have no EVM rail.
        from eth_account.typed_transactions.typed_transaction import (  # noqa: PLC0415
            TypedTransaction,
        )

        members: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "maxPriorityFeePerGas": self.price.tip_wei,
            "maxFeePerGas": self.price.fee_wei,
            "gas": self.gas,
            "to": self.to,
            "value": self.value_wei,
            "data": self.data,
        }
        signature = signer.sign(bytes(TypedTransaction.from_dict(members).hash()))
        members["v"] = signature[64] - 27
        members["r"] = int.from_bytes(signature[:32])
        members["s"] = int.from_bytes(signature[32:64])
        raw = bytes(TypedTransaction.from_dict(members).encode())
        return raw, "0x" + keccak_256(raw).hex()
