"""What a devnet chain says of itself, for whoever uses it: where it is, its tokens, its contracts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aisa.errors import ConfigInvalid


class TokenCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token: `asset` is its CAIP-19 name, `domain_name` and `domain_version` its EIP-712 domain.

    `transfers_by` lists how somebody else can move it by the holder's signature alone: `eip3009`,
    `eip2612`. Every token can be moved by allowance, and so by Permit2.
    """

    symbol: str
    asset: str
    address: str
    scale: int
    label: str
    minter: str
    domain_name: str = ""
    domain_version: str = ""
    transfers_by: tuple[str, ...] = ()


class ContractCard(msgspec.Struct, frozen=True):
    """A contract, with a label that says what it really is."""

    name: str
    address: str
    label: str


class ChainCard(msgspec.Struct, frozen=True):
    """One chain of the devnet."""

    label: str
    name: str
    url: str
    network: str
    chain_id: int
    native: str
    native_asset: str
    block_time_s: int
    folder: str
    roles: dict[str, str]
    tokens: tuple[TokenCard, ...]
    contracts: tuple[ContractCard, ...]

    def token(self, symbol: str) -> TokenCard:
        """The token with a symbol.

        Raises:
            ConfigInvalid: the chain has none.
        """
        for one in self.tokens:
            if one.symbol == symbol:
                return one
        known = ", ".join(one.symbol for one in self.tokens)
        raise ConfigInvalid(f"{self.name} has no token {symbol!r}", hint=f"it has {known}")

    def contract(self, name: str) -> ContractCard:
        """The contract with a name.

        Raises:
            ConfigInvalid: the chain has none.
        """
        for one in self.contracts:
            if one.name == name:
                return one
        raise ConfigInvalid(f"{self.name} has no contract {name!r}")

    def to_json(self) -> bytes:
        """The card as a JSON document."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def read_card(path: Path) -> ChainCard:
    """Read a card from a file.

    Raises:
        ConfigInvalid: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ChainCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigInvalid(f"{path} does not describe a chain: {error}") from error
