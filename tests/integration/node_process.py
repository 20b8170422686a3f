"""A node in a process of its own, over a Solana devnet in another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from solders.keypair import Keypair

from aisa.client import SyncNodeClient
from aisa.devnet.solana.process import SolanaProcess
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.errors import NodeUnavailable
from aisa.identity import SigningKey
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import DevnetMint, devnet_config, init_node
from aisa.node.key import open_seed

T = TypeVar("T")
WAIT_S_MAX = 30.0


def make_folder(folder: Path, devnet: SolanaProcess) -> None:
    card = devnet.card
    mints = [
        DevnetMint(one["symbol"], one["asset"], one["scale"])
        for one in card["mints"]  # type: ignore[attr-defined]
    ]
    text = devnet_config(
        label=str(card["label"]),
        rpc_url=devnet.url,
        network=devnet.network,
        issuer=str(card["issuer"]),
        mints=mints,
    )
    init_node(folder, config=f"port = 0\nreconcile_ms = 100\n{text}")


async def give_fees(folder: Path, devnet: SolanaProcess) -> None:
    config = load_config(folder / "node.toml", {})
    async with SolanaWallet(devnet.url, Keypair()) as wallet:
        for _, address in treasuries(config, open_seed(config, None)):
            await wallet.call("requestAirdrop", address, 1_000_000_000)


@dataclass
class NodeProcess:
    folder: Path
    faults: str = ""
    url: str = ""
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        environ = {**os.environ, "AISA_DEVNET": "1", "AISA_FAULTS": self.faults}
        command = [sys.executable, "-m", "aisa.node", "--config", str(self.folder / "node.toml")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(ready)], stdout=log, stderr=log, env=environ
            )
        eventually(lambda: ready.exists() or self.process.poll() is not None)
        if not ready.exists():
            raise NodeUnavailable((self.folder / "log").read_text()[-2000:])
        self.url = json.loads(ready.read_text())["url"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S_MAX)

    def was_killed(self) -> bool:
        """Wait for the armed failpoint to end the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(WAIT_S_MAX) == -signal.SIGKILL
        return False

    def client(self, key: SigningKey) -> SyncNodeClient:
        return SyncNodeClient(self.url, key, timeout_s=WAIT_S_MAX)


def eventually(probe: Callable[[], T], wait_s: float = WAIT_S_MAX) -> T:
    deadline = time.monotonic() + wait_s
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found
