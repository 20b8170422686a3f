"""Which process serves something of this home, and where: a small file, there while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from aisa.demo.process import ProcessId, began


class Service(msgspec.Struct, frozen=True):
    """A running node or seller.

    `token` lets its owner give a seller orders; a node's `treasuries` pay its chain fees.
    """

    pid: int
    began: str
    url: str
    network: str = ""
    token: str = ""
    treasuries: tuple[str, ...] = ()

    @property
    def id(self) -> ProcessId:
        """Its pid and start time."""
        return ProcessId(self.pid, self.began)

    @classmethod
    def of_this_process(
        cls, url: str, *, network: str = "", token: str = "", treasuries: tuple[str, ...] = ()
    ) -> Service:
        """The service that this process is."""
        return cls(os.getpid(), began(os.getpid()), url, network, token, treasuries)


def read_service(path: Path) -> Service | None:
    """The service that runs; None if there is none, or only its leftover file."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Service)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    return found if found.id.is_alive else None


def write_service(path: Path, service: Service) -> None:
    """Say where it runs, to the owner of the home alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(service) + b"\n")
    draft.replace(path)


def forget_service(path: Path) -> None:
    """This process's service has stopped; what another one wrote there stays."""
    found = read_service(path)
    if found is not None and found.pid == os.getpid():
        path.unlink()
