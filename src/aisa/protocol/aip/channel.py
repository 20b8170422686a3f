"""Channel terms and the channel id that they hash to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.eip712 import Domain, chain_id_of
from aisa.protocol.escrow import ChannelConfig, batch_domain
from aisa.protocol.frame import frame

KEY_SIZE: Final = 32
SALT_SIZE: Final = 16
_HUB_PREFIX: Final = "aisa:"
_EVM_PREFIX: Final = "eip155:"
_EVM_PAD: Final = bytes(12)
_TEXT_MAX: Final = 96


def hub_network(node_key: bytes) -> str:
    """Return the network name of channels that stand at a node: `aisa:` and its key."""
    return _HUB_PREFIX + base64url.encode(node_key)


def key_of_hub_network(network: str) -> bytes:
    """Return the node key in a hub's network name.

    Raises:
        MalformedMessage: the network is not a hub's.
    """
    if not network.startswith(_HUB_PREFIX):
        raise MalformedMessage(f"network {network[:40]!r} is not a node's")
    return base64url.decode_exact(network[len(_HUB_PREFIX) :], "network", KEY_SIZE)


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """What a channel is, for ever: nothing signed for it is valid for any other terms.

    `network` is where the deposit stands, `holder` the 32-byte key that holds it there (a node's
    key, or an escrow contract's address left-padded), `payer` and `payee` Ed25519 keys, `salt`
    16 bytes chosen by the payer. A channel in a contract of an EVM network also has the contract's
    own `config`; its salt is the terms' hash, so that the contract's id names these terms too.

    Raises:
        MalformedMessage: a key or the salt has another size, a name is empty or too long, or the
            config is missing, out of place or another channel's.
    """

    network: str
    holder: bytes
    payer: bytes
    payee: bytes
    currency: str
    salt: bytes
    config: ChannelConfig | None = None

    def __post_init__(self) -> None:
        for name, key in (("holder", self.holder), ("payer", self.payer), ("payee", self.payee)):
            if len(key) != KEY_SIZE:
                raise MalformedMessage(f"{name} must have {KEY_SIZE} bytes")
        if len(self.salt) != SALT_SIZE:
            raise MalformedMessage(f"salt must have {SALT_SIZE} bytes")
        for name, text in (("network", self.network), ("currency", self.currency)):
            if not 0 < len(text) <= _TEXT_MAX or not text.isascii() or not text.isprintable():
                raise MalformedMessage(f"{name} must be 1 to {_TEXT_MAX} printable characters")
        if self.config is not None or self.network.startswith(_EVM_PREFIX):
            self._check_config()

    @property
    def channel_id(self) -> bytes:
        """32 bytes: the terms' hash, or in a contract of an EVM network the config's hash there."""
        if self.config is not None:
            return self.config.channel_id(escrow_of(self.network, self.holder))
        return self.hash

    @property
    def hash(self) -> bytes:
        """SHA-256 over the framed terms, without the config; 32 bytes."""
        return _hash(self.network, self.holder, self.payer, self.payee, self.currency, self.salt)

    def _check_config(self) -> None:
        if self.config is None:
            raise MalformedMessage(f"a channel on {self.network} has the config of its contract")
        _ = escrow_of(self.network, self.holder)
        if self.config.salt != self.hash:
            raise MalformedMessage("the salt of the channel's config is not the hash of its terms")


def escrow_terms(
    network: str,
    contract: bytes,
    *,
    payer: bytes,
    payee: bytes,
    currency: str,
    salt: bytes,
    config: ChannelConfig,
) -> ChannelTerms:
    """Return the terms of a channel in an escrow contract; the config gets their hash as its salt.

    Raises:
        MalformedMessage: as ChannelTerms.
    """
    holder = holder_of(contract)
    bound = replace(config, salt=_hash(network, holder, payer, payee, currency, salt))
    return ChannelTerms(network, holder, payer, payee, currency, salt, bound)


def escrow_of(network: str, holder: bytes) -> Domain:
    """Return the domain of the escrow contract that holds a channel's deposit.

    Raises:
        MalformedMessage: the network is not an EVM network, or the holder not an address there.
    """
    chain_id = chain_id_of(network)
    if len(holder) != KEY_SIZE or not holder.startswith(_EVM_PAD):
        raise MalformedMessage("the holder of a channel on an EVM network is a padded address")
    return batch_domain(chain_id, holder[len(_EVM_PAD) :])


def holder_of(contract: bytes) -> bytes:
    """Return an escrow contract's address as the 32 bytes of a holder."""
    return _EVM_PAD + contract


def _hash(
    network: str, holder: bytes, payer: bytes, payee: bytes, currency: str, salt: bytes
) -> bytes:
    message = frame("AISA-CHANNEL/1", network, holder, payer, payee, currency, salt)
    return hashlib.sha256(message).digest()
