"""What a durable commit costs here: the condition that several claims name."""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

COMMITS = 300
FAST_COMMIT_MS = 0.5


def commit_ms(folder: Path) -> float:
    """Return the median time of a one-row SQLite commit with synchronous=FULL, in milliseconds."""
    path = folder / "fsync-probe.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE probe (n INTEGER PRIMARY KEY, body BLOB)")
    times: list[float] = []
    for n in range(COMMITS):
        started = time.perf_counter()
        connection.execute("INSERT INTO probe VALUES (?, ?)", (n, b"x" * 100))
        times.append(time.perf_counter() - started)
    connection.close()
    for file in folder.glob("fsync-probe.sqlite*"):
        file.unlink()
    return statistics.median(times) * 1000
