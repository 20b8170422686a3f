"""Gives deposit addresses out: each is kept and watched for ever, so strangers get only so many."""

from __future__ import annotations

from collections.abc import Callable

from aisa.errors import RateLimited
from aisa.ledger import Store
from aisa.money import Token
from aisa.node.standing import Standing
from aisa.payment import names
from aisa.payment.journal import address_id
from aisa.payment.pages import every_record, owned_page
from aisa.paywall.limiter import UnpaidLimiter, peer_name
from aisa.settlement.rail import DepositRequest, Rail

_RETRY_S = 3600


class DepositDesk:
    """Bounds new addresses of keys without money: `per_hour` for each peer, `unfunded_max` in all.

    Addresses that never received anything are known by name, from the first need on.
    """

    def __init__(
        self,
        store: Store,
        standing: Standing,
        *,
        per_hour: int,
        unfunded_max: int,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._standing = standing
        self._peers = UnpaidLimiter(per_hour / 3600, per_hour)
        self._unfunded_max = unfunded_max
        self._clock = clock
        self._unfunded: set[str] | None = None

    async def give(self, rail: Rail, token: Token, key: bytes, peer: str) -> DepositRequest:
        """Return a key's address; one that it has already is always told.

        Raises:
            RateLimited: too many new ones for keys without money.
            RailUnavailable: the network does not answer.
        """
        name = address_id(rail.network, key.hex())
        is_new = await self._store.record(names.DEPOSIT_ADDRESS, name) is None
        if is_new and not await self._standing.has_money(key):
            await self._admit(name, peer)
        return await rail.request(token, key.hex())

    def note_received(self, network: str, account: str) -> None:
        """Count an address no more: something came in."""
        if self._unfunded is not None:
            self._unfunded.discard(address_id(network, account))

    async def _admit(self, name: str, peer: str) -> None:
        unfunded = await self._load()
        if name in unfunded:
            return  # another request of this key is making it
        if len(unfunded) >= self._unfunded_max:
            raise RateLimited(
                f"{self._unfunded_max} deposit addresses here wait for their first deposit",
                hint="pay to an address that you have; the operator raises addresses_max",
                retry_after_s=_RETRY_S,
            )
        wait_s = self._peers.take(peer_name(peer), self._clock())
        if wait_s:
            raise RateLimited(
                "too many new deposit addresses for keys without money",
                hint="pay to an address that you have; the operator raises addresses_per_hour",
                retry_after_s=wait_s,
            )
        unfunded.add(name)

    async def _load(self) -> set[str]:
        if self._unfunded is None:
            found: set[str] = set()
            async for record in every_record(self._store, names.DEPOSIT_ADDRESS):
                account = record.id.rpartition("/")[2]
                key = bytes.fromhex(account)
                if not await owned_page(self._store, names.DEPOSIT, key, None, 1):
                    found.add(record.id)
            if self._unfunded is None:  # another request may have read them meanwhile
                self._unfunded = found
        return self._unfunded
