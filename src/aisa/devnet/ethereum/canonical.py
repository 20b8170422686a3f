"""Addresses that are the same on every chain, and the code that stands there on a devnet.

Permit2 and Multicall3 are those of the main networks, byte for byte. What x402 has at its addresses is stood in for
by our own contracts with the same interface, and labelled so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aisa.devnet.ethereum.rpc import Rpc
from aisa.devnet.toolchain import Say, npm_folder
from aisa.errors import ConfigInvalid

PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
X402_ESCROW: Final = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
X402_ERC3009_COLLECTOR: Final = "0x4020806089470a89826cB9fB1f4059150b550004"
X402_PERMIT2_COLLECTOR: Final = "0x4020425FAf3B746C082C2f942b4E5159887B0005"
X402_EXACT_PROXY: Final = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"
X402_UPTO_PROXY: Final = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"

PERMIT2_LABEL: Final = "Permit2 as on main networks"
MULTICALL3_LABEL: Final = "Multicall3 as on main networks"
STAND_IN_LABEL: Final = "our own contract at the address that x402's has on main networks"

STAND_INS: Final = (
    ("x402 escrow", "ChannelEscrow", X402_ESCROW, ()),
    (
        "x402 ERC-3009 collector",
        "Erc3009DepositCollector",
        X402_ERC3009_COLLECTOR,
        (X402_ESCROW,),
    ),
    (
        "x402 Permit2 collector",
        "Permit2DepositCollector",
        X402_PERMIT2_COLLECTOR,
        (X402_ESCROW, PERMIT2),
    ),
    ("x402 exact Permit2 proxy", "ExactPermit2Proxy", X402_EXACT_PROXY, (PERMIT2,)),
    ("x402 upto Permit2 proxy", "UptoPermit2Proxy", X402_UPTO_PROXY, (PERMIT2,)),
)
"""Name, our contract, x402's address, and what the constructor is given."""

PERMIT2_PACKAGE: Final = Path(__file__).parent / "permit2"
"""The npm package that carries the code of Permit2 and Multicall3."""

_SOURCE: Final = Path(
    "node_modules", "@eth-optimism", "contracts-bedrock", "src", "libraries", "Preinstalls.sol"
)


def place_permit2(rpc: Rpc, say: Say) -> None:
    """Put Permit2 at its address.

    The code carries the domain separator of one chain id and makes a new one on any other, so it is
    right here as it is.

    Raises:
        ConfigInvalid: the package is not the one we know.
        ExtraMissing: there is no Node.js to install it with.
        RailUnavailable: it could not be installed.
    """
    rpc.call("anvil_setCode", PERMIT2, _preinstalled("Permit2TemplateCode", say))


def place_multicall3(rpc: Rpc, say: Say) -> None:
    """Put Multicall3 at its address: clients of x402 read a channel through it.

    Raises:
        ConfigInvalid: the package is not the one we know.
        ExtraMissing: there is no Node.js to install it with.
        RailUnavailable: it could not be installed.
    """
    rpc.call("anvil_setCode", MULTICALL3, _preinstalled("MultiCall3Code", say))


def _preinstalled(constant: str, say: Say) -> str:
    source = npm_folder(PERMIT2_PACKAGE, say=say) / _SOURCE
    code = re.compile(rf'{constant}\s*=\s*hex"([0-9a-f]{{2,}})"')
    found = code.search(source.read_text(encoding="utf-8"))
    if found is None:
        raise ConfigInvalid(f"{source.name} does not hold {constant}")
    return f"0x{found[1]}"
