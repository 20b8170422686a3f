"""One JSON-RPC server: bounded in time and size, and asked for its chain before anything else."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.settlement.evm.answer import quantity

T = TypeVar("T")

ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
_BATCH: Final = 50
_PAUSE_S: Final = 5.0
# Codes that blame the call; 3 is a contract that reverts. All others mean "not me, not now".
_REFUSED_CODES: Final = {3, -32600, -32601, -32602}


class _RpcProblem(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _RpcProblem | None = None


class RpcServer:
    """A client of one server of one chain."""

    def __init__(
        self,
        url: str,
        chain_id: int,
        *,
        timeout_s: float,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._chain_id = chain_id
        self._timeout_s = timeout_s
        self._is_checked = False
        self._paused_until_s = 0.0
        # A proxy of this machine must not stand before a devnet on its loopback.
        self._client = httpx2.AsyncClient(
            timeout=timeout_s, trust_env=not _is_loopback(url), transport=transport
        )

    @property
    def name(self) -> str:
        """The host, without what a URL may hold of keys."""
        return urlsplit(self._url).hostname or "?"

    @property
    def is_pausing(self) -> bool:
        """Whether it failed a moment ago, so that others are asked first."""
        return asyncio.get_running_loop().time() < self._paused_until_s

    async def check_chain(self) -> None:
        """Ask for the chain's id, anew after every failed connection.

        Raises:
            ConfigInvalid: it is of another chain.
            RailUnavailable: it does not answer.
        """
        if self._is_checked:
            return
        (answer,) = await self._post([_call(0, "eth_chainId", ())], "eth_chainId")
        found = quantity(_result(answer, str, "eth_chainId"))
        if found != self._chain_id:
            raise ConfigInvalid(
                f"the RPC server {self.name} is of chain {found}, not of {self._chain_id}"
            )
        self._is_checked = True

    async def ask(
        self,
        answer: type[T],
        method: str,
        params: Sequence[Sequence[object]],
        *,
        having: int | None = None,
    ) -> list[T]:
        """Ask one method once for each list of parameters.

        With `having` the server must show in the same request that it has that block: behind one
        URL there may be many, and one that lags finds no logs where there are some.

        Raises:
            RailUnavailable: no answer that can be read, or a server of another chain.
            RailError: it refuses a call.
        """
        try:
            await self.check_chain()
        except ConfigInvalid as error:
            raise RailUnavailable(error.detail) from error
        results: list[T] = []
        for start in range(0, len(params), _BATCH):
            piece = params[start : start + _BATCH]
            calls = [_call(number, method, one) for number, one in enumerate(piece)]
            if having is not None:
                calls.append(_call(len(calls), "eth_getBlockByNumber", (hex(having), False)))
            answers = await self._post(calls, method)
            if having is not None and bytes(answers.pop().result) == b"null":
                raise RailUnavailable(f"the RPC server {self.name} has no block {having} yet")
            results += [_result(one, answer, method) for one in answers]
        return results

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, calls: list[dict[str, object]], method: str) -> list[_Answer]:
        """Send calls and return their answers in order."""
        body = msgspec.json.encode(calls[0] if len(calls) == 1 else calls)
        try:
            # The client's own limit is one of silence; a server that drips must end, too.
            async with asyncio.timeout(self._timeout_s):
                content = await self._exchange(body)
        except (httpx2.HTTPError, TimeoutError) as error:
            self._is_checked = False
            raise self._unavailable(f"does not answer ({type(error).__name__})") from error
        try:
            if len(calls) == 1:
                return [msgspec.json.decode(content, type=_Answer)]
            found = {one.id: one for one in msgspec.json.decode(content, type=list[_Answer])}
        except msgspec.DecodeError as error:
            raise self._unavailable(f"sent a malformed answer to {method}") from error
        if set(found) != set(range(len(calls))):
            raise self._unavailable(f"did not answer a whole batch of {method}")
        return [found[number] for number in range(len(calls))]

    async def _exchange(self, body: bytes) -> bytes:
        async with self._client.stream(
            "POST",
            self._url,  # whole, not as a base: it may end in a key or a query
            content=body,
            headers={"content-type": "application/json"},
        ) as response:
            if response.status_code != 200:
                raise self._unavailable(f"answers {response.status_code}")
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > ANSWER_BYTES_MAX:
                    raise self._unavailable("sends an answer without end")
            return bytes(content)

    def _unavailable(self, what: str) -> RailUnavailable:
        self._paused_until_s = asyncio.get_running_loop().time() + _PAUSE_S
        return RailUnavailable(f"the RPC server {self.name} {what}")


def _call(number: int, method: str, params: Sequence[object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(answer: _Answer, shape: type[T], method: str) -> T:
    problem = answer.error
    if problem is None:
        try:
            return msgspec.json.decode(bytes(answer.result), type=shape)
        except msgspec.DecodeError as error:
            raise RailUnavailable(f"an RPC server's answer to {method} is malformed") from error
    text = f"{method}: {problem.message[:200]}"
    if problem.code in _REFUSED_CODES or "revert" in problem.message:
        raise RailError(text, code=problem.code)
    raise RailUnavailable(text, code=problem.code)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
