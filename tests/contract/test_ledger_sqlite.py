"""The SQLite store keeps the contract of ledger stores."""

from __future__ import annotations

from pathlib import Path

from aisa.ledger import Store
from aisa.ledger.sqlite import SqliteStore
from tests.contract.ledger_store import LedgerStoreContract, Time


class TestSqliteStore(LedgerStoreContract):
    async def open(self, folder: Path, time: Time) -> Store:
        return await SqliteStore.open(folder / "ledger.sqlite", clock=time)
