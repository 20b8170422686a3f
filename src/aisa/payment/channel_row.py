"""What the ledger keeps of a channel beside its account: one record, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from aisa.client.message import ChannelState
from aisa.errors import NotFound
from aisa.ledger.record import PutRecord
from aisa.ledger.store import Store
from aisa.payment import names
from aisa.protocol.aip import ChannelTerms, key_of_hub_network


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A channel's terms, who opened it, and how far it got.

    `opener` is the account key that the rest goes back to; `closes_at_uptime_ms` is on the node's
    uptime clock.
    """

    network: str
    payer: bytes
    payee: bytes
    currency: str
    salt: bytes
    opener: bytes
    opened_by: str
    opened_units: int
    fee_ppm: int
    deposit: int
    redeemed: int = 0
    fee_taken: int = 0
    state: ChannelState = ChannelState.OPEN
    closes_at_uptime_ms: int | None = None

    @property
    def terms(self) -> ChannelTerms:
        """The terms that the channel id hashes."""
        holder = key_of_hub_network(self.network)
        return ChannelTerms(self.network, holder, self.payer, self.payee, self.currency, self.salt)

    @property
    def channel(self) -> bytes:
        """The channel id."""
        return self.terms.channel_id

    @property
    def rest(self) -> int:
        """What the channel's account holds, unless it is closed."""
        return self.deposit - self.redeemed


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A channel's row and the version of its record, for the next compare-and-set."""

    row: ChannelRow
    version: int

    def replaced(self, row: ChannelRow) -> PutRecord:
        """Return the operation that replaces it by `row`."""
        return put_channel(row, self.version)


def put_channel(row: ChannelRow, expected_version: int) -> PutRecord:
    """Return the operation that writes a channel's row."""
    body = msgspec.json.encode(row)
    return PutRecord(names.CHANNEL, row.channel.hex(), expected_version, body)


async def find_channel(store: Store, channel: bytes) -> StoredChannel | None:
    """Return a channel as it stands."""
    record = await store.record(names.CHANNEL, channel.hex())
    if record is None:
        return None
    return StoredChannel(msgspec.json.decode(record.body, type=ChannelRow), record.version)


async def channel_of(store: Store, channel: bytes, *, opener: bytes) -> StoredChannel:
    """Return a channel that `opener` opened.

    Raises:
        NotFound: there is none; another's channel looks the same.
    """
    stored = await find_channel(store, channel)
    if stored is None or stored.row.opener != opener:
        raise unknown_channel(channel)
    return stored


def unknown_channel(channel: bytes) -> NotFound:
    """Return the one answer for no channel and for another's."""
    return NotFound(f"there is no channel {channel.hex()} of this key")
