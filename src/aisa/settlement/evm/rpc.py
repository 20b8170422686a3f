"""Several JSON-RPC servers of one chain: one answers questions, all are compared on what counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeVar

import httpx2

from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.settlement.evm.server import RpcServer

T = TypeVar("T")

_log = logging.getLogger("aisa.evm")


class EvmRpc:
    """A client of every configured server.

    `call` goes to the first that answers. `agreed` asks all, and returns what at least
    `agreeing_min` of them say, if no other says anything else.

    Raises:
        ConfigInvalid: there is no URL, or more servers must agree than there are.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        *,
        timeout_s: float,
        agreeing_min: int = 0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if not urls:
            raise ConfigInvalid("an EVM rail needs the URL of an RPC server")
        if agreeing_min > len(urls):
            raise ConfigInvalid(f"{agreeing_min} RPC servers cannot agree, there are {len(urls)}")
        self._servers = [
            RpcServer(url, chain_id, timeout_s=timeout_s, transport=transport) for url in urls
        ]
        self._agreeing_min = agreeing_min or len(urls) // 2 + 1

    @property
    def agreeing_min(self) -> int:
        """How many servers must say the same."""
        return self._agreeing_min

    @property
    def size(self) -> int:
        """How many servers there are."""
        return len(self._servers)

    async def check_chains(self) -> None:
        """Ask every server for its chain.

        Raises:
            ConfigInvalid: one is of another chain.
            RailUnavailable: one of them does not answer.
        """
        for server in self._servers:
            await server.check_chain()

    async def call(self, answer: type[T], method: str, *params: object) -> T:
        """Ask the servers in turn until one answers.

        Raises:
            RailUnavailable: none gives an answer that can be read.
            RailError: one refuses the call.
        """
        return (await self.call_many(answer, method, [params]))[0]

    async def call_many(
        self, answer: type[T], method: str, params: Sequence[Sequence[object]]
    ) -> list[T]:
        """Ask one method with many parameters; all answers are of the same server.

        Raises:
            RailUnavailable: none gives an answer that can be read.
            RailError: one refuses a call.
        """
        problem = RailUnavailable("no RPC server was asked")
        for server in sorted(self._servers, key=lambda one: one.is_pausing):
            try:
                return await server.ask(answer, method, params)
            except RailUnavailable as error:
                problem = error
        raise problem

    async def ask_all(
        self, answer: type[T], method: str, params: Sequence[Sequence[object]]
    ) -> list[list[T]]:
        """Ask every server the same, at once; only the answers of those that do answer."""
        return (await self._ask_all(answer, method, params))[0]

    async def ask_enough(
        self,
        answer: type[T],
        method: str,
        params: Sequence[Sequence[object]],
        *,
        having: int | None = None,
    ) -> list[list[T]]:
        """Ask every server the same; the answers, which may differ, of enough to agree.

        Raises:
            RailUnavailable: too few answer.
        """
        answers, problems = await self._ask_all(answer, method, params, having)
        if len(answers) < self._agreeing_min:
            raise RailUnavailable(
                f"{len(answers)} of {self.size} RPC servers answer {method}, "
                f"{self._agreeing_min} must agree ({problems[0].detail})"
            )
        return answers

    async def agreed(
        self,
        answer: type[T],
        method: str,
        params: Sequence[Sequence[object]],
        *,
        having: int | None = None,
    ) -> list[T]:
        """Ask every server, and return what enough of them say and none denies.

        Servers that do not show the block `having` count as silent.

        Raises:
            RailUnavailable: too few answer, or they disagree; nothing may be built on it.
        """
        answers = await self.ask_enough(answer, method, params, having=having)
        if any(one != answers[0] for one in answers):
            raise disagreement(method)
        return answers[0]

    async def broadcast(self, raw: bytes) -> int:
        """Hand signed bytes to every server; returns how many took them.

        A refusal proves nothing, another server may have them, so it is only noted.
        """
        asked = [
            server.ask(str, "eth_sendRawTransaction", [["0x" + raw.hex()]])
            for server in self._servers
        ]
        taken = 0
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, RailError):
                _log.info("a chain tx was not taken: %s", answer.detail)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                taken += 1
        return taken

    async def _ask_all(
        self,
        answer: type[T],
        method: str,
        params: Sequence[Sequence[object]],
        having: int | None = None,
    ) -> tuple[list[list[T]], list[RailError]]:
        asked = [server.ask(answer, method, params, having=having) for server in self._servers]
        answers: list[list[T]] = []
        problems: list[RailError] = []
        for one in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(one, RailError):
                problems.append(one)
            elif isinstance(one, BaseException):
                raise one
            else:
                answers.append(one)
        return answers, problems

    async def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            await server.close()


def disagreement(what: str) -> RailUnavailable:
    """Say, and keep in the log, that the servers contradict each other."""
    _log.warning("RPC servers disagree on %s: nothing is credited until they agree", what)
    return RailUnavailable(f"the RPC servers disagree on {what}", disagree=True)
