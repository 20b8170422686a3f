"""The deposit addresses given out: one derived key for each account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from solders.keypair import Keypair

from aisa.errors import ConfigInvalid
from aisa.settlement.rail import Clock, DepositAddresses
from aisa.settlement.solana.keys import RailKeys


class AddressBook:
    """Reads the kept addresses once, and keeps each new one before anyone is told it."""

    def __init__(self, keys: RailKeys, kept: DepositAddresses, clock: Clock) -> None:
        self._keys = keys
        self._kept = kept
        self._clock = clock
        self._given_ms: dict[str, int] = {}
        self._known: dict[str, str] | None = None

    async def accounts(self) -> Sequence[str]:
        """The accounts that were given an address.

        Raises:
            ConfigInvalid: a kept address is not derived from the rail's seed.
        """
        return tuple(await self._load())

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
            address = str(self._keys.deposit(account).pubkey())
            await self._kept.add(account, address)
            known[account] = address
            self._given_ms[account] = self._clock()
        return known[account]

    async def owners(self) -> list[Keypair]:
        """The treasury's key, then those of all accounts."""
        deposits = [self._keys.deposit(account) for account in await self.accounts()]
        return [self._keys.treasury, *deposits]

    async def _load(self) -> dict[str, str]:
        if self._known is None:
            known = dict(await self._kept.entries())
            for account, address in known.items():
                if str(self._keys.deposit(account).pubkey()) != address:
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
