"""Keys of EVM networks: secp256k1 signatures over 32-byte digests, and who made them.

A signature is 65 bytes: r, s and v, where v is 27 or 28 and s lies in the lower half. The upper
half would let anyone write a second signature over the same digest.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Final, Protocol

from aisa.errors import ConfigInvalid, ExtraMissing, SignatureInvalid
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.keccak import keccak_256

__all__ = [
    "EVM_SIGNATURE_SIZE",
    "EvmKey",
    "EvmSigner",
    "format_address",
    "is_evm_signature",
    "parse_address",
    "recover",
]

EVM_SIGNATURE_SIZE: Final = 65
DIGEST_SIZE: Final = 32
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER: Final = (_ORDER // 2).to_bytes(32)
_V_BASE: Final = 27


class EvmSigner(Protocol):
    """Something that signs as one EVM account, in this process or in another."""

    @property
    def address(self) -> bytes:
        """The account's 20-byte address."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """Return the 65-byte signature over a 32-byte digest."""
        ...


class EvmKey:
    """A secp256k1 key held in this process's memory, made from a 32-byte seed.

    Raises:
        ConfigInvalid: the seed is not 32 bytes, or not the number of a key.
        ExtraMissing: the packages for EVM networks are not installed.
    """

    __slots__ = ("_address", "_private")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != DIGEST_SIZE:
            raise ConfigInvalid("a secp256k1 seed has 32 bytes")
        if not 0 < int.from_bytes(seed) < _ORDER:
            raise ConfigInvalid("the seed is not the number of a secp256k1 key")
        self._private = _coincurve().PrivateKey(seed)
        self._address = _address_of(self._private.public_key.format(compressed=False))

    @property
    def address(self) -> bytes:
        """The account's 20-byte address."""
        return self._address

    def sign(self, digest: bytes) -> bytes:
        """Return the 65-byte signature over a 32-byte digest; the same one every time (RFC 6979).

        Raises:
            SignatureInvalid: the digest has another size.
        """
        if len(digest) != DIGEST_SIZE:
            raise SignatureInvalid(f"a digest has {DIGEST_SIZE} bytes, not {len(digest)}")
        made: bytes = self._private.sign_recoverable(digest, hasher=None)
        return made[:64] + bytes((_V_BASE + made[64],))

    def __repr__(self) -> str:
        return f"EvmKey(address={format_address(self._address)})"


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address whose key signed the digest.

    Raises:
        SignatureInvalid: a wrong size, an s in the upper half, a v other than 27 and 28, or no key.
        ExtraMissing: the packages for EVM networks are not installed.
    """
    if len(digest) != DIGEST_SIZE or len(signature) != EVM_SIGNATURE_SIZE:
        raise SignatureInvalid("an EVM signature has 65 bytes, over a digest of 32")
    v = signature[64] - _V_BASE
    if v not in {0, 1}:
        raise SignatureInvalid("the signature's v is not 27 or 28")
    if signature[32:64] > _HALF_ORDER:
        raise SignatureInvalid("the signature's s is not in the lower half")
    coincurve = _coincurve()
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes((v,)), digest, hasher=None
        )
    except ValueError as error:
        raise SignatureInvalid("no key made the signature") from error
    return _address_of(key.format(compressed=False))


def is_evm_signature(address: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` is this account's over `digest`; malformed ones are false."""
    try:
        return recover(digest, signature) == address
    except SignatureInvalid:
        return False


def _address_of(public_key: bytes) -> bytes:
    """Return the address of a 65-byte uncompressed public key."""
    return keccak_256(public_key[1:])[12:]


@cache
def _coincurve() -> ModuleType:
    # Imported when first used: who pays and sells on other networks installs without it.
    try:
        import coincurve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "the packages for EVM networks are not installed", hint="pip install 'aisa-node[evm]'"
        ) from error
    return coincurve
