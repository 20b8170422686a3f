"""Who is alive: each process holds a lock on a file of its own for as long as it runs.

The system lets go of the lock when the process ends, however it ends, so a lock that can be taken
is proof of death; a process id could be another process's by now.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path


class Instance:
    """This process's place among the wallet's owners: a name, and the lock that shows it lives."""

    def __init__(self, folder: Path, *, name: str = "") -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = name or secrets.token_hex(16)
        self._pid = os.getpid()
        self._folder = folder
        self._descriptor = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    @property
    def is_copy(self) -> bool:
        """Whether this is a fork's copy of its parent's place."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Let go of the lock and remove the file."""
        if self._descriptor >= 0:
            (self._folder / self.name).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def is_dead(self, name: str) -> bool:
        """Whether the process that owned `name` has ended."""
        if name == self.name:
            return self._descriptor < 0
        try:
            descriptor = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove the files of all dead owners; nobody may be starting meanwhile."""
        for path in self._folder.iterdir():
            if self.is_dead(path.name):
                path.unlink(missing_ok=True)

    def bury(self, name: str) -> None:
        """Remove a dead owner's file."""
        (self._folder / name).unlink(missing_ok=True)
