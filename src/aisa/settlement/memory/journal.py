"""`SendJournal` and `DepositAddresses` in memory, for tests of any rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class MemoryJournal:
    """A `SendJournal` that lives as long as the object."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    async def load(self, id: str) -> bytes | None:  # noqa: A002 - the port's word
        """The body saved for an id."""
        return self.bodies.get(id)

    async def save(self, id: str, body: bytes) -> None:  # noqa: A002
        """Keep a body for an id."""
        self.bodies[id] = body


class MemoryDepositAddresses:
    """`DepositAddresses` that live as long as the object."""

    def __init__(self) -> None:
        self._by_account: dict[str, str] = {}

    async def add(self, account: str, address: str) -> None:
        """Keep a pair; one that is there already stays as it is."""
        self._by_account.setdefault(account, address)

    async def entries(self) -> Sequence[tuple[str, str]]:
        """Every (account, address)."""
        return tuple(self._by_account.items())

    async def given_ms(self) -> Mapping[str, int]:
        """Nothing: all are of this run."""
        return {}
