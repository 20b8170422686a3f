"""An RPC endpoint between a client and a chain, which fails in the ways that a test arms."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

import httpx2
import msgspec

from aisa.devnet.ethereum.fault import ANY, Change, Fault, Kind

_BODY_BYTES_MAX: Final = 8_000_000
_UPSTREAM_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class _Closed(Exception):  # a way out of a request, not a failure
    """The connection is to be closed, after these bytes."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class RpcProxy:
    """Passes JSON-RPC on to a chain; faults strike in the order in which they were armed.

    An async context manager; `url` is known inside. `calls` counts the methods that came in,
    whatever became of them.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._client = httpx2.AsyncClient(timeout=_UPSTREAM_TIMEOUT_S, trust_env=False)
        self._faults: list[Fault] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._let_go = asyncio.Event()
        self._came = asyncio.Event()
        self._port = 0
        self.calls: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go_down()
        await self._client.aclose()

    @property
    def url(self) -> str:
        """Where it listens; the same after `go_down` and `come_up`."""
        return f"http://127.0.0.1:{self._port}"

    async def come_up(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Close every connection and refuse new ones, as a process that has died."""
        self.let_go()
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def called(self, method: str, times: int = 1) -> None:
        """Wait until a method has come in so many times."""
        while self.calls[method] < times:
            await self._came.wait()

    def arm(self, fault: Fault) -> Fault:
        """Arm a fault."""
        self._faults.append(fault)
        return fault

    def disarm(self) -> None:
        """Behave from here on; calls that hang are let go."""
        self._faults.clear()
        self.let_go()

    def let_go(self) -> None:
        """Close the connections of the calls that hang."""
        self._let_go.set()
        self._let_go = asyncio.Event()

    def drop(self, method: str = ANY, *, count: int | None = 1) -> Fault:
        """Close the connection on the next calls; the chain hears nothing of them."""
        return self.arm(Fault(Kind.DROP, method, count))

    def lose_answer(self, method: str = ANY, *, count: int | None = 1) -> Fault:
        """Carry the next calls out, and die before answering."""
        return self.arm(Fault(Kind.LOSE_ANSWER, method, count))

    def cut_answer(self, method: str = ANY, *, count: int | None = 1) -> Fault:
        """Carry the next calls out, and die in the middle of answering."""
        return self.arm(Fault(Kind.CUT_ANSWER, method, count))

    def hang(self, method: str = ANY, *, count: int | None = 1, carried_out: bool = False) -> Fault:
        """Leave the next calls without an answer until `let_go`."""
        return self.arm(Fault(Kind.HANG_AFTER if carried_out else Kind.HANG, method, count))

    def delay(self, method: str, delay_s: float, *, count: int | None = 1) -> Fault:
        """Answer the next calls late."""
        return self.arm(Fault(Kind.LATE, method, count, delay_s=delay_s))

    def refuse(
        self, method: str, message: str, *, code: int = -32603, count: int | None = 1
    ) -> Fault:
        """Answer the next calls with an error."""
        return self.arm(Fault(Kind.REFUSE, method, count, code=code, message=message))

    def answer_status(self, status: int, method: str = ANY, *, count: int | None = 1) -> Fault:
        """Answer the next calls with an HTTP status such as 429 or 503."""
        return self.arm(Fault(Kind.STATUS, method, count, http_status=status))

    def lie(self, method: str, change: Change, *, count: int | None = None) -> Fault:
        """Answer with what `change` makes of the true result."""
        return self.arm(Fault(Kind.LIE, method, count, change=change))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (body := await _read_request(reader)) is not None:
                answer = await self._answer(body)
                writer.write(_head(answer) + answer.body)
                await writer.drain()
        except _Closed as closed:
            writer.write(closed.last)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # the client is gone, or speaks no HTTP; either way there is nobody to answer
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, body: bytes) -> _Answer:
        request: object = msgspec.json.decode(body)
        calls = cast("list[dict[str, object]]", request if isinstance(request, list) else [request])
        methods = [str(call.get("method")) for call in calls]
        self.calls.update(methods)
        self._came.set()
        self._came = asyncio.Event()
        struck = [fault for fault in tuple(self._faults) if fault.take(methods)]
        self._faults = [fault for fault in self._faults if not fault.is_spent]
        lies = [fault for fault in struck if fault.kind is Kind.LIE]
        fault = next((one for one in struck if one.kind is not Kind.LIE), None)
        if fault is None:
            return _lie(await self._ask(body), calls, lies)
        return await self._fail(fault, body, calls, lies)

    async def _fail(
        self,
        fault: Fault,
        body: bytes,
        calls: Sequence[dict[str, object]],
        lies: Sequence[Fault],
    ) -> _Answer:
        match fault.kind:
            case Kind.DROP:
                raise _Closed
            case Kind.STATUS:
                return _Answer(fault.http_status, b"")
            case Kind.REFUSE:
                return _refusal(fault, calls)
            case Kind.HANG:
                await self._let_go.wait()
                raise _Closed
            case _:
                answer = _lie(await self._ask(body), calls, lies)
        match fault.kind:
            case Kind.LOSE_ANSWER:
                raise _Closed
            case Kind.CUT_ANSWER:
                raise _Closed(_head(answer) + answer.body[: len(answer.body) // 2])
            case Kind.HANG_AFTER:
                await self._let_go.wait()
                raise _Closed
            case _:
                await asyncio.sleep(fault.delay_s)
                return answer

    async def _ask(self, body: bytes) -> _Answer:
        try:
            response = await self._client.post(
                self._upstream, content=body, headers={"content-type": "application/json"}
            )
        except httpx2.HTTPError:
            return _Answer(502, b"")
        return _Answer(response.status_code, response.content)


def _lie(answer: _Answer, calls: Sequence[dict[str, object]], lies: Sequence[Fault]) -> _Answer:
    if not lies or answer.status != 200:
        return answer
    document: object = msgspec.json.decode(answer.body)
    rows = cast("list[dict[str, object]]", document if isinstance(document, list) else [document])
    method_of = {str(call.get("id")): str(call.get("method")) for call in calls}
    for row in rows:
        for lie in lies:
            if "result" in row and lie.method in {ANY, method_of.get(str(row.get("id")))}:
                row["result"] = lie.changed(row["result"])
    return _Answer(200, msgspec.json.encode(document))


def _refusal(fault: Fault, calls: Sequence[dict[str, object]]) -> _Answer:
    error = {"code": fault.code, "message": fault.message}
    rows = [{"jsonrpc": "2.0", "id": call.get("id"), "error": error} for call in calls]
    return _Answer(200, msgspec.json.encode(rows if len(rows) > 1 else rows[0]))


def _head(answer: _Answer) -> bytes:
    return (
        f"HTTP/1.1 {answer.status} -\r\ncontent-type: application/json\r\n"
        f"content-length: {len(answer.body)}\r\n\r\n"
    ).encode()


async def _read_request(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next request; None where the client has closed the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    if not 0 <= length <= _BODY_BYTES_MAX:
        raise ValueError("a body of that length is not read")
    return await reader.readexactly(length)
