"""Finding final deposits at the addresses that were given out, from a cursor on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import msgspec
from solders.pubkey import Pubkey

from aisa.errors import MalformedMessage
from aisa.money import Token
from aisa.settlement.rail import Deposit, Incoming
from aisa.settlement.solana.answer import MAYBE_LANDED, LandedTx, SignatureRow
from aisa.settlement.solana.keys import RailKeys, token_account
from aisa.settlement.solana.rota import Rota
from aisa.settlement.solana.rpc import SolanaRpc
from aisa.settlement.solana.settings import SolanaSettings

_PAGE = 1000
_EVENTS_MAX = 500
_SEEN_MAX = 1000
"""With more than so many told since the longest unvisited address, all are visited and the cursor
is short again."""


class Mark(msgspec.Struct, frozen=True):
    """A cursor: the slot up to which all is told, and what was told of the slots just before.

    A node may list a chain tx late, so a stretch of slots is read again each time; `seen` keeps
    it from being told again. Unused addresses are read less often: all are told up to `idle_slot`
    at least (None: up to `slot`), and `seen` reaches back to there.
    """

    slot: int = 0
    seen: tuple[tuple[int, str], ...] = ()
    idle_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """A token account of ours that money may come in on."""

    account: str
    token: Token
    given_ms: int


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
        self._accounts: set[str] = set()
        self._watched: dict[str, Watched] = {}
        self._rota = Rota()

    async def incoming(self, cursor: bytes, given_ms: Mapping[str, int], now_ms: int) -> Incoming:
        """Final deposits after a cursor, oldest first, whole slots at a time.

        `given_ms` says when each account was given its address.

        Raises:
            MalformedMessage: not a cursor of this rail.
            RailUnavailable: the network does not answer.
        """
        mark = parse_mark(cursor)
        self._rota.go_on_from(cursor)
        self._watch(given_ms)
        slots = self._visits(mark, now_ms)
        commitment = {"commitment": self._settings.finality}
        until_slot = await self._rpc.call(int, "getSlot", commitment)
        seen = {key for _, key in mark.seen}
        listed, used = await self._events(slots)
        events = [event for event in listed if event.slot <= until_slot and event.key not in seen]
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
            if (deposit := self._deposit(event, landed[event.signature])) is not None
        ]
        told = [*mark.seen, *((event.slot, event.key) for event in events)]
        visited = {address: max(slot, until_slot) for address, slot in slots.items()}
        return Incoming(tuple(deposits), self._end(mark, told, visited, used, until_slot, now_ms))

    def _end(
        self,
        mark: Mark,
        told: Sequence[tuple[int, str]],
        visited: Mapping[str, int],
        used: Set[str],
        until_slot: int,
        now_ms: int,
    ) -> bytes:
        """Note the visits and return the cursor after them."""
        ages_ms = {address: now_ms - self._watched[address].given_ms for address in visited}
        self._rota.note(visited, used, ages_ms, now_ms)
        slot = max(mark.slot, until_slot)
        idle_slot = min((self._rota.slot(one, slot) for one in self._watched), default=slot)
        kept = tuple(one for one in told if one[0] > idle_slot - self._settings.overlap_slots)
        cursor = msgspec.json.encode(Mark(slot, kept, idle_slot))
        self._rota.end_at(cursor)
        return cursor

    def _watch(self, given_ms: Mapping[str, int]) -> None:
        """Take note of new accounts; deriving all addresses anew each time would take seconds."""
        for account in given_ms.keys() - self._accounts:
            owner = self._keys.deposit(account).pubkey()
            for token in self._tokens:
                address = str(token_account(owner, Pubkey.from_string(token.reference)))
                self._watched[address] = Watched(account, token, given_ms[account])
            self._accounts.add(account)

    def _visits(self, mark: Mark, now_ms: int) -> dict[str, int]:
        """The addresses to look at, and the slot up to which each is told already."""
        told_slot = mark.slot if mark.idle_slot is None else mark.idle_slot
        is_long = len(mark.seen) > _SEEN_MAX
        due = self._watched if is_long else self._rota.due(self._watched, now_ms)
        return {address: self._rota.slot(address, told_slot) for address in due}

    async def _events(self, slots: Mapping[str, int]) -> tuple[list[_Event], set[str]]:
        """Chain txs after these slots that succeeded, oldest first; and who has a history at all."""
        found: list[_Event] = []
        used: set[str] = set()
        before: dict[str, str | None] = dict.fromkeys(slots)
        while before:
            pages = await self._rpc.call_many(
                tuple[SignatureRow, ...],
                "getSignaturesForAddress",
                [[address, self._page_options(last)] for address, last in before.items()],
            )
            unfinished: dict[str, str | None] = {}
            for address, rows in zip(before, pages, strict=True):
                if rows:
                    used.add(address)
                since_slot = max(0, slots[address] - self._settings.overlap_slots)
                new = [row for row in rows if row.slot > since_slot]
                found += [
                    _Event(row.slot, row.signature, address) for row in new if row.err is None
                ]
                if len(new) == _PAGE:
                    unfinished[address] = new[-1].signature
            before = unfinished
        return sorted(found, key=lambda event: event.slot), used

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

    def _deposit(self, event: _Event, landed: LandedTx | None) -> Deposit | None:
        if landed is None or landed.meta.err is not None:
            return None
        ours = self._watched[event.address]
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
