"""The past of a ledger, in memory."""

from __future__ import annotations

import heapq
from collections.abc import Collection

from aisa.ledger.row import AccountRow, Batch, HoldRow, RecordRow, TransferRow
from aisa.ledger.state import Position
from aisa.ledger.transfer import EntryKind, HoldStatus


class MemoryState:
    """A `State` in memory: for tests, and to fold a stored ledger again.

    With `forget=True` it remembers of the transfers only the open holds: enough where another has
    made sure that no id comes twice, and small however long the ledger is.
    """

    def __init__(self, *, forget: bool = False) -> None:
        self._forget = forget
        self.accounts: dict[str, Position] = {}
        self.holds: dict[int, HoldRow] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self._accounts_by_seq: dict[int, Position] = {}
        self._transfers: dict[str, TransferRow] = {}
        self._hold_rows: dict[int, TransferRow] = {}
        self._expiries: list[tuple[int, int]] = []
        self._records: dict[tuple[str, str, int], RecordRow] = {}

    def apply(self, batch: Batch) -> None:
        """Remember what a batch changed, as a store does when it commits."""
        for row in map(AccountRow._make, batch.accounts):
            self.accounts[row.name] = self._accounts_by_seq[row.seq] = Position(row)
        for seq, *sums in batch.balances:
            self._accounts_by_seq[seq].sums = (sums[0], sums[1], sums[2], sums[3])
        for row in map(TransferRow._make, batch.transfers):
            if row.kind == EntryKind.HOLD:
                self._hold_rows[row.seq] = row
            if row.kind == EntryKind.HOLD or not self._forget:
                self._transfers[row.id] = row
        for standing in map(HoldRow._make, batch.holds):
            self._apply_hold(standing)
        for row in map(RecordRow._make, batch.records):
            self.versions[row.kind, row.id] = row.version
            if not self._forget:
                self._records[row.kind, row.id, row.version] = row

    def _apply_hold(self, standing: HoldRow) -> None:
        if standing.status == HoldStatus.OPEN and standing.expires_at_ms is not None:
            heapq.heappush(self._expiries, (standing.expires_at_ms, standing.seq))
        if standing.status == HoldStatus.OPEN or not self._forget:
            self.holds[standing.seq] = standing
            return
        self.holds.pop(standing.seq, None)
        row = self._hold_rows.pop(standing.seq)
        del self._transfers[row.id]

    def account(self, name: str) -> Position | None:
        """Return the account of that name."""
        return _copy(self.accounts.get(name))

    def account_at(self, seq: int) -> Position | None:
        """Return the account that the row `seq` opened."""
        return _copy(self._accounts_by_seq.get(seq))

    def transfers(self, ids: Collection[str]) -> dict[str, TransferRow]:
        """Return those of the ids that exist."""
        return {key: self._transfers[key] for key in ids if key in self._transfers}

    def hold(self, seq: int) -> HoldRow | None:
        """Return where the hold of row `seq` stands."""
        return self.holds.get(seq)

    def due(self, now_ms: int, limit: int) -> list[TransferRow]:
        """Return open holds that are due, by (expiry, seq), at most `limit`."""
        while self._expiries and not self._is_open(self._expiries[0][1]):
            heapq.heappop(self._expiries)
        if not self._expiries or self._expiries[0][0] > now_ms:
            return []
        due = sorted(item for item in self._expiries if item[0] <= now_ms)
        return [self._hold_rows[seq] for _, seq in due if self._is_open(seq)][:limit]

    def version(self, kind: str, record_id: str) -> int:
        """Return the record's current version; 0 if there is none."""
        return self.versions.get((kind, record_id), 0)

    def record(self, kind: str, record_id: str, version: int) -> RecordRow | None:
        """Return one version of a record."""
        return self._records.get((kind, record_id, version))

    def _is_open(self, seq: int) -> bool:
        standing = self.holds.get(seq)
        return standing is not None and standing.status == HoldStatus.OPEN


def _copy(position: Position | None) -> Position | None:
    """The book changes what it is given before a batch is certain."""
    return position and Position(position.row, position.sums)
