"""The demo's end of the line to the agent's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from aisa.demo.process import Child
from aisa.demo.wire import Event, Plan
from aisa.errors import NodeUnavailable, RailError

_LINE_BYTES_MAX: Final = 1 << 20


class AgentLink:
    """Sends steps to the agent's process and hears what it tells."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)

    async def open(self, plan: Plan) -> None:
        """Listen, and tell the agent what it must know."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), self._child.process.stdout
        )
        self._write(msgspec.json.encode(plan))

    async def step(
        self, name: str, timeout_s: float, heard: Callable[[Event], None] | None = None
    ) -> Event:
        """Have one step done, and return what it came to; `heard` gets every event before.

        Raises:
            RailError: the agent says that the step failed.
            NodeUnavailable: the agent ended, or did not finish in time.
        """
        self._write(msgspec.json.encode(name))
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    event = await self._event()
                    if event.problem:
                        raise RailError(f"the agent could not {name}: {event.problem}")
                    if event.done:
                        return event
                    if heard is not None:
                        heard(event)
        except TimeoutError as error:
            raise NodeUnavailable(
                f"the agent did not {name} within {timeout_s:.0f} s", hint=self._child.last_words()
            ) from error

    async def _event(self) -> Event:
        line = await self._reader.readline()
        if not line:
            raise NodeUnavailable("the agent's process ended", hint=self._child.last_words())
        return msgspec.json.decode(line, type=Event)

    def _write(self, line: bytes) -> None:
        pipe = self._child.process.stdin
        assert pipe is not None
        pipe.write(line + b"\n")
        pipe.flush()
