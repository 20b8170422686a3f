"""EIP-1559 chain txs: their bytes to sign, and their bytes once a signer has signed."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.identity.evm_key import EvmSigner
from aisa.protocol.evm_transaction import Transaction, transaction_hash


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

    def sign(self, signer: EvmSigner) -> tuple[bytes, str]:
        """Return the bytes to send, and the hash that names them on the chain."""
        unsigned = Transaction(
            chain_id=self.chain_id,
            nonce=self.nonce,
            tip_wei_max=self.price.tip_wei,
            fee_wei_max=self.price.fee_wei,
            gas_max=self.gas,
            to=self.to,
            value_wei=self.value_wei,
            data=self.data,
        )
        raw = unsigned.signed(signer.sign(unsigned.digest()))
        return raw, "0x" + transaction_hash(raw).hex()
