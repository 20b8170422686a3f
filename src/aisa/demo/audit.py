"""Reading a Solana devnet from the outside: every account, every mint and every fee on it.

It trusts nobody's books: accounts are found by walking from chain tx to chain tx, and balances are
asked of the chain itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from aisa.demo.conservation import ChainFee, Holding, Mint
from aisa.errors import RailError

TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - an address
_SLIP44: Final = "slip44:501"
_ACCOUNTS_MAX: Final = 10_000
_PAGE: Final = 1_000


class ChainCaller(Protocol):
    """Whoever can ask the chain's RPC."""

    async def call(self, method: str, *params: object) -> object:
        """Answer one call."""
        ...


@dataclass(frozen=True, slots=True)
class ChainView:
    """One reading of the chain: what each account holds, and which chain txs there were."""

    holdings: list[Holding]
    fees: list[ChainFee]
    minted: list[Mint]


@dataclass(slots=True)
class Auditor:
    """Reads one devnet; `roles` says whose an address is, and may grow between readings."""

    chain: ChainCaller
    network: str
    roots: tuple[str, ...]
    roles: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def native(self) -> str:
        """The CAIP-19 name of SOL on this network."""
        return f"{self.network}/{_SLIP44}"

    def asset(self, mint: str) -> str:
        """The CAIP-19 name of a mint on this network."""
        return f"{self.network}/token:{mint}"

    async def read(self) -> ChainView:
        """Read everything that the roots, and whoever dealt with them, hold now."""
        transactions = await self._walk()
        addresses = sorted(
            {key for tx in transactions.values() for key in _account_keys(tx)} | {*self.roots}
        )
        holdings: list[Holding] = []
        for address in addresses:
            holdings += await self._holdings(address)
        fees = [
            ChainFee(signature, int(tx["meta"]["fee"])) for signature, tx in transactions.items()
        ]
        return ChainView(holdings, fees, await self._minted())

    async def _walk(self) -> dict[str, Any]:
        """Every chain tx that is reachable from the roots, by signature."""
        found: dict[str, Any] = {}
        seen: set[str] = set()
        queue = list(self.roots)
        while queue:
            address = queue.pop()
            if address in seen or address == TOKEN_PROGRAM:
                continue
            seen.add(address)
            if len(seen) > _ACCOUNTS_MAX:
                raise RailError(f"the chain has more than {_ACCOUNTS_MAX} accounts to read")
            for signature in await self._signatures(address):
                if signature not in found:
                    found[signature] = await self._transaction(signature)
                    queue += _account_keys(found[signature])
        return found

    async def _signatures(self, address: str) -> list[str]:
        signatures: list[str] = []
        while True:
            options: dict[str, object] = {"limit": _PAGE, "commitment": "confirmed"}
            if signatures:
                options["before"] = signatures[-1]
            page = cast(
                "list[dict[str, str]]",
                await self.chain.call("getSignaturesForAddress", address, options),
            )
            signatures += [row["signature"] for row in page]
            if len(page) < _PAGE:
                return signatures

    async def _transaction(self, signature: str) -> Any:
        options = {
            "encoding": "json",
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": 0,
        }
        transaction = await self.chain.call("getTransaction", signature, options)
        if transaction is None:
            raise RailError(f"the chain lists {signature} and does not show it")
        return transaction

    async def _holdings(self, address: str) -> list[Holding]:
        options = {"encoding": "jsonParsed", "commitment": "confirmed"}
        answer = cast("Any", await self.chain.call("getAccountInfo", address, options))
        account = answer["value"]
        if account is None or account["executable"]:
            return []
        token = _token_of(account)
        role = self.roles.get(token[1] if token else address, "")
        rows = [Holding(self.network, address, role, self.native, int(account["lamports"]))]
        if token:
            mint, _, units = token
            rows.append(Holding(self.network, address, role, self.asset(mint), units))
        return rows

    async def _minted(self) -> list[Mint]:
        record = cast("Any", await self.chain.call("aisa_mints"))
        return [Mint(self.asset(row["mint"]), int(row["units"])) for row in record["minted"]]


def _account_keys(transaction: Mapping[str, Any]) -> list[str]:
    return list(transaction["transaction"]["message"]["accountKeys"])


def _token_of(account: Mapping[str, Any]) -> tuple[str, str, int] | None:
    """Mint, owner and units of a token account."""
    data = account["data"]
    if account["owner"] != TOKEN_PROGRAM or not isinstance(data, dict):
        return None
    parsed: dict[str, Any] = cast("dict[str, Any]", data)["parsed"]
    if parsed["type"] != "account":
        return None
    info = parsed["info"]
    return info["mint"], info["owner"], int(info["tokenAmount"]["amount"])
