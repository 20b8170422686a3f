"""What every cell shares: a chain with tokens, a node that settles, and purses that can be counted."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey, SigningKey
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
from aisa.protocol.aip import hub_network
from aisa.protocol.eip712 import UINT256_MAX, address_word, uint_word
from aisa.protocol.evm_address import format_address
from aisa.protocol.permit2 import PERMIT2
from aisa.settlement.evm.erc20 import call_data
from tests.integration.node_process import NodeProcess
from tests.integration.x402_payer import held

GIFT_UNITS: Final = 1_000_000
WEI: Final = 10**18
_CONFIG: Final = """\
port = 0
reconcile_ms = 100
facilitator = "open"

[[currency]]
code = "aiUSD"

[[currency]]
code = "USDC"

[[currency]]
code = "USDT"

[[rail]]
kind = "evm"
network = "{network}"
rpc_urls = ["{url}"]
confirmations = 1
escrow = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
{tokens}"""
_CURRENCIES: Final = {"aiUSD": "aiUSD", "test-USDC": "USDC", "test-USDT": "USDT"}
_TOKEN: Final = """
[[rail.token]]
symbol = "{symbol}"
issuer = "test"
asset = "{asset}"
scale = 6
currency = "{currency}"
"""


@dataclass(frozen=True, slots=True)
class Purse:
    """An account of a chain that somebody pays from."""

    key: str
    address: str


class World:
    """A chain and a node on it.

    Args:
        devnet: the chain.
        node: where the node is; `/verify` and `/settle` are under `/x402`.
        node_network: the name of the node.
        scratch: a folder for logs.
    """

    def __init__(self, devnet: EthereumDevnet, node: str, node_network: str, scratch: Path) -> None:
        self.devnet = devnet
        self.node = node
        self.node_network = node_network
        self.scratch = scratch

    @property
    def facilitator(self) -> str:
        """Where a seller's payments are checked and settled."""
        return f"{self.node}/x402"

    def purse(self, name: str) -> Purse:
        """A purse that is always the same for a name."""
        seed = hashlib.sha256(f"interop {name}".encode()).digest()
        return Purse("0x" + seed.hex(), format_address(EvmKey(seed).address))

    def fill(self, address: str) -> None:
        """Give an account tokens of both kinds, and let Permit2 take the second from it."""
        for symbol in ("test-USDC", "test-USDT"):
            if not held(self.devnet, symbol, address):
                self.devnet.faucet.give_token(symbol, address, GIFT_UNITS)
        self._allow_permit2("test-USDT", address)

    def fuel(self, address: str) -> None:
        """Give an account gas."""
        self.devnet.control.set_balance(address, WEI)

    def units(self, symbol: str, address: str) -> int:
        """What an account has of a token, by the chain."""
        return held(self.devnet, symbol, address)

    def landed(self, transaction: str) -> bool:
        """Whether a chain tx is on the chain and did what it was to do."""
        receipt = self.devnet.rpc.receipt(transaction)
        return receipt is not None and receipt["status"] == "0x1"

    def token(self, symbol: str) -> dict[str, Any]:
        """A token as the peers are told of it."""
        card = self.devnet.token(symbol)
        return {
            "address": card.address,
            "name": card.domain_name,
            "version": card.domain_version,
            "decimals": 6,
        }

    def _allow_permit2(self, symbol: str, owner: str) -> None:
        data = call_data("approve(address,uint256)", address_word(PERMIT2), uint_word(UINT256_MAX))
        token = self.devnet.token(symbol).address
        self.fuel(owner)
        with self.devnet.control.impersonating(owner):
            tx = {"from": owner, "to": token, "data": "0x" + data.hex()}
            self.devnet.rpc.wait_for(str(self.devnet.rpc.call("eth_sendTransaction", tx)))


@contextmanager
def open_world(devnet: EthereumDevnet, scratch: Path) -> Generator[World]:
    """Start a node on the chain that settles for whoever asks; it is stopped at the end."""
    folder = scratch / "node"
    folder.mkdir(parents=True)
    init_node(folder, config=_config(devnet))
    config = load_config(folder / "node.toml", {})
    for _, address in treasuries(config, open_seed(config, None)):
        devnet.control.set_balance(address, WEI)
    with NodeProcess(folder) as node:
        key = SigningKey(open_seed(config, None)).public_key
        yield World(devnet, node.url, hub_network(key), scratch)


def _config(devnet: EthereumDevnet) -> str:
    tokens = [
        _TOKEN.format(symbol=symbol, asset=devnet.token(symbol).asset, currency=currency)
        for symbol, currency in _CURRENCIES.items()
    ]
    return _CONFIG.format(network=devnet.network, url=devnet.url, tokens="".join(tokens))
