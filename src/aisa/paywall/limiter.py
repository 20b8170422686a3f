"""Bounded counters by peer address: unpaid requests per second, free calls per day."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from typing import Final

PEERS_MAX: Final = 65_536
_DAY_MS: Final = 86_400_000


class UnpaidLimiter:
    """A token bucket for each peer: `per_s` unpaid requests a second, `burst` at once.

    The table is bounded: the peer that was silent for the longest is forgotten first.
    """

    def __init__(self, per_s: float = 50, burst: int = 500, peers_max: int = PEERS_MAX) -> None:
        self._per_ms = per_s / 1000
        self._burst = burst
        self._peers_max = peers_max
        self._peers: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, peer: str, now_ms: int) -> int:
        """Count one unpaid request; return 0, or for how many seconds the peer is to wait."""
        known = self._peers.get(peer)
        if known is None:
            tokens = float(self._burst)
            if len(self._peers) >= self._peers_max:
                self._peers.popitem(last=False)
        else:
            elapsed_ms = max(0, now_ms - known[1])
            tokens = min(float(self._burst), known[0] + elapsed_ms * self._per_ms)
            self._peers.move_to_end(peer)
        if tokens >= 1:
            self._peers[peer] = (tokens - 1, now_ms)
            return 0
        self._peers[peer] = (tokens, now_ms)
        return max(1, round((1 - tokens) / self._per_ms / 1000))


class DailyQuota:
    """So many free calls for each name and UTC day; a full table gives no more to new names."""

    def __init__(self, names_max: int = PEERS_MAX) -> None:
        self._names_max = names_max
        self._day = -1
        self._used: dict[tuple[int, str | bytes], int] = {}

    def take(self, price_id: int, name: str | bytes, calls_per_day: int, now_ms: int) -> bool:
        """Whether this call is free; it is counted then."""
        day = now_ms // _DAY_MS
        if day != self._day:
            self._day = day
            self._used.clear()
        key = (price_id, name)
        used = self._used.get(key, 0)
        if used >= calls_per_day or (used == 0 and len(self._used) >= self._names_max):
            return False
        self._used[key] = used + 1
        return True


@lru_cache(maxsize=1024)
def peer_name(host: str) -> str:
    """The name that a peer is counted under: an IPv6 address is one of a /64 that it may own."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return host
