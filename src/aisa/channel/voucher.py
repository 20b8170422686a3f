"""How a channel's vouchers are signed and checked: as the network that holds its deposit would.

At a hub a voucher is 50 bytes under the payer's Ed25519 key. In a contract of an EVM network it is
the contract's typed data under the payer's voucher key: what the seller holds is what it can claim
with, and nothing is signed again.
"""

from __future__ import annotations

from typing import Protocol

from aisa.errors import VoucherRefused
from aisa.identity import EvmSigner, Signer, verify_signature
from aisa.identity.evm_key import is_evm_signature
from aisa.protocol.aip import Voucher, escrow_of
from aisa.protocol.eip712 import Domain
from aisa.protocol.escrow import ChannelConfig, voucher_digest


class VoucherScheme(Protocol):
    """The payee's side: whether a voucher of one channel is its payer's."""

    def is_signed(self, voucher: Voucher) -> bool:
        """Whether the payer signed it; malformed signatures are false."""
        ...


class VoucherKey(Protocol):
    """The payer's side: the key that signs one channel's ceilings."""

    def voucher(self, channel: bytes, ceiling: int) -> Voucher:
        """Return the signed voucher; nothing is signed that is not written down before."""
        ...


class HubVouchers:
    """Vouchers of a channel at a hub, under the payer's 32-byte Ed25519 key."""

    __slots__ = ("_payer",)

    def __init__(self, payer: bytes) -> None:
        self._payer = payer

    def is_signed(self, voucher: Voucher) -> bool:
        """Whether the payer signed it; malformed signatures are false."""
        return verify_signature(self._payer, voucher.message(), voucher.signature)


class HubVoucherKey:
    """The payer's Ed25519 key at a hub."""

    __slots__ = ("_signer",)

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def voucher(self, channel: bytes, ceiling: int) -> Voucher:
        """Return the signed voucher."""
        signature = self._signer.sign(Voucher(channel, ceiling).message())
        return Voucher(channel, ceiling, 0, signature)


class EscrowVouchers:
    """Vouchers of a channel in an escrow contract, under a voucher key's 20-byte address.

    A payer that is a contract itself (ERC-1271) can only be asked on its chain: its vouchers are not
    signed here.
    """

    __slots__ = ("_escrow", "_key")

    def __init__(self, escrow: Domain, key: bytes) -> None:
        self._escrow = escrow
        self._key = key

    def is_signed(self, voucher: Voucher) -> bool:
        """Whether the voucher key signed it; malformed signatures are false."""
        digest = voucher_digest(self._escrow, voucher.channel, voucher.ceiling)
        return is_evm_signature(self._key, digest, voucher.signature)


class EscrowVoucherKey:
    """The payer's voucher key for channels in one escrow contract."""

    __slots__ = ("_escrow", "_signer")

    def __init__(self, escrow: Domain, signer: EvmSigner) -> None:
        self._escrow = escrow
        self._signer = signer

    def voucher(self, channel: bytes, ceiling: int) -> Voucher:
        """Return the signed voucher."""
        digest = voucher_digest(self._escrow, channel, ceiling)
        return Voucher(channel, ceiling, 0, self._signer.sign(digest))


def scheme_of(
    network: str, holder: bytes, payer: bytes, config: ChannelConfig | None
) -> VoucherScheme:
    """Return how vouchers are checked on a channel with these terms.

    Raises:
        MalformedMessage: there is a config, but the network or the holder is not of an EVM network.
    """
    if config is None:
        return HubVouchers(payer)
    return EscrowVouchers(escrow_of(network, holder), config.voucher_key)


def check_voucher(voucher: Voucher, scheme: VoucherScheme, deposit: int) -> None:
    """Check a voucher against what stands behind its channel.

    Raises:
        VoucherRefused: it expires, is above the deposit, or the payer did not sign it.
    """
    if voucher.expiry != 0:
        raise VoucherRefused("a voucher on a node's or a contract's channel has no expiry (0)")
    if voucher.ceiling > deposit:
        raise VoucherRefused(
            f"the voucher's ceiling of {voucher.ceiling} units is above the deposit of {deposit}",
            deposit=str(deposit),
        )
    if not scheme.is_signed(voucher):
        raise VoucherRefused("the voucher's signature is not the payer's")
