"""Our seller and agent with a hub beside them, ready for loads."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench
from benchmarks.side import Side, module
from benchmarks.worker import Worker


@contextmanager
def our_side(bench: Bench, *, is_free: bool = False) -> Iterator[Side]:
    """Start hub, seller and agent; a free seller asks for no payment.

    The seller's file is on the disk that the bench measures.
    """
    name = f"ours-{secrets.token_hex(3)}"
    folder = bench.folder / name
    folder.mkdir()
    command = module("hub", "--seed", secrets.token_hex(32))
    with Worker(f"{name}-hub", command, bench.logs) as hub:
        port, network = hub.read_line().split()
        hub_url = f"http://127.0.0.1:{port}"
        trusted = ("--hub-url", hub_url, "--hub-network", network)
        options = [*trusted, "--free"] if is_free else trusted
        command = module("seller", "--store", folder / "seller.sqlite", *options)
        seller = Worker(f"{name}-seller", command, bench.logs)
        url = f"http://127.0.0.1:{seller.read_line()}"
        command = module("agent", "--url", url, "--folder", folder, "--node", hub_url)
        with Side(seller, Worker(f"{name}-agent", command, bench.logs)) as side:
            yield side
