"""What stands on a devnet chain: deployed once, found again after a restart, completed where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from aisa.devnet.ethereum import canonical, stablecoin
from aisa.devnet.ethereum.artifact import Artifact, read_if_there
from aisa.devnet.ethereum.card import ContractCard, TokenCard
from aisa.devnet.ethereum.deployer import Deployer, has_code, selector
from aisa.devnet.ethereum.rpc import Rpc
from aisa.devnet.ethereum.setting import Roles, Setting
from aisa.devnet.toolchain import EVM_PACKAGES, Say, npm_folder

RECORD_FILE: Final = "deployment.json"

_OWN_LABEL: Final = "AISA's own"
_MINTER_ROLE: Final = 1
_BURNER_ROLE: Final = 2


@dataclass(slots=True)
class Deployment:
    """Puts contracts on one chain; `artifacts` is the folder of our compiled ones."""

    setting: Setting
    rpc: Rpc
    roles: Roles
    artifacts: Path
    folder: Path
    say: Say
    tokens: list[TokenCard] = field(default_factory=list[TokenCard])
    contracts: list[ContractCard] = field(default_factory=list[ContractCard])
    _known: dict[str, str] = field(default_factory=dict[str, str])

    def run(self) -> None:
        """Deploy what is not there yet.

        Raises:
            RailError: a contract could not be deployed.
            RailUnavailable: a package of others could not be installed.
        """
        path = self.folder / RECORD_FILE
        if path.exists():
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        deployer = Deployer(self.rpc, self.roles.deployer)
        self._tokens(deployer)
        self._as_on_main_networks()
        self._own(deployer)
        self._stand_ins(deployer)
        draft = path.with_name(path.name + ".new")
        draft.write_bytes(msgspec.json.encode(self._known))
        draft.replace(path)

    def _tokens(self, deployer: Deployer) -> None:
        ours, authority = self._artifact("AIUSD"), self._artifact("Authority")
        if ours and authority:
            manager = self._once("Authority", lambda: deployer.deploy(authority, deployer.account))
            address = self._once("AIUSD", lambda: self._ai_usd(deployer, ours, manager))
            self._contract("Authority", manager, _OWN_LABEL)
            self._token("aiUSD", address, "AISA's own, issued by this devnet", ("aiUSD", "1"))
        npm = npm_folder(EVM_PACKAGES, say=self.say)
        address = self._once("USDC", lambda: stablecoin.deploy_usdc(npm, deployer, self.roles))
        domain = (stablecoin.USDC_NAME, stablecoin.USDC_VERSION)
        self._token(stablecoin.USDC_NAME, address, "Circle's FiatTokenV2_2, no real dollar", domain)
        plain = self._artifact("PlainToken")
        if plain:
            address = self._once(
                "USDT", lambda: stablecoin.deploy_usdt(plain, deployer, self.roles)
            )
            self._token(stablecoin.USDT_NAME, address, "a plain ERC-20, no real dollar", None)

    def _ai_usd(self, deployer: Deployer, artifact: Artifact, authority: str) -> str:
        address = deployer.deploy(artifact, authority)
        for role, signature in (
            (_MINTER_ROLE, "mint(address,uint256)"),
            (_BURNER_ROLE, "burn(uint256)"),
        ):
            allow = "setTargetFunctionRole(address,bytes4[],uint64)"
            deployer.send(authority, allow, address, [selector(self.rpc, signature)], role)
            deployer.send(authority, "grantRole(uint64,address,uint32)", role, self.roles.issuer, 0)
        return address

    def _as_on_main_networks(self) -> None:
        if not has_code(self.rpc, canonical.PERMIT2):
            canonical.place_permit2(self.rpc, self.say)
        if not has_code(self.rpc, canonical.MULTICALL3):
            canonical.place_multicall3(self.rpc, self.say)
        self._contract("Permit2", canonical.PERMIT2, canonical.PERMIT2_LABEL)
        self._contract("Multicall3", canonical.MULTICALL3, canonical.MULTICALL3_LABEL)

    def _own(self, deployer: Deployer) -> None:
        if lock := self._artifact("HashLock"):
            self._deployed(deployer, lock)
        escrow = self._artifact("ChannelEscrow")
        if escrow is None:
            return
        own = self._deployed(deployer, escrow)
        if by_3009 := self._artifact("Erc3009DepositCollector"):
            self._deployed(deployer, by_3009, own)
        if by_permit2 := self._artifact("Permit2DepositCollector"):
            self._deployed(deployer, by_permit2, own, canonical.PERMIT2)

    def _stand_ins(self, deployer: Deployer) -> None:
        for name, ours, address, values in canonical.STAND_INS:
            artifact = self._artifact(ours)
            if artifact is None:
                continue
            if not has_code(self.rpc, address):
                deployer.place(artifact, address, *values)
            self._contract(name, address, canonical.STAND_IN_LABEL)

    def _deployed(self, deployer: Deployer, artifact: Artifact, *values: str) -> str:
        address = self._once(artifact.name, lambda: deployer.deploy(artifact, *values))
        self._contract(artifact.name, address, _OWN_LABEL)
        return address

    def _once(self, name: str, deploy: Callable[[], str]) -> str:
        known = self._known.get(name)
        if known is None or not has_code(self.rpc, known):
            known = self._known[name] = deploy()
        return known

    def _artifact(self, name: str) -> Artifact | None:
        return read_if_there(self.artifacts, name)

    def _contract(self, name: str, address: str, label: str) -> None:
        self.contracts.append(ContractCard(name, address, label))

    def _token(self, symbol: str, address: str, label: str, domain: tuple[str, str] | None) -> None:
        name, version = domain or ("", "")
        self.tokens.append(
            TokenCard(
                symbol=symbol,
                asset=self.setting.asset(address),
                address=address,
                scale=stablecoin.SCALE,
                label=label,
                minter=self.roles.issuer,
                domain_name=name,
                domain_version=version,
                transfers_by=("eip3009", "eip2612") if domain else (),
            )
        )
