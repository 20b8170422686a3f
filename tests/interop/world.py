"""What every cell shares: a chain with tokens, a node that settles, and purses that can be counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
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
code = "USDC"

[[currency]]
code = "USDT"

[[rail]]
kind = "evm"
network = "{network}"
rpc_urls = ["{url}"]
confirmations = 1
{tokens}"""
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
    """A chain and a facilitator.

    Args:
        devnet: the chain.
        facilitator: where a node answers `/verify` and `/settle`.
        scratch: a folder for logs.
    """

    def __init__(self, devnet: EthereumDevnet, facilitator: str, scratch: Path) -> None:
        self.devnet = devnet
        self.facilitator = facilitator
        self.scratch = scratch

    def purse(self, name: str) -> Purse:
        """The purse of a payer, with tokens of both kinds and Permit2 allowed to take the second."""
        seed = hashlib.sha256(f"interop {name}".encode()).digest()
        address = format_address(EvmKey(seed).address)
        for symbol in ("test-USDC", "test-USDT"):
            if not held(self.devnet, symbol, address):
                self.devnet.faucet.give_token(symbol, address, GIFT_UNITS)
        self._allow_permit2("test-USDT", address)
        return Purse("0x" + seed.hex(), address)

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
        self.devnet.control.set_balance(owner, WEI)
        with self.devnet.control.impersonating(owner):
            tx = {"from": owner, "to": token, "data": "0x" + data.hex()}
            self.devnet.rpc.wait_for(str(self.devnet.rpc.call("eth_sendTransaction", tx)))


@contextmanager
def open_world(devnet: EthereumDevnet, scratch: Path) -> Iterator[World]:
    """Start a node on the chain that settles for whoever asks; it is stopped at the end."""
    folder = scratch / "node"
    folder.mkdir(parents=True)
    init_node(folder, config=_config(devnet))
    config = load_config(folder / "node.toml", {})
    for _, address in treasuries(config, open_seed(config, None)):
        devnet.control.set_balance(address, WEI)
    with NodeProcess(folder) as node:
        yield World(devnet, f"{node.url}/x402", scratch)


def _config(devnet: EthereumDevnet) -> str:
    tokens = [
        _TOKEN.format(symbol=symbol, asset=devnet.token(symbol).asset, currency=currency)
        for symbol, currency in (("test-USDC", "USDC"), ("test-USDT", "USDT"))
    ]
    return _CONFIG.format(network=devnet.network, url=devnet.url, tokens="".join(tokens))
