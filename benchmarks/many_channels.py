"""A seller with a million open channels against one with a hundred.

In every round a hundred channels are paid on, 32 calls in flight. Those of the large file lie all
over it and are new to the process in every round; the small file's are always the same, and warm.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.bench import Bench, Group, claim, say
from benchmarks.claim import Claim, absolute, paired
from benchmarks.ours.filled import Filling, LiveChannel, fill, spread
from benchmarks.side import module
from benchmarks.worker import Worker

COST = "paid_cost_at_1e6_channels"
MEMORY = "memory_per_idle_channel_bytes"
MANY, FEW = 1_000_000, 100
MANY_QUICK = 20_000
LIVE = 100
CALLS_PER_CHANNEL = 40
IN_FLIGHT = 32
START_TIMEOUT_S = 120


@dataclass(slots=True)
class Pool:
    """One seller, the payer that pays it, and its channels with the next seq of each."""

    seller: Worker
    payer: Worker
    live: Sequence[LiveChannel]
    resident_before: int
    next_seq: dict[bytes, int] = field(default_factory=dict)
    at: int = 0

    def run(self, calls: int) -> float:
        """Pay on the next hundred channels; return the seller's CPU seconds for each paid call."""
        chosen = [self.live[(self.at + place) % len(self.live)] for place in range(LIVE)]
        self.at += LIVE
        channels: list[tuple[str, str, int]] = []
        for one in chosen:
            seq = self.next_seq.get(one.channel, one.seq)
            self.next_seq[one.channel] = seq + calls
            channels.append((one.channel.hex(), one.tick_key.hex(), seq))
        self.payer.ask({"do": "open", "channels": channels, "calls": calls, "in_flight": IN_FLIGHT})
        before = self.seller.cpu_s()
        answer = self.payer.ask({"do": "run"})
        cpu_s = self.seller.cpu_s() - before
        if answer["refused"]:
            raise RuntimeError(f"{answer['refused']} calls were refused by {self.seller.name}")
        return cpu_s / answer["served"]


@contextmanager
def _pool(bench: Bench, hub: tuple[str, str], channels: int) -> Iterator[Pool]:
    seed = secrets.token_bytes(32)
    folder = bench.folder / f"channels-{channels}"
    folder.mkdir()
    url, network = hub
    wanted = min(channels, LIVE * (bench.rounds + 1))
    started = time.perf_counter()
    filling = Filling(
        seed, network, int(time.time()), channels, frozenset(spread(channels, wanted))
    )
    live = list(fill(folder / "seller.sqlite", filling))
    secrets.SystemRandom().shuffle(live)
    say(f"a file of {channels:,} channels: {time.perf_counter() - started:.0f} s")
    command = module(
        "seller", "--store", folder / "seller.sqlite", "--seed", seed.hex(),
        "--hub-url", url, "--hub-network", network,
    )  # fmt: skip
    with Worker(f"seller-{channels}", command, bench.logs) as seller:
        port = seller.read_line(START_TIMEOUT_S)
        command = module("payer", "--url", f"http://127.0.0.1:{port}")
        with Worker(f"payer-{channels}", command, bench.logs) as payer:
            yield Pool(seller, payer, live, seller.resident_bytes())


def measure(bench: Bench) -> list[Claim]:
    """Return both claims."""
    many = MANY_QUICK if bench.quick else MANY
    with ExitStack() as stack:
        command = module("hub", "--seed", secrets.token_hex(32))
        hub = stack.enter_context(Worker("channels-hub", command, bench.logs))
        port, network = hub.read_line().split()
        hub_of = (f"http://127.0.0.1:{port}", network)
        large = stack.enter_context(_pool(bench, hub_of, many))
        small = stack.enter_context(_pool(bench, hub_of, FEW))
        costs: list[tuple[float, float]] = []
        memory: list[float] = []
        pools = [lambda: large.run(CALLS_PER_CHANNEL), lambda: small.run(CALLS_PER_CHANNEL)]

        def sample() -> float:
            return (large.seller.resident_bytes() - small.seller.resident_bytes()) / (many - FEW)

        for number in range(-1, bench.rounds):
            order = [0, 1] if number % 2 else [1, 0]
            cost = {place: pools[place]() for place in order}
            if number >= 0:
                costs.append((cost[0] * 1e6, cost[1] * 1e6))
                memory.append(max(0.0, sample()))
            say(f"channels: round {number + 1} of {bench.rounds}")
        resident = large.seller.resident_bytes()
    return _claims(many, costs, memory, resident)


def _claims(
    many: int, costs: list[tuple[float, float]], memory: list[float], resident: int
) -> list[Claim]:
    return [
        claim(
            COST,
            "<= 1.2",
            paired([ours for ours, _ in costs], [theirs for _, theirs in costs]),
            unit="us of CPU",
            note=f"the seller's CPU for a paid call, {many:,} open channels in its file against {FEW}:"
            f" {LIVE} channels a round, {CALLS_PER_CHANNEL} calls on each, {IN_FLIGHT} in flight;"
            " those of the large file are read from disk first, the small file's are warm",
        ),
        claim(
            MEMORY,
            "<= 1024",
            absolute(memory),
            unit="bytes",
            note=f"resident memory with {many:,} channels less that with {FEW}, for each channel more;"
            f" {resident / 2**20:.0f} MiB in all after a median call of"
            f" {statistics.median(ours for ours, _ in costs):.0f} us",
        ),
    ]


GROUP = Group("channels", (COST, MEMORY), measure)
