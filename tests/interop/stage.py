"""Starts the peers that cells need, and runs the cells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from aisa.devnet.toolchain import Say, say_on_stderr
from tests.interop.cast import CHANNEL_FACILITATOR, Cell, Peer
from tests.interop.channel_trial import ChannelTrial
from tests.interop.environment import OURS, PEERS, javascript, python
from tests.interop.outcome import Outcome
from tests.interop.process import PeerFailed, PeerProcess
from tests.interop.scheme import BATCH, DEAR_UNITS, EXACT, PERMIT2, SCHEMES, UNITS, Scheme
from tests.interop.trial import Trial
from tests.interop.world import World

SECRET: Final = "interop secret of at least thirty-two bytes"
_MILLION: Final = 1_000_000


class Stage:
    """Runs cells one after the other, so that every unit on the chain belongs to one of them."""

    def __init__(self, world: World, say: Say = say_on_stderr) -> None:
        self._world = world
        self._say = say
        self._channels_url = ""

    def run(self, cells: Iterable[Cell]) -> Iterator[Outcome]:
        """The outcome of each cell, as it comes; a server and its clients start once."""
        cells = list(cells)
        with ExitStack() as clients:
            if any(cell.server.has_own_facilitator for cell in cells):
                self._channels_url = clients.enter_context(self._channel_facilitator()).url
            started: dict[str, PeerProcess] = {}

            def client(peer: Peer) -> PeerProcess:
                if peer.name not in started:
                    process = self._process(peer, "client", self._payer_settings(peer))
                    started[peer.name] = clients.enter_context(process)
                    self._world.fill(self._payer(peer, process))
                return started[peer.name]

            for server, of_server in groupby(cells, lambda cell: cell.server):
                yield from self._run_server(server, list(of_server), client)

    def _run_server(
        self, server: Peer, cells: list[Cell], client: Callable[[Peer], PeerProcess]
    ) -> Iterator[Outcome]:
        seller = _seller(server)
        with ExitStack() as stack:
            running: PeerProcess | None = None
            for cell in cells:
                outcome = cell.outcome()
                if cell.not_built:
                    yield outcome
                    continue
                self._say(cell.title)
                try:
                    if running is None:
                        process = self._process(server, "server", self._seller_settings(server))
                        running = stack.enter_context(process)
                    paying = client(cell.client)
                    payer = self._payer(cell.client, paying)
                    kind = ChannelTrial if cell.scheme is BATCH else Trial
                    trial = kind(self._world, cell, paying, running, payer, seller)
                except PeerFailed as error:
                    outcome.failure = str(error)
                    yield outcome
                else:
                    yield trial.run()

    def _payer(self, peer: Peer, process: PeerProcess) -> str:
        return process.address or self._world.purse(peer.name).address

    def _process(self, peer: Peer, role: str, settings: dict[str, Any]) -> PeerProcess:
        if peer.runtime == "python":
            command = [str(python(peer.environment, self._say)), str(_script(peer))]
        else:
            node, folder = javascript(peer.environment, self._world.scratch, self._say)
            command = [str(node), str(folder / f"{peer.script}.mjs")]
        log = self._world.scratch / f"{role}-{peer.script}.log"
        return PeerProcess(command, settings, log)

    def _channel_facilitator(self) -> PeerProcess:
        """The official one, whose calls carry out channels on our contract."""
        purse = self._world.purse(CHANNEL_FACILITATOR.name)
        self._world.fuel(purse.address)
        settings = {
            "key": purse.key,
            "network": self._world.devnet.network,
            "rpc_url": self._world.devnet.url,
        }
        return self._process(CHANNEL_FACILITATOR, "facilitator", settings)

    def _shared_settings(self) -> dict[str, Any]:
        network = self._world.devnet.network
        return {
            "network": network,
            "chain_id": int(network.partition(":")[2]),
            "token": self._world.token(EXACT.token),
            "python": str(python(OURS)),
            "scratch": str(self._world.scratch),
        }

    def _payer_settings(self, peer: Peer) -> dict[str, Any]:
        return {
            **self._shared_settings(),
            "key": self._world.purse(peer.name).key,
            "assets": [self._world.token(one.token)["address"] for one in (EXACT, PERMIT2)],
        }

    def _seller_settings(self, peer: Peer) -> dict[str, Any]:
        channels = self._channels_url if peer.has_own_facilitator else self._world.facilitator
        schemes = [one for one in SCHEMES if one in peer.schemes]
        return {
            **self._shared_settings(),
            "facilitator": self._world.facilitator,
            "channel_facilitator": channels,
            "node": self._world.node,
            "node_network": self._world.node_network,
            "pay_to": _seller(peer),
            "secret": SECRET,
            "routes": [route for scheme in schemes for route in self._routes(scheme)],
        }

    def _routes(self, scheme: Scheme) -> Iterator[dict[str, Any]]:
        token = self._world.token(scheme.token)
        extra = {"name": token["name"], "version": token["version"]}
        if scheme is PERMIT2:
            extra = {"assetTransferMethod": "permit2"}
        prices = {scheme.path: UNITS, scheme.twin_path: UNITS, scheme.dear_path: DEAR_UNITS}
        for path, units in prices.items():
            yield {
                "scheme": BATCH.name if scheme is BATCH else EXACT.name,
                "path": path,
                "amount": str(units),
                "price": f"{units / _MILLION:.6f}",
                "asset": token["address"],
                "extra": extra,
            }


def _seller(peer: Peer) -> str:
    """The account of a seller, which nobody else pays."""
    return "0x" + hashlib.sha256(f"interop seller {peer.name}".encode()).hexdigest()[:40]


def _script(peer: Peer) -> Path:
    return PEERS / f"{peer.script}.py"
