"""Which keys have something to lose here: money, or a channel. All others are strangers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from aisa.ledger import Store
from aisa.payment import names
from aisa.payment.pages import owned_page
from aisa.payment.terms import TermsTable

KEYS_MAX: Final = 65_536


class Standing:
    """Asks the ledger, and remembers the keys that it knew; the longest unused are forgotten."""

    def __init__(self, store: Store, terms: TermsTable, *, keys_max: int = KEYS_MAX) -> None:
        self._store = store
        self._terms = terms
        self._keys_max = keys_max
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def is_known(self, key: bytes) -> bool:
        """Whether a key had money here since the start, or ever had a channel."""
        if key in self._known:
            self._known.move_to_end(key)
            return True
        if not (await self.has_money(key) or await self._has_channel(key)):
            return False
        self._known[key] = None
        if len(self._known) > self._keys_max:
            self._known.popitem(last=False)
        return True

    async def has_money(self, key: bytes) -> bool:
        """Whether an account of a key holds any now."""
        for terms in self._terms.all:
            balance = await self._store.balance(names.customer(key, terms.currency.code))
            if balance.units > 0:
                return True
        return False

    async def _has_channel(self, key: bytes) -> bool:
        for kind in (names.CHANNEL_OF_PAYEE, names.CHANNEL_OF_OPENER):
            if await owned_page(self._store, kind, key, None, 1):
                return True
        return False
