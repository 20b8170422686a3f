"""The two chains of a devnet: their names, ids and pace, and what each role's account is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LABEL: Final = "anvil: real EVM and contracts, one process makes the blocks"

NATIVE_SCALE: Final = 18
"""The decimals of every EVM chain's own coin."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One chain; `coin` is its SLIP-44 number, `block_time_s` the pace of the network it stands for."""

    name: str
    title: str
    chain_id: int
    native: str
    coin: int
    block_time_s: int
    port: int

    @property
    def network(self) -> str:
        """The chain's CAIP-2 name, which no real network has."""
        return f"eip155:{self.chain_id}"

    def asset(self, address: str) -> str:
        """The CAIP-19 name of a token on this chain."""
        return f"{self.network}/erc20:{address}"

    @property
    def native_asset(self) -> str:
        """The CAIP-19 name of the chain's own coin."""
        return f"{self.network}/slip44:{self.coin}"


ETHEREUM: Final = Setting("ethereum", "Ethereum", 31337, "ETH", 60, 12, 8545)
POLYGON: Final = Setting("polygon", "Polygon", 31338, "POL", 966, 2, 8546)
SETTINGS: Final = (ETHEREUM, POLYGON)


def setting_by_name(name: str) -> Setting | None:
    """The chain of that name."""
    return next((one for one in SETTINGS if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Roles:
    """Who does what, each an unlocked account of anvil. They guard nothing: their keys are public."""

    deployer: str
    faucet: str
    issuer: str
    proxy_admin: str

    @classmethod
    def among(cls, accounts: list[str]) -> Roles:
        """The first accounts, in order."""
        return cls(*accounts[:4])
