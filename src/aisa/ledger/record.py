"""Records: small versioned documents that commit together with transfers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Write the next version of a record, if it still is at `expected_version` (0: must not exist).

    A command of records alone is a plain compare-and-set: sent twice, the second is refused, so that
    a claim can be won once only. Beside a transfer it is part of that transfer's body.
    """

    kind: str
    id: str
    expected_version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """The current version of a record; versions count from 1."""

    kind: str
    id: str
    version: int
    body: bytes
    at_ms: int
