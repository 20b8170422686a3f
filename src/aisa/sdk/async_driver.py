"""Performs the steps of a dance on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aisa.identity import Signer
from aisa.sdk.commit_pace import CommitPace
from aisa.sdk.step import Aside, Ask, Dance, Exclusive, HubNode, Lost, Pause, Reply, Run, Send, Step

T = TypeVar("T")
HubFactory = Callable[[str, Signer | None], HubNode]
SendAsync = Callable[[Send], Awaitable[Reply | Lost]]


class AsyncDriver:
    """Drives dances on one event loop; a disk that is not quick is waited for in a thread."""

    def __init__(self, send: SendAsync, hub: HubFactory) -> None:
        self._send = send
        self._hub = hub
        self._hubs: dict[tuple[str, bytes], HubNode] = {}
        self._locks: dict[object, tuple[asyncio.Lock, int]] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="aisa-wallet")
        self._jobs = 0
        self._pace = CommitPace()

    async def drive(self, dance: Dance[T], send: SendAsync | None = None) -> T:
        """Dance to the end and return what it returns; `send` replaces the driver's own way.

        Raises:
            AisaError: what the dance raises.
        """
        send = send or self._send
        try:
            step = dance.send(None)
            while True:
                try:
                    if type(step) is Send:
                        result = await send(step)
                    else:
                        result = await self._perform(step, send)
                except BaseException as error:  # noqa: BLE001 - the dance decides, and raises it again
                    step = dance.throw(error)
                else:
                    step = dance.send(result)
        except StopIteration as stop:
            return stop.value

    async def _perform(self, step: Step, send: SendAsync) -> Any:
        match step:
            case Run(function, is_short):
                # While a job is in the thread, the next one waits its turn there.
                if is_short and not self._jobs and self._pace.may_stay():
                    return self._run_here(function)
                return await self._run(function)
            case Exclusive(key, work):
                return await self._exclusively(key, work, send)
            case Ask(url, signer, call):
                return await self._hub_of(url, signer).send(call)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Aside(work):
                return self.aside(work, send)
            case Send():
                return await send(step)

    def aside(self, work: Dance[Any], send: SendAsync | None = None) -> None:
        """Dance beside whatever else goes on."""
        task = asyncio.create_task(self.drive(work, send))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _run(self, function: Callable[[], T]) -> T:
        job = asyncio.get_running_loop().run_in_executor(self._disk, function)
        self._jobs += 1
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            # The commit goes on in its thread: the next one must not overtake it.
            await asyncio.wait([job])
            raise
        finally:
            self._jobs -= 1

    def _run_here(self, function: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return function()
        finally:
            self._pace.note(time.perf_counter() - began)

    async def _exclusively(self, key: object, work: Dance[Any], send: SendAsync) -> Any:
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                return await self.drive(work, send)
        finally:
            work.close()
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)

    def _hub_of(self, url: str, signer: Signer | None) -> HubNode:
        key = (url, signer.public_key if signer else b"")
        hub = self._hubs.get(key)
        if hub is None:
            hub = self._hubs[key] = self._hub(url, signer)
        return hub

    async def settle(self, timeout_s: float) -> None:
        """Wait for what dances aside; cancel what takes longer."""
        if self._aside:
            _, late = await asyncio.wait(set(self._aside), timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def close(self) -> None:
        """Close the connections to nodes, and the thread."""
        for hub in self._hubs.values():
            await hub.close()
        self._hubs.clear()
        self._disk.shutdown(wait=False)
