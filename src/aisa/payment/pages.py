"""Pages over records whose ids begin with their owner."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aisa.ledger.record import Record
from aisa.ledger.store import PAGE_MAX, Store


def owned_id(owner: bytes, name: str) -> str:
    """Return the id of a record that belongs to a key."""
    return f"{owner.hex()}/{name}"


def name_in(record_id: str) -> str:
    """Return an owned record's id without its owner."""
    return record_id.partition("/")[2]


async def owned_page(
    store: Store, kind: str, owner: bytes, after: str | None, limit: int
) -> list[Record]:
    """Return a key's records of a kind, by name, those after the name `after`."""
    prefix = owned_id(owner, "")
    found = await store.records(kind, prefix + (after or ""), limit)
    return [record for record in found if record.id.startswith(prefix)]


async def every_record(store: Store, kind: str) -> AsyncIterator[Record]:
    """Yield all records of a kind, by id."""
    after = ""
    while page := await store.records(kind, after, PAGE_MAX):
        for record in page:
            yield record
        after = page[-1].id
