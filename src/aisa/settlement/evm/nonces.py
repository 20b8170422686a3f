"""The nonces of one key that are promised to an intent, kept in the journal before they are used."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from aisa.errors import LedgerCorrupt
from aisa.settlement.evm.entry import Entry, parse_entry
from aisa.settlement.rail import SendJournal


class _Table(msgspec.Struct, frozen=True):
    """Open nonces as (nonce, id of the intent); all below `floor` are used."""

    floor: int = 0
    open: tuple[tuple[int, str], ...] = ()


class NonceBook:
    """Gives every intent one nonce, and no nonce to two intents that could both be sent.

    A nonce is claimed in the journal, then its entry is written, then it may be sent. A claim
    whose entry never came was never sent, so its nonce is free again. Every method is called
    under the sender's lock.
    """

    def __init__(self, journal: SendJournal, table_id: str) -> None:
        self._journal = journal
        self._table_id = table_id
        self._floor = 0
        self._claims: dict[int, str] = {}
        self._entries: dict[int, Entry] = {}
        self._is_loaded = False

    async def open_entries(self) -> Mapping[int, tuple[str, Entry]]:
        """The open intents by nonce."""
        await self._load()
        return {nonce: (self._claims[nonce], entry) for nonce, entry in self._entries.items()}

    async def claim(self, id: str, used: int) -> int:  # noqa: A002 - the port's word
        """Promise the lowest free nonce to an intent, durable on return; `used` are in the chain."""
        await self._load()
        await self._drop_dead()
        nonce = max(used, self._floor)
        while nonce in self._claims:
            nonce += 1
        await self._save(self._floor, {**self._claims, nonce: id})
        self._claims[nonce] = id
        return nonce

    async def gap(self, used: int) -> int | None:
        """The nonce that nobody was promised and that holds back a later one."""
        await self._load()
        await self._drop_dead()
        if used < self._floor or used in self._claims:
            return None
        return used if any(nonce > used for nonce in self._claims) else None

    def note(self, entry: Entry) -> None:
        """Remember an entry that was written, or written anew."""
        self._entries[entry.nonce] = entry

    async def release(self, nonce: int) -> None:
        """Forget a nonce whose chain tx is final, and every claim on a lower one is used, too."""
        await self._load()
        if nonce not in self._claims:
            return
        left = {one: name for one, name in self._claims.items() if one != nonce}
        floor = max(self._floor, nonce + 1)
        await self._save(floor, left)
        self._floor, self._claims = floor, left
        self._entries.pop(nonce, None)

    async def _save(self, floor: int, claims: Mapping[int, str]) -> None:
        table = _Table(floor, tuple(sorted(claims.items())))
        await self._journal.save(self._table_id, msgspec.json.encode(table))

    async def _load(self) -> None:
        if self._is_loaded:
            return
        body = await self._journal.load(self._table_id)
        try:
            table = _Table() if body is None else msgspec.json.decode(body, type=_Table)
        except msgspec.DecodeError as error:
            raise LedgerCorrupt(f"the nonce table {self._table_id} is not readable") from error
        self._floor, self._claims = table.floor, dict(table.open)
        self._is_loaded = True
        await self._drop_dead()

    async def _drop_dead(self) -> None:
        """Drop claims without an entry, and those that another task of this process closed."""
        for nonce, id in list(self._claims.items()):  # noqa: A001
            if nonce in self._entries:
                continue
            body = await self._journal.load(id)
            entry = None if body is None else parse_entry(id, body)
            if entry is None or entry.nonce != nonce:
                del self._claims[nonce]
            elif entry.is_open:
                self._entries[nonce] = entry
            else:
                del self._claims[nonce]
                self._floor = max(self._floor, nonce + 1)
