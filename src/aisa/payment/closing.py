"""The closing clock: a channel whose payee is silent gives its rest back after a day of uptime.

The clock counts only time that the node was up, so that no payee loses its claim to an outage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from aisa.client.message import ChannelState
from aisa.ledger.outcome import Operation, Reason, require_applied
from aisa.ledger.record import PutRecord
from aisa.ledger.store import Store
from aisa.ledger.transfer import Transfer
from aisa.payment import names
from aisa.payment.channel_row import ChannelRow, StoredChannel, find_channel
from aisa.payment.commit import commit
from aisa.payment.pages import every_record, name_in

CLOSING_MS_DEFAULT: Final = 24 * 60 * 60 * 1000
_NODE: Final = "node"


class ClosingClock:
    """The node's uptime, and the channels that wait for it.

    `monotonic_ms` never goes back; what it shows at the start does not matter.
    """

    def __init__(
        self,
        store: Store,
        *,
        monotonic_ms: Callable[[], int],
        closing_ms: int = CLOSING_MS_DEFAULT,
    ) -> None:
        self._store = store
        self._monotonic_ms = monotonic_ms
        self._closing_ms = closing_ms
        self._before_ms = 0
        self._version = 0
        self._started_ms = monotonic_ms()
        self._watched: set[bytes] = set()

    async def load(self) -> None:
        """Read what earlier runs counted, and which channels are closing."""
        record = await self._store.record(names.UPTIME, _NODE)
        if record is not None:
            self._before_ms = msgspec.json.decode(record.body, type=int)
            self._version = record.version
        self._started_ms = self._monotonic_ms()
        async for mark in every_record(self._store, names.CLOSING):
            channel = bytes.fromhex(name_in(mark.id))
            stored = await find_channel(self._store, channel)
            if stored is not None and stored.row.state is ChannelState.CLOSING:
                self._watched.add(channel)

    def now_ms(self) -> int:
        """Return the node's uptime over all its runs."""
        return self._before_ms + self._monotonic_ms() - self._started_ms

    def deadline_ms(self) -> int:
        """Return when a channel that starts to close now may be closed, on the uptime clock."""
        return self.now_ms() + self._closing_ms

    def watch(self, channel: bytes) -> None:
        """Close the channel when its time has come."""
        self._watched.add(channel)

    async def step(self) -> int:
        """Save the clock, close what is due, and return how many channels were closed."""
        if self._watched:
            await self._save()
        closed = 0
        for channel in tuple(self._watched):
            closed += await self._close_if_due(channel)
        return closed

    async def _save(self) -> None:
        body = msgspec.json.encode(self.now_ms())
        outcome = await self._store.post((PutRecord(names.UPTIME, _NODE, self._version, body),))
        require_applied(outcome)
        self._version += 1

    async def _close_if_due(self, channel: bytes) -> int:
        stored = await find_channel(self._store, channel)
        if stored is None or stored.row.state is not ChannelState.CLOSING:
            self._watched.discard(channel)
            return 0
        deadline_ms = stored.row.closes_at_uptime_ms
        if deadline_ms is not None and self.now_ms() < deadline_ms:
            return 0
        outcome = await commit(self._store, "closed", give_back(stored, stored.row))
        if outcome.reason is Reason.RECORD_CHANGED:
            return 0  # a redemption came between; the next step looks again
        require_applied(outcome)
        self._watched.discard(channel)
        return 1


def give_back(stored: StoredChannel, row: ChannelRow) -> tuple[Operation, ...]:
    """Return the operations that close a channel, whose row is about to be `row`."""
    closed = stored.replaced(replace(row, state=ChannelState.CLOSED, closes_at_uptime_ms=None))
    if not row.rest:
        return (closed,)
    rest = Transfer(
        names.closing_id(row.channel),
        names.channel_account(row.channel),
        names.customer(row.opener, row.currency),
        row.rest,
        row.currency,
        "channel.close",
    )
    return (rest, closed)
