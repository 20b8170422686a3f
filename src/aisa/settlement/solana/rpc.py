"""Solana JSON-RPC: calls, batches, and every node asked where proof is needed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from aisa.errors import ConfigInvalid, RailError, RailUnavailable

T = TypeVar("T")

_BATCH = 50
# The codes that blame the call. All others mean "not me, not now": behind, unhealthy, asked too
# often; each operator of RPC nodes has codes of its own for that.
_REFUSED_CODES = {-32600, -32601, -32602, -32002, -32003}


class _RpcProblem(msgspec.Struct, frozen=True):
    code: int
    message: str


class _Answer(msgspec.Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _RpcProblem | None = None


class SolanaRpc:
    """A client of one or more RPC nodes of the same network.

    Questions go to the first node that answers; `call_every` asks all of them.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_s: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if not urls:
            raise ConfigInvalid("a Solana rail needs the URL of an RPC node")
        self._urls = tuple(urls)
        self._clients = [
            # A proxy of this machine must not stand before a devnet on its loopback.
            httpx2.AsyncClient(
                timeout=timeout_s,
                trust_env=not _is_loopback(url),
                transport=transport,
            )
            for url in urls
        ]

    async def call(self, answer: type[T], method: str, *params: object) -> T:
        """Ask the nodes in turn until one answers.

        Raises:
            RailUnavailable: no node gives an answer that can be read.
            RailError: a node refuses the call.
        """
        problem = RailUnavailable("no RPC node was asked")
        for at in range(len(self._urls)):
            try:
                return await self._ask(at, answer, method, params)
            except RailUnavailable as error:
                problem = error
        raise problem

    async def call_every(self, answer: type[T], method: str, *params: object) -> list[T]:
        """Ask every node; the answers are in the order of the URLs.

        Raises:
            RailUnavailable: one of them gives no answer that can be read.
            RailError: one of them refuses the call.
        """
        return [await self._ask(at, answer, method, params) for at in range(len(self._urls))]

    async def call_many(
        self, answer: type[T], method: str, params: Sequence[Sequence[object]]
    ) -> list[T]:
        """Ask one method with many parameters, in batches, of the first node that answers.

        Raises:
            RailUnavailable: no node gives an answer that can be read.
            RailError: a node refuses a call.
        """
        results: list[T] = []
        for start in range(0, len(params), _BATCH):
            piece = params[start : start + _BATCH]
            results += await self._batch(answer, method, piece)
        return results

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.aclose()

    async def _ask(self, at: int, answer: type[T], method: str, params: Sequence[object]) -> T:
        body = await self._post(at, _call(0, method, params))
        return _result(_decode(body, _Answer, method), answer, method)

    async def _batch(
        self, answer: type[T], method: str, params: Sequence[Sequence[object]]
    ) -> list[T]:
        problem = RailUnavailable("no RPC node was asked")
        for at in range(len(self._urls)):
            try:
                return await self._ask_batch(at, answer, method, params)
            except RailUnavailable as error:
                problem = error
        raise problem

    async def _ask_batch(
        self, at: int, answer: type[T], method: str, params: Sequence[Sequence[object]]
    ) -> list[T]:
        calls = [_call(number, method, one) for number, one in enumerate(params)]
        answers = _decode(await self._post(at, calls), list[_Answer], method)
        by_id = {one.id: one for one in answers}
        if set(by_id) != set(range(len(calls))):
            raise RailUnavailable(f"the RPC node did not answer a whole batch of {method}")
        return [_result(by_id[number], answer, method) for number in range(len(calls))]

    async def _post(self, at: int, body: object) -> bytes:
        try:
            response = await self._clients[at].post(
                self._urls[at],  # whole, not as a base: it may end in a key or a query
                content=msgspec.json.encode(body),
                headers={"content-type": "application/json"},
            )
        except httpx2.HTTPError as error:
            raise RailUnavailable(f"the Solana RPC node does not answer ({error})") from error
        if response.status_code != 200:
            raise RailUnavailable(f"the Solana RPC node answers {response.status_code}")
        return response.content


def _call(number: int, method: str, params: Sequence[object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _decode(body: bytes, shape: type[T], method: str) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise RailUnavailable(f"the RPC node's answer to {method} is malformed") from error


def _result(answer: _Answer, shape: type[T], method: str) -> T:
    problem = answer.error
    if problem is None:
        return _decode(bytes(answer.result), shape, method)
    text = f"{method}: {problem.message[:200]}"
    if problem.code in _REFUSED_CODES:
        raise RailError(text, code=problem.code)
    raise RailUnavailable(text, code=problem.code)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
