"""What rails must not forget, kept as records of the ledger: sends, and deposit addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aisa.errors import StateConflict
from aisa.ledger.outcome import Reason, require_applied
from aisa.ledger.record import PutRecord
from aisa.ledger.store import Store
from aisa.payment import names
from aisa.payment.commit import commit
from aisa.payment.pages import every_record


class RecordJournal:
    """A `SendJournal` over the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, id: str) -> bytes | None:  # noqa: A002 - the port's word
        """The body saved for an id."""
        record = await self._store.record(names.SEND, id)
        return None if record is None else record.body

    async def save(self, id: str, body: bytes) -> None:  # noqa: A002 - the port's word
        """Keep a body for an id, durable on return.

        Raises:
            StateConflict: another task saved the same id meanwhile.
        """
        record = await self._store.record(names.SEND, id)
        version = 0 if record is None else record.version
        put = PutRecord(names.SEND, id, version, body)
        require_applied(await commit(self._store, "journal", (put,)))


class RecordAddresses:
    """`DepositAddresses` of one network over the ledger, with all of them in memory too."""

    def __init__(self, store: Store, network: str) -> None:
        self._store = store
        self._prefix = address_id(network, "")
        self._by_account: dict[str, str] | None = None
        self._entries: tuple[tuple[str, str], ...] | None = None
        self._given_ms: dict[str, int] = {}

    async def add(self, account: str, address: str) -> None:
        """Keep a pair, durable on return; one that is there already stays as it is."""
        known = await self._known()
        if account in known:
            return
        put = PutRecord(names.DEPOSIT_ADDRESS, self._prefix + account, 0, address.encode())
        outcome = await commit(self._store, "address", (put,))
        if outcome.reason is Reason.RECORD_CHANGED:
            if account not in known:
                raise StateConflict("another task added this account; ask again")
            return
        require_applied(outcome)
        known[account] = address
        self._entries = None

    async def entries(self) -> Sequence[tuple[str, str]]:
        """Every (account, address)."""
        if self._entries is None:
            self._entries = tuple((await self._known()).items())
        return self._entries

    async def given_ms(self) -> Mapping[str, int]:
        """When the addresses that were there at first were given."""
        await self._known()
        return self._given_ms

    async def _known(self) -> dict[str, str]:
        if self._by_account is None:
            found: dict[str, str] = {}
            given_ms: dict[str, int] = {}
            async for record in every_record(self._store, names.DEPOSIT_ADDRESS):
                if record.id.startswith(self._prefix):
                    account = record.id.removeprefix(self._prefix)
                    found[account] = record.body.decode()
                    given_ms[account] = record.at_ms
            if self._by_account is None:  # another task may have read them meanwhile
                self._by_account = found
                self._given_ms = given_ms
        return self._by_account


def address_id(network: str, account: str) -> str:
    """Return the id of the record that keeps an account's deposit address."""
    return f"{network}/{account}"
