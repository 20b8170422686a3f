"""The payee's journal: a file of fixed size that takes each batch in one write and one flush.

A commit of SQLite writes a page for every table and index that it touches; a record here is written
once, and many of them are folded into the database together. The database holds the number of the
journal's generation and raises it in the transaction that folds: records of another generation are
old, whatever they say. A record's MAC is by the database's own secret: what an old answer left behind
is never read as a record.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Final

BYTES: Final = 1024 * 1024
_HEAD: Final = struct.Struct(">QI")
"""Generation and the body's length; the MAC of the two and the body follows."""
_MAC_SIZE: Final = 16
_PROBE: Final = bytes(512)
_sync: Final = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


class Journal:
    """The journal at `path`, made where there is none; records of `generation` are live.

    `key` is the 32-byte key of the records' MACs. Every method raises OSError for what the disk
    refuses.
    """

    def __init__(self, path: Path, generation: int, key: bytes) -> None:
        self._generation = generation
        self._key = key
        self._end = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._allocate(path)
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def append(self, body: bytes) -> bool:
        """Write a record and wait until the disk has it; False if there is no room for it.

        After an OSError nobody knows whether the record is there: only a new generation forgets it.
        """
        head = _HEAD.pack(self._generation, len(body))
        record = b"".join((head, self._mac(head, body), body))
        end = self._end + len(record)
        if end > BYTES:
            return False
        if os.pwrite(self._file, record, self._end) != len(record):
            raise OSError("the journal took only a part of a record")
        _sync(self._file)
        self._end = end
        return True

    def records(self) -> Generator[bytes]:
        """Yield the bodies of the live generation, up to a record that a crash cut off."""
        content = os.pread(self._file, BYTES, 0)
        while self._end + _HEAD.size + _MAC_SIZE <= len(content):
            head = content[self._end : self._end + _HEAD.size]
            generation, size = _HEAD.unpack(head)
            start = self._end + _HEAD.size + _MAC_SIZE
            mac, body = content[start - _MAC_SIZE : start], content[start : start + size]
            if generation != self._generation or not compare_digest(mac, self._mac(head, body)):
                return
            self._end = start + size
            yield body

    def start_anew(self) -> None:
        """Begin the next generation, which the database has begun, at the start of the file."""
        self._generation += 1
        self._end = 0

    def flush(self) -> None:
        """Write as much as a small record where the next one will be, for who times it."""
        if self._end + len(_PROBE) <= BYTES:
            os.pwrite(self._file, _PROBE, self._end)
            _sync(self._file)

    def _mac(self, head: bytes, body: bytes) -> bytes:
        mac = blake2b(head, digest_size=_MAC_SIZE, key=self._key)
        mac.update(body)
        return mac.digest()

    def _allocate(self, path: Path) -> None:
        """Write the whole file once, so that no later write changes more than its data."""
        size = os.fstat(self._file).st_size
        if size >= BYTES:
            return
        os.pwrite(self._file, bytes(BYTES - size), size)
        os.fsync(self._file)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
