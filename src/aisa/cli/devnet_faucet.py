"""Money from the devnet's faucets, for any address on any of its networks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aisa.errors import ConfigInvalid, InvalidAmount
from aisa.money import format_units, parse_units

if TYPE_CHECKING:
    from aisa.demo.devnet_file import DevnetFile
    from aisa.devnet.ethereum.card import ChainCard

_SOL: Final = "SOL"
_SOL_SCALE: Final = 9
_GWEI_SCALE: Final = 9
_SYMBOL_DEFAULT: Final = "aiUSD"
_AMOUNT_DEFAULT: Final = "10"


@dataclass(frozen=True, slots=True)
class Given:
    """What a faucet gave: units of an asset, by a chain tx."""

    network: str
    asset: str
    symbol: str
    address: str
    units: int
    scale: int
    tx: str

    @property
    def text(self) -> str:
        """The amount for a person."""
        return f"{format_units(self.units, self.scale)} {self.symbol}"


def give(
    devnet: DevnetFile, address: str, *, chain: str | None, symbol: str | None, amount: str | None
) -> Given:
    """Let the faucet of one network give.

    Args:
        devnet: one that runs.
        address: of the network; it tells which one is meant where `chain` does not.
        chain: `solana`, or the name of an EVM chain.
        symbol: a token, or the network's own coin.
        amount: as a person writes it.

    Raises:
        ConfigInvalid: the devnet has no such network, or that no such token.
        InvalidAmount: the amount is zero, or no plain decimal of that token.
        InvalidRequest: the address is none of that network.
        RailError: the network refused.
    """
    chain = chain or _network_of(devnet, address)
    symbol, amount = symbol or _SYMBOL_DEFAULT, amount or _AMOUNT_DEFAULT
    if chain == "solana":
        return asyncio.run(_give_on_solana(devnet, address, symbol, amount))
    return _give_on_evm(devnet.chain(chain), address, symbol, amount)


def _network_of(devnet: DevnetFile, address: str) -> str:
    if not address.startswith("0x"):
        return "solana"
    names = [one.name for one in devnet.chains]
    if len(names) == 1:
        return names[0]
    if names:
        hint = " or ".join(f"--chain {name}" for name in names)
        raise ConfigInvalid("several chains have such addresses", hint=hint)
    raise ConfigInvalid(
        "the devnet runs without an EVM chain",
        hint="aisa devnet down, then aisa devnet up --ethereum",
    )


def _give_on_evm(card: ChainCard, address: str, symbol: str, amount: str) -> Given:
    from aisa.devnet.ethereum.faucet import Faucet
    from aisa.devnet.ethereum.rpc import Rpc
    from aisa.devnet.ethereum.setting import NATIVE_SCALE

    with Rpc(card.url) as rpc:
        faucet = Faucet(card, rpc)
        if symbol == card.native:
            # Counted in gwei, since a coin's smallest part is too small for a 64-bit amount.
            units = _positive(amount, _GWEI_SCALE) * 10 ** (NATIVE_SCALE - _GWEI_SCALE)
            tx = faucet.give_native(address, units)
            asset, scale = card.native_asset, NATIVE_SCALE
        else:
            token = card.token(symbol)
            units = _positive(amount, token.scale)
            tx = faucet.give_token(symbol, address, units)
            asset, scale = token.asset, token.scale
    return Given(card.network, asset, symbol, address, units, scale, tx)


async def _give_on_solana(devnet: DevnetFile, address: str, symbol: str, amount: str) -> Given:
    from solders.keypair import Keypair

    from aisa.devnet.solana.wallet import SolanaWallet

    network = devnet.solana_network
    async with SolanaWallet(devnet.solana, Keypair()) as anyone:
        if symbol == _SOL:
            units = _positive(amount, _SOL_SCALE)
            tx = str(await anyone.call("requestAirdrop", address, units))
            return Given(network, f"{network}/slip44:501", _SOL, address, units, _SOL_SCALE, tx)
        token = devnet.token(symbol)
        units = _positive(amount, token.scale)
        wish = {"mint": token.mint, "owner": address, "units": str(units)}
        answer = cast("dict[str, str]", await anyone.call("aisa_mint", wish))
        return Given(network, token.asset, symbol, address, units, token.scale, answer["signature"])


def _positive(amount: str, scale: int) -> int:
    units = parse_units(amount, scale)
    if not units:
        raise InvalidAmount("the amount is zero")
    return units
