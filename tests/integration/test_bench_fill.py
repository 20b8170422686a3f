"""The bench fills a seller's file by itself: it must stay the file that a seller opens."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.identity import SigningKey
from aisa.protocol.aip import hub_network
from benchmarks.ours.filled import Filling, fill, spread

SEED = b"bench".ljust(32, b"\0")
CHANNELS = 3000


def test_a_filled_file_opens_and_knows_its_channels(tmp_path: Path) -> None:
    path, network = tmp_path / "seller.sqlite", hub_network(SigningKey(bytes(32)).public_key)
    chosen = frozenset(spread(CHANNELS, 5))
    live = list(fill(path, Filling(SEED, network, int(time.time()), CHANNELS, chosen)))
    assert len(live) == 5
    with closing(SqliteChannelStore(path, SigningKey(SEED).public_key)) as store:
        assert store.summary().channel_last == CHANNELS
        for one in live:
            found = store.channel(one.channel)
            assert found is not None
            assert found.row.charged == found.row.redeemed
            assert len(found.sessions) == 1
