"""Performs the steps of a dance in the calling thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from aisa.identity import Signer
from aisa.sdk.step import (
    Aside,
    Ask,
    Dance,
    Exclusive,
    Lost,
    Pause,
    Reply,
    Run,
    Send,
    Step,
    SyncHubNode,
)

T = TypeVar("T")
SyncHubFactory = Callable[[str, Signer | None], SyncHubNode]
SendSync = Callable[[Send], Reply | Lost]


class SyncDriver:
    """Drives dances of many threads: one lock around what the dances compute, none around I/O."""

    def __init__(self, send: SendSync, hub: SyncHubFactory) -> None:
        self._send = send
        self._hub = hub
        self._hubs: dict[tuple[str, bytes], tuple[SyncHubNode, threading.Lock]] = {}
        # Re-entrant, so that a callback on a payment may use the agent.
        self._mutex = threading.RLock()
        self._locks: dict[object, tuple[threading.Lock, int]] = {}
        self._aside: set[Future[None]] = set()
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="aisa-agent")

    def drive(self, dance: Dance[T], send: SendSync | None = None) -> T:
        """Dance to the end and return what it returns; `send` replaces the driver's own way.

        Raises:
            AisaError: what the dance raises.
        """
        send = send or self._send
        try:
            with self._mutex:
                step = dance.send(None)
            while True:
                try:
                    result = send(step) if type(step) is Send else self._perform(step, send)
                except BaseException as error:  # noqa: BLE001 - the dance decides, and raises it again
                    with self._mutex:
                        step = dance.throw(error)
                else:
                    with self._mutex:
                        step = dance.send(result)
        except StopIteration as stop:
            return stop.value

    def _perform(self, step: Step, send: SendSync) -> Any:
        match step:
            case Run(function):
                return function()
            case Exclusive(key, work):
                return self._exclusively(key, work, send)
            case Ask(url, signer, call):
                hub, lock = self._hub_of(url, signer)
                with lock:
                    return hub.send(call)
            case Pause(seconds):
                return time.sleep(seconds)
            case Aside(work):
                return self.aside(work, send)
            case Send():
                return send(step)

    def aside(self, work: Dance[Any], send: SendSync | None = None) -> None:
        """Dance in a thread beside whatever else goes on."""
        future = self._workers.submit(self.drive, work, send)
        self._aside.add(future)
        future.add_done_callback(self._aside.discard)

    def _exclusively(self, key: object, work: Dance[Any], send: SendSync) -> Any:
        with self._mutex:
            lock, users = self._locks.get(key) or (threading.Lock(), 0)
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                return self.drive(work, send)
        finally:
            with self._mutex:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)

    def _hub_of(self, url: str, signer: Signer | None) -> tuple[SyncHubNode, threading.Lock]:
        key = (url, signer.public_key if signer else b"")
        with self._mutex:
            known = self._hubs.get(key)
            if known is None:
                known = self._hubs[key] = (self._hub(url, signer), threading.Lock())
            return known

    def settle(self, timeout_s: float) -> None:
        """Wait for what dances aside, up to so many seconds."""
        wait(set(self._aside), timeout=timeout_s)

    def close(self) -> None:
        """Close the connections to nodes, and the threads."""
        self._workers.shutdown(wait=True)
        for hub, _ in self._hubs.values():
            hub.close()
        self._hubs.clear()
