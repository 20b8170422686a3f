"""An account at a node, opened with the key that this home has for it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aisa.client import (
    ChannelRole,
    ChannelState,
    ChannelView,
    DepositInfo,
    NodeInfo,
    SyncNodeClient,
    TokenInfo,
)
from aisa.errors import InvalidRequest, UnknownCurrency
from aisa.identity import SigningKey, derive_seed

_PAGES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Account:
    """A signed client of one node, and what that node says of itself."""

    client: SyncNodeClient
    info: NodeInfo
    key: SigningKey

    @property
    def labels(self) -> Sequence[str]:
        """What the node's networks must tell a person, such as that they are a devnet."""
        return self.info.labels

    @property
    def first_currency(self) -> str:
        """The code of the node's first currency."""
        if not self.info.currencies:
            raise UnknownCurrency("the node keeps no currency")
        return self.info.currencies[0].code

    def token(self, name: str | None) -> TokenInfo:
        """A token by symbol or CAIP-19 name; without one, the first of the first currency.

        Raises:
            InvalidRequest: the node takes no such token.
        """
        tokens = self.info.tokens
        for one in tokens:
            if name in {one.symbol, one.asset} or (
                name is None and one.currency == self.first_currency
            ):
                return one
        known = ", ".join(one.symbol for one in tokens) or "none"
        raise InvalidRequest(f"the node takes no token {name or ''!r}", hint=f"it takes: {known}")

    def open_channels(self) -> list[ChannelView]:
        """The channels that this account opened and that are not closed."""
        return [one for one in self.channels() if one.state is not ChannelState.CLOSED]

    def channels(self) -> list[ChannelView]:
        """Every channel that this account opened."""
        found: list[ChannelView] = []
        after: str | None = None
        for _ in range(_PAGES_MAX):
            page = self.client.channels(ChannelRole.OPENER, after=after)
            found += page.channels
            after = page.next_after
            if after is None:
                break
        return found

    def deposits(self) -> list[DepositInfo]:
        """Everything that came in."""
        found: list[DepositInfo] = []
        after: str | None = None
        for _ in range(_PAGES_MAX):
            page = self.client.deposits(after=after)
            found += page.deposits
            after = page.next_after
            if after is None:
                break
        return found

    def deposit_ids(self) -> set[str]:
        """The ids of what came in so far."""
        return {one.id for one in self.deposits()}


@contextmanager
def account_at(url: str, root: bytes) -> Generator[Account]:
    """The account that a payer's root seed has at the node at `url`."""
    with SyncNodeClient(url) as stranger:
        info = stranger.info()
    key = SigningKey(derive_seed(root, "account", info.network))
    with SyncNodeClient(url, key) as client:
        yield Account(client, info, key)


@contextmanager
def payee_account_at(url: str, seed: bytes) -> Generator[Account]:
    """The account that a seller, whose key it is, has at the node at `url`."""
    with SyncNodeClient(url) as stranger:
        info = stranger.info()
    key = SigningKey(seed)
    with SyncNodeClient(url, key) as client:
        yield Account(client, info, key)


@contextmanager
def agent_account(home: Path) -> Generator[Account]:
    """The agent's account at the node that this home is configured for."""
    from aisa.cli.node_url import node_url
    from aisa.sdk.home import ensure_agent_seed

    with account_at(node_url(home), ensure_agent_seed(home)) as account:
        yield account
