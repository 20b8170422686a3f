"""JSON-RPC of an EVM chain, as far as a devnet asks it: calls, receipts and quantities."""

from __future__ import annotations

import time
from itertools import count
from types import TracebackType
from typing import Final, Self, TypeAlias, cast

import httpx2

from aisa.errors import OutcomeUnknown, RailError, RailUnavailable

Receipt: TypeAlias = "dict[str, object]"

_POLL_S: Final = 0.02


class Rpc:
    """One endpoint, asked one call at a time. A context manager that closes its connections."""

    def __init__(self, url: str, *, timeout_s: float = 20.0) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._client = httpx2.Client(timeout=timeout_s, trust_env=False)
        self._ids = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, *params: object) -> object:
        """Ask, and return the result.

        Raises:
            RailUnavailable: no answer.
            RailError: it answered with an error; its words are in the detail.
        """
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            response = self._client.post(self.url, json=body)
            answer = cast("dict[str, object]", response.raise_for_status().json())
        except (httpx2.HTTPError, ValueError) as error:
            raise RailUnavailable(f"the chain at {self.url} does not answer {method}") from error
        if "error" in answer:
            problem = cast("dict[str, object]", answer["error"])
            raise RailError(f"{method}: {problem.get('message')}")
        return answer.get("result")

    def number(self, method: str, *params: object) -> int:
        """Ask for a quantity.

        Raises:
            RailUnavailable: no answer.
            RailError: it answered with an error, or with something else than a quantity.
        """
        return quantity(self.call(method, *params))

    def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a chain tx, None while it is in no block."""
        return cast("Receipt | None", self.call("eth_getTransactionReceipt", tx_hash))

    def wait_for(self, tx_hash: str, *, timeout_s: float | None = None) -> Receipt:
        """Wait until a chain tx is in a block, and return its receipt.

        Raises:
            OutcomeUnknown: it is in no block within the time.
            RailError: it is in a block and failed there.
        """
        deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        while (found := self.receipt(tx_hash)) is None:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(f"the chain tx {tx_hash} is in no block yet")
            time.sleep(_POLL_S)
        if quantity(found["status"]) != 1:
            raise RailError(f"the chain tx {tx_hash} failed")
        return found


def quantity(value: object) -> int:
    """Read a quantity as JSON-RPC writes it.

    Raises:
        RailError: it is not one.
    """
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise RailError(f"the chain answered {str(value)[:80]!r} where a quantity belongs")
