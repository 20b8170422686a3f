"""One chain of the devnet as a whole: anvil, what is deployed on it, and the faucet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aisa.devnet.ethereum.anvil import Anvil
from aisa.devnet.ethereum.card import ChainCard, TokenCard
from aisa.devnet.ethereum.control import Control
from aisa.devnet.ethereum.deployment import Deployment
from aisa.devnet.ethereum.faucet import Faucet
from aisa.devnet.ethereum.rpc import Rpc
from aisa.devnet.ethereum.setting import ETHEREUM, LABEL, Roles, Setting
from aisa.devnet.toolchain import Say, say_on_stderr
from aisa.errors import RailUnavailable

STATE_FILE: Final = "chain.json"
LOG_FILE: Final = "anvil.log"


class EthereumDevnet:
    """A chain that is ready to be used. A context manager that stops it at the end.

    Args:
        artifacts: the folder of our compiled contracts; what is not in it is not deployed.
        setting: which chain.
        folder: keeps chain, deployment and the faucet's record over a restart; none forgets all.
        port: 0 takes a free one.
        block_time_s: 0 makes a block for every chain tx, at once.

    Raises:
        ExtraMissing: there is no Node.js to install anvil with.
        RailUnavailable: anvil did not start, or packages could not be installed.
        RailError: a contract could not be deployed.
    """

    def __init__(
        self,
        artifacts: Path,
        setting: Setting = ETHEREUM,
        *,
        folder: Path | None = None,
        port: int = 0,
        block_time_s: int = 0,
        say: Say = say_on_stderr,
    ) -> None:
        self._scratch = (
            tempfile.TemporaryDirectory(prefix="aisa-devnet-") if folder is None else None
        )
        self.folder = folder or Path(self._scratch.name if self._scratch else "")
        self.setting = setting
        self.anvil = self._start(port, keep=folder is not None, say=say)
        try:
            # Deployed at once whatever the pace: nobody waits minutes for contracts.
            roles = Roles.among(self.anvil.accounts())
            deployment = Deployment(setting, self.rpc, roles, artifacts, self.folder, say)
            deployment.run()
            if block_time_s:
                self.control.set_block_time(block_time_s)
        except BaseException:
            self.stop()
            raise
        self.card = self._card(roles, deployment, block_time_s)
        self.faucet = Faucet(self.card, self.rpc)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where its JSON-RPC answers."""
        return self.anvil.url

    @property
    def network(self) -> str:
        """Its CAIP-2 name."""
        return self.setting.network

    @property
    def rpc(self) -> Rpc:
        """Its JSON-RPC."""
        return self.anvil.rpc

    @property
    def control(self) -> Control:
        """Its levers: blocks, time, re-orgs."""
        return self.anvil.control

    def token(self, symbol: str) -> TokenCard:
        """The token with a symbol.

        Raises:
            ConfigInvalid: there is none.
        """
        return self.card.token(symbol)

    def stop(self) -> int:
        """End it, saving what is kept; returns anvil's exit code."""
        code = self.anvil.stop()
        if self._scratch is not None:
            self._scratch.cleanup()
        return code

    def _start(self, port: int, *, keep: bool, say: Say) -> Anvil:
        state = self.folder / STATE_FILE
        try:
            return Anvil(
                chain_id=self.setting.chain_id,
                port=port,
                state=state if keep else None,
                log=self.folder / LOG_FILE,
                say=say,
            )
        except RailUnavailable as error:
            if "failed to parse json file" not in error.detail:
                raise
            raise RailUnavailable(
                f"the saved {self.setting.title} chain cannot be read: {error.detail}",
                hint=f"move {self.folder} away to start anew",
            ) from error

    def _card(self, roles: Roles, deployment: Deployment, block_time_s: int) -> ChainCard:
        return ChainCard(
            label=LABEL,
            name=self.setting.name,
            url=self.anvil.url,
            network=self.setting.network,
            chain_id=self.setting.chain_id,
            native=self.setting.native,
            native_asset=self.setting.native_asset,
            block_time_s=block_time_s,
            folder=str(self.folder.absolute()),
            roles={
                "deployer": roles.deployer,
                "faucet": roles.faucet,
                "issuer": roles.issuer,
                "proxy_admin": roles.proxy_admin,
            },
            tokens=tuple(deployment.tokens),
            contracts=tuple(deployment.contracts),
        )
