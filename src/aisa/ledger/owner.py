"""One process owns a ledger file: an advisory lock on a file beside it.

The kernel lets go of the lock when the owner ends, however it ends; the side file stays and means
nothing by itself.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from aisa.errors import ConfigInvalid, FileOwned


class FileOwner:
    """Holds `<path>.lock` until `release`.

    Raises:
        FileOwned: another process holds it.
        ConfigInvalid: nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigInvalid(f"there can be no ledger at {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(self._fd, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise FileOwned(
                f"the ledger {path} is in use by process {pid}",
                hint="stop that node, or give this one a state directory of its own",
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process own the file."""
        os.close(self._fd)
