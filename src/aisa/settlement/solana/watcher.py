"""Finding final deposits at the addresses that were given out, from a cursor on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from solders.pubkey import Pubkey

from aisa.errors import MalformedMessage
from aisa.money import Token
from aisa.settlement.rail import Deposit, Incoming
from aisa.settlement.solana.answer import MAYBE_LANDED, LandedTx, SignatureRow
from aisa.settlement.solana.keys import RailKeys, token_account
from aisa.settlement.solana.rpc import SolanaRpc
from aisa.settlement.solana.settings import SolanaSettings

_PAGE = 1000
_EVENTS_MAX = 500


class Mark(msgspec.Struct, frozen=True):
    """A cursor: the slot up to which all is told, and what was told of the slots just before.

    A node may list a chain tx late, so a stretch of slots is read again each time; `seen` keeps
    it from being told again.
    """

    slot: int = 0
    seen: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """A token account of ours that money may come in on."""

    account: str
    token: Token


@dataclass(frozen=True, slots=True)
class _Event:
    slot: int
    signature: str
    address: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.address} {self.signature}".encode()).hexdigest()[:16]


class Watcher:
    """Reads the history of the watched addresses."""

    def __init__(
        self, rpc: SolanaRpc, keys: RailKeys, tokens: Sequence[Token], settings: SolanaSettings
    ) -> None:
        self._rpc = rpc
        self._keys = keys
        self._tokens = tokens
        self._settings = settings

    async def incoming(self, cursor: bytes, accounts: Sequence[str]) -> Incoming:
        """Final deposits after a cursor, oldest first, whole slots at a time.

        Raises:
            MalformedMessage: not a cursor of this rail.
            RailUnavailable: the network does not answer.
        """
        mark = parse_mark(cursor)
        watched = self._watched(accounts)
        commitment = {"commitment": self._settings.finality}
        until_slot = await self._rpc.call(int, "getSlot", commitment)
        since_slot = max(0, mark.slot - self._settings.overlap_slots)
        seen = {key for _, key in mark.seen}
        events = [
            event
            for event in await self._events(watched, since_slot)
            if event.slot <= until_slot and event.key not in seen
        ]
        events, until_slot = _whole_slots(events, until_slot)
        landed = await self._landed(events)
        missing = [event.slot for event in events if landed[event.signature] is None]
        if missing:
            # Listed but not readable yet: stop before it, the next call comes back to it.
            until_slot = min(missing) - 1
            events = [event for event in events if event.slot <= until_slot]
        deposits = [
            deposit
            for event in events
            if (deposit := self._deposit(event, landed[event.signature], watched)) is not None
        ]
        slot = max(mark.slot, until_slot)
        told = [*mark.seen, *((event.slot, event.key) for event in events)]
        kept = [one for one in told if one[0] > slot - self._settings.overlap_slots]
        return Incoming(tuple(deposits), msgspec.json.encode(Mark(slot, tuple(kept))))

    def _watched(self, accounts: Sequence[str]) -> dict[str, Watched]:
        return {
            str(token_account(self._keys.deposit(account).pubkey(), mint)): Watched(account, token)
            for token in self._tokens
            for mint in [Pubkey.from_string(token.reference)]
            for account in accounts
        }

    async def _events(self, watched: Mapping[str, Watched], since_slot: int) -> list[_Event]:
        """Chain txs after a slot that succeeded and name a watched address, oldest first."""
        found: list[_Event] = []
        before: dict[str, str | None] = dict.fromkeys(watched)
        while before:
            pages = await self._rpc.call_many(
                tuple[SignatureRow, ...],
                "getSignaturesForAddress",
                [[address, self._page_options(last)] for address, last in before.items()],
            )
            unfinished: dict[str, str | None] = {}
            for address, rows in zip(before, pages, strict=True):
                new = [row for row in rows if row.slot > since_slot]
                found += [
                    _Event(row.slot, row.signature, address) for row in new if row.err is None
                ]
                if len(new) == _PAGE:
                    unfinished[address] = new[-1].signature
            before = unfinished
        return sorted(found, key=lambda event: event.slot)

    def _page_options(self, before: str | None) -> dict[str, object]:
        options: dict[str, object] = {"limit": _PAGE, "commitment": self._settings.finality}
        return options if before is None else options | {"before": before}

    async def _landed(self, events: Sequence[_Event]) -> dict[str, LandedTx | None]:
        signatures = list(dict.fromkeys(event.signature for event in events))
        options = {
            "encoding": "json",
            "commitment": self._settings.finality,
            "maxSupportedTransactionVersion": 0,
        }
        answers = await self._rpc.call_many(
            MAYBE_LANDED,
            "getTransaction",
            [[signature, options] for signature in signatures],
        )
        return dict(zip(signatures, answers, strict=True))

    def _deposit(
        self, event: _Event, landed: LandedTx | None, watched: Mapping[str, Watched]
    ) -> Deposit | None:
        if landed is None or landed.meta.err is not None:
            return None
        ours = watched[event.address]
        for at, (mint, units) in landed.credits().items():
            if landed.accounts()[at] == event.address and mint == ours.token.reference:
                return Deposit(
                    id=_deposit_id(ours.token.network, event.signature, at),
                    network=ours.token.network,
                    account=ours.account,
                    token=ours.token,
                    units=units,
                    reference=event.signature,
                )
        return None


def parse_mark(cursor: bytes) -> Mark:
    """Read a cursor; an empty one is the beginning.

    Raises:
        MalformedMessage: not a cursor of this rail.
    """
    if not cursor:
        return Mark()
    try:
        return msgspec.json.decode(cursor, type=Mark)
    except msgspec.DecodeError as error:
        raise MalformedMessage("not a cursor of this rail") from error


def _whole_slots(events: list[_Event], until_slot: int) -> tuple[list[_Event], int]:
    """The oldest events up to a limit, never part of a slot; and the slot that they reach."""
    if len(events) <= _EVENTS_MAX:
        return events, until_slot
    last_slot = events[_EVENTS_MAX - 1].slot
    return [event for event in events if event.slot <= last_slot], last_slot


def _deposit_id(network: str, signature: str, account_index: int) -> str:
    event = f"{network} {signature} {account_index}"
    return "dep_" + hashlib.sha256(event.encode()).hexdigest()[:32]
