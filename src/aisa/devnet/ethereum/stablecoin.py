"""Test stablecoins: Circle's FiatToken as test-USDC, and a plain ERC-20 as test-USDT."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aisa.devnet.ethereum.artifact import Artifact, read_artifact
from aisa.devnet.ethereum.deployer import Deployer
from aisa.devnet.ethereum.setting import Roles

USDC_NAME: Final = "test-USDC"
USDC_VERSION: Final = "2"
USDT_NAME: Final = "test-USDT"
SCALE: Final = 6
_CIRCLE: Final = Path(
    "node_modules", "@offchainlabs", "stablecoin-evm", "artifacts", "hardhat", "contracts"
)
_ALLOWANCE_MAX: Final = 2**255


def deploy_usdc(npm_folder: Path, deployer: Deployer, roles: Roles) -> str:
    """Deploy FiatTokenV2_2 behind its proxy, with every role set; returns the proxy's address."""
    folder = npm_folder / _CIRCLE
    checker = deployer.deploy(_circle(folder, "util", "SignatureChecker"))
    code = _circle(folder, "v2", "FiatTokenV2_2")
    implementation = deployer.deploy(code, libraries={"SignatureChecker": checker})
    proxy = deployer.deploy(_circle(folder, "v1", "FiatTokenProxy"), implementation)
    # The proxy's admin may not call the token through it.
    deployer.send(proxy, "changeAdmin(address)", roles.proxy_admin)
    owner = deployer.account
    deployer.send(
        proxy,
        "initialize(string,string,string,uint8,address,address,address,address)",
        *(USDC_NAME, USDC_NAME, "USD", SCALE, owner, owner, owner, owner),
    )
    deployer.send(proxy, "initializeV2(string)", USDC_NAME)
    deployer.send(proxy, "initializeV2_1(address)", owner)
    deployer.send(proxy, "initializeV2_2(address[],string)", [], USDC_NAME)
    deployer.send(proxy, "configureMinter(address,uint256)", roles.issuer, _ALLOWANCE_MAX)
    return proxy


def deploy_usdt(artifact: Artifact, deployer: Deployer, roles: Roles) -> str:
    """Deploy the plain token; returns its address."""
    return deployer.deploy(artifact, USDT_NAME, USDT_NAME, SCALE, roles.issuer)


def _circle(folder: Path, part: str, name: str) -> Artifact:
    return read_artifact(folder / part / f"{name}.sol" / f"{name}.json")
