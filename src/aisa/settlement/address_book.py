"""The deposit addresses given out: one derived key for each account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aisa.errors import ConfigInvalid
from aisa.settlement.rail import Clock, DepositAddresses


class AddressBook:
    """Reads the kept addresses once, and keeps each new one before anyone is told it.

    `derive` gives the address of an account, always the same.
    """

    def __init__(self, derive: Callable[[str], str], kept: DepositAddresses, clock: Clock) -> None:
        self._derive = derive
        self._kept = kept
        self._clock = clock
        self._given_ms: dict[str, int] = {}
        self._known: dict[str, str] | None = None

    async def entries(self) -> Sequence[tuple[str, str]]:
        """Every (account, address).

        Raises:
            ConfigInvalid: a kept address is not derived from the rail's seed.
        """
        return tuple((await self._load()).items())

    async def given_ms(self) -> Mapping[str, int]:
        """When each account was given its address.

        Raises:
            ConfigInvalid: a kept address is not derived from the rail's seed.
        """
        await self._load()
        return self._given_ms

    async def address(self, account: str) -> str:
        """An account's deposit address, kept before it is returned."""
        known = await self._load()
        if account not in known:
            address = self._derive(account)
            await self._kept.add(account, address)
            known[account] = address
            self._given_ms[account] = self._clock()
        return known[account]

    async def _load(self) -> dict[str, str]:
        if self._known is None:
            known = dict(await self._kept.entries())
            for account, address in known.items():
                if self._derive(account) != address:
                    raise ConfigInvalid(
                        f"the deposit address of {account} is not of this rail's seed",
                        hint="start the node with the key that it was initialised with",
                    )
            given_ms = await self._kept.given_ms()
            if self._known is None:  # another call may have loaded, and added to, it meanwhile
                self._known = known
                now_ms = self._clock()
                self._given_ms = {one: given_ms.get(one, now_ms) for one in known}
        return self._known
