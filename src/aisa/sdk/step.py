"""The 402 dance's steps: what the flow asks of whoever drives it.

The flow is a generator that does no I/O. It yields a step and is sent what came of it, or has the
error thrown in. The asynchronous driver and the synchronous one perform the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import msgspec

from aisa.client.call import Call as NodeCall
from aisa.identity import Signer

T = TypeVar("T")


class Reply(msgspec.Struct, frozen=True):
    """A seller's whole answer; `headers` ignores case, `challenges` are those of a 402.

    One that `is_cut` was longer than the agent reads, and has no content.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    challenges: tuple[str, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """No whole answer came; `is_sent` is false if it is sure that the request never left."""

    is_sent: bool
    reason: str


class Send(msgspec.Struct):
    """Send a request to a seller, follow no redirect, and answer `Reply` or `Lost`.

    `native` is the URL as the HTTP client's own object, where there is one.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    timeout_s: float
    native: object = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Make a call of the node at `url`, signed by `signer` if there is one."""

    url: str
    signer: Signer | None
    call: NodeCall[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Run a function that may wait for the disk; one that `is_short` is a single small commit."""

    function: Callable[[], Any]
    is_short: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Dance `work` while no other call of this agent dances under the same key."""

    key: object
    work: Dance[Any]


@dataclass(frozen=True, slots=True)
class Aside:
    """Dance `work` beside this call; nobody waits for it, and its errors are its own."""

    work: Dance[Any]


Step: TypeAlias = Send | Ask | Run | Pause | Exclusive | Aside
Dance: TypeAlias = Generator[Step, Any, T]


class HubNode(Protocol):
    """What the asynchronous agent uses of a node's client."""

    async def send(self, call: NodeCall[T]) -> T:
        """Make a call; raises the error that the node's problem names, or NodeUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class SyncHubNode(Protocol):
    """What the synchronous agent uses of a node's client."""

    def send(self, call: NodeCall[T]) -> T:
        """Make a call; raises the error that the node's problem names, or NodeUnavailable."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def send(request: Send) -> Dance[Reply | Lost]:
    """Send a request to a seller."""
    return cast("Reply | Lost", (yield request))


def ask(url: str, signer: Signer | None, call: NodeCall[T]) -> Dance[T]:
    """Make a call of a node."""
    return cast("T", (yield Ask(url, signer, call)))


def run(function: Callable[[], T]) -> Dance[T]:
    """Run a function that may wait for the disk."""
    return cast("T", (yield Run(function)))


def run_short(function: Callable[[], T]) -> Dance[T]:
    """Run a function that makes one small commit."""
    return cast("T", (yield Run(function, is_short=True)))


def exclusively(key: object, work: Dance[T]) -> Dance[T]:
    """Dance `work` alone under a key."""
    return cast("T", (yield Exclusive(key, work)))
