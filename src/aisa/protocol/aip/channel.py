"""Channel terms and the channel id that they hash to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.frame import frame

KEY_SIZE: Final = 32
SALT_SIZE: Final = 16
_HUB_PREFIX: Final = "aisa:"
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
    16 bytes chosen by the payer.

    Raises:
        MalformedMessage: a key or the salt has another size, or a name is empty or too long.
    """

    network: str
    holder: bytes
    payer: bytes
    payee: bytes
    currency: str
    salt: bytes

    def __post_init__(self) -> None:
        for name, key in (("holder", self.holder), ("payer", self.payer), ("payee", self.payee)):
            if len(key) != KEY_SIZE:
                raise MalformedMessage(f"{name} must have {KEY_SIZE} bytes")
        if len(self.salt) != SALT_SIZE:
            raise MalformedMessage(f"salt must have {SALT_SIZE} bytes")
        for name, text in (("network", self.network), ("currency", self.currency)):
            if not 0 < len(text) <= _TEXT_MAX or not text.isascii() or not text.isprintable():
                raise MalformedMessage(f"{name} must be 1 to {_TEXT_MAX} printable characters")

    @property
    def channel_id(self) -> bytes:
        """SHA-256 over the framed terms; 32 bytes."""
        message = frame(
            "AISA-CHANNEL/1",
            self.network,
            self.holder,
            self.payer,
            self.payee,
            self.currency,
            self.salt,
        )
        return hashlib.sha256(message).digest()
