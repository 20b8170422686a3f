"""How a peer in Python talks to the harness: settings in, one line of JSON for each answer out."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

SETTINGS: dict[str, Any] = json.loads(sys.argv[1])


def say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


_sales = itertools.count(1)


def sale() -> dict[str, Any]:
    """What a seller sells: its number tells one sale from the next."""
    return {"sold": next(_sales)}


def listener() -> socket.socket:
    """A free loopback port that accepts connections at once."""
    found = socket.create_server(("127.0.0.1", 0), backlog=128)
    found.set_inheritable(True)
    return found


def serve(listening: socket.socket) -> None:
    """Say where the server is; it ends when the harness does."""
    threading.Thread(target=_end_with_the_harness, daemon=True).start()
    say(url=f"http://127.0.0.1:{listening.getsockname()[1]}")


def commands(**about: str) -> Iterator[dict[str, Any]]:
    say(ready=True, **about)
    for line in sys.stdin:
        yield json.loads(line)


def answer(act: Callable[[dict[str, Any]], dict[str, Any]], command: dict[str, Any]) -> None:
    """What came of it, or the words of whatever the other implementation raised."""
    try:
        say(**act(command))
    except Exception as error:  # noqa: BLE001 - every implementation has errors of its own
        say(error=f"{type(error).__name__}: {error}")


def _end_with_the_harness() -> None:
    sys.stdin.read()
    os._exit(0)
