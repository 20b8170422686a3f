"""When to claim: what sellers hold of vouchers, turned into few chain txs before it is too late."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from aisa.errors import InvalidRequest, RailError, RailUnavailable
from aisa.protocol.x402.batch import Claim
from aisa.settlement.escrow import ChannelView, Escrow
from aisa.settlement.rail import Clock, Failed, FailureReason, Outcome, Unknown

_PPM: Final = 1_000_000
_ATTEMPTS_MAX: Final = 1_000
_log = logging.getLogger("aisa.escrow")

TokenPrice = Callable[[int, bytes], int]
"""How many units of a token (its 20-byte address) a fee in the native coin is worth."""


class ClaimReason(StrEnum):
    """Why a channel is claimed now."""

    LEAVING = "leaving"
    RISK = "risk"
    FEE = "fee"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Earned:
    """What a seller holds of one channel: its highest voucher, and `claim.claimed` charged in all.

    It must be claimed by `deadline_s` (unix seconds), if there is one. `risk_units` is how much of
    it may stand unclaimed.
    """

    claim: Claim
    risk_units: int
    deadline_s: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """A channel is claimed once the fee is at most `fee_share_ppm` of what is unclaimed.

    `deadline_margin_s` before a deadline it is claimed in any case. `claims_max` channels share a
    chain tx.
    """

    fee_share_ppm: int = 5_000
    deadline_margin_s: int = 3_600
    claims_max: int = 50


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What became of the claim of some channels; `error` where nothing was sent."""

    id: str
    channels: tuple[bytes, ...]
    outcome: Outcome | None
    error: str = ""


class ClaimDesk:
    """Decides and claims, one `step` after the other; all that it remembers can be lost.

    The id of a claim is made of what it claims, so a step that is repeated after a crash finds the
    chain tx of the one before. Channels whose payer leaves are claimed apart from others, and alone
    once their time is over: a row that fails undoes its whole chain tx.
    """

    def __init__(
        self,
        escrow: Escrow,
        price: TokenPrice,
        *,
        clock: Clock,
        rules: ClaimRules | None = None,
    ) -> None:
        self._escrow = escrow
        self._price = price
        self._clock = clock
        self._rules = rules or ClaimRules()
        self._cursor = b""
        self._views: dict[bytes, ChannelView] = {}
        self._leaving: set[bytes] = set()
        self._under_way: dict[bytes, str] = {}

    @property
    def leaving(self) -> frozenset[bytes]:
        """The channels whose payer is taking its deposit back: take no more calls on them."""
        return frozenset(self._leaving)

    async def step(self, earned: Sequence[Earned]) -> list[ClaimResult]:
        """Look for payers that leave, and claim what is due.

        Raises:
            RailUnavailable: the network does not answer; call again soon.
        """
        known = {self._channel(one): one for one in earned}
        await self._watch(known)
        await self._finish()
        fee = await self._escrow.claim_fee(1)
        likely = [id_ for id_, one in known.items() if self._is_likely(id_, one, fee)]
        views = {
            view.channel: view
            for view in await self._escrow.view([known[id_].claim.config for id_ in likely])
        }
        self._note(views.values())
        reasons = {id_: self.reason(known[id_], view, fee) for id_, view in views.items()}
        due = {id_: reason for id_, reason in reasons.items() if reason is not None}
        rows = {id_: _row(known[id_].claim, views[id_]) for id_ in due}
        batches = self._batches(due, views)
        found = await asyncio.gather(*(self._claim(batch, rows) for batch in batches))
        return [result for results in found for result in results]

    def reason(self, earned: Earned, view: ChannelView, fee: int) -> ClaimReason | None:
        """Why a channel should be claimed now; `fee` is what a claim of one channel costs."""
        unclaimed = min(earned.claim.claimed, view.deposit_units) - view.claimed_units
        if unclaimed <= 0:
            return None
        if view.leaving is not None:
            return ClaimReason.LEAVING
        if unclaimed >= earned.risk_units:
            return ClaimReason.RISK
        soon_s = self._clock() // 1000 + self._rules.deadline_margin_s
        if earned.deadline_s is not None and soon_s >= earned.deadline_s:
            return ClaimReason.DEADLINE
        fee_units = self._price(fee, earned.claim.config.token)
        if fee_units * _PPM <= unclaimed * self._rules.fee_share_ppm:
            return ClaimReason.FEE
        return None

    async def _watch(self, known: Mapping[bytes, Earned]) -> None:
        """Learn of withdrawals: of new channels from their state, of all others from the log."""
        found = await self._escrow.leaving(self._cursor)
        self._views = {id_: view for id_, view in self._views.items() if id_ in known}
        self._leaving &= known.keys()
        new = [one.claim.config for id_, one in known.items() if id_ not in self._views]
        self._note(await self._escrow.view(new))
        self._leaving |= {one.channel for one in found.notices if one.channel in known}
        self._cursor = found.cursor

    def _note(self, views: Iterable[ChannelView]) -> None:
        for view in views:
            self._views[view.channel] = view
            if view.leaving is not None:
                self._leaving.add(view.channel)
            else:
                self._leaving.discard(view.channel)  # ended, or taken back by the chain

    def _is_likely(self, channel: bytes, earned: Earned, fee: int) -> bool:
        """Whether a channel is worth a look at the chain: by what was seen of it at last."""
        if channel in self._under_way:
            return False
        if channel in self._leaving:
            return True
        # Deposits may have grown since; claimed totals only grow, and then there is less to claim.
        view = replace(self._views[channel], deposit_units=earned.claim.claimed)
        return self.reason(earned, view, fee) is not None

    async def _finish(self) -> None:
        """Look up what was sent; what is decided makes its channels free again."""
        for id_ in set(self._under_way.values()):
            if not isinstance(await self._escrow.look_up(id_), Unknown):
                self._under_way = {
                    one: name for one, name in self._under_way.items() if name != id_
                }

    def _batches(
        self, due: Mapping[bytes, ClaimReason], views: Mapping[bytes, ChannelView]
    ) -> list[list[bytes]]:
        size = self._rules.claims_max
        leaving = [id_ for id_, reason in due.items() if reason is ClaimReason.LEAVING]
        leaving.sort(key=lambda id_: views[id_].time_left_s or 0)
        late = [id_ for id_ in leaving if not views[id_].time_left_s]
        soon = [id_ for id_ in leaving if views[id_].time_left_s]
        rest = [id_ for id_ in due if id_ not in set(leaving)]
        return [[id_] for id_ in late] + _pieces(soon, size) + _pieces(rest, size)

    async def _claim(
        self, batch: Sequence[bytes], rows: Mapping[bytes, Claim]
    ) -> list[ClaimResult]:
        """Claim together; a batch that is refused is cut in two, until the bad row stands alone."""
        channels = tuple(sorted(batch))
        claims = [rows[channel] for channel in channels]
        id_ = ""
        try:
            id_ = await self._id(channels, claims)
            outcome = await self._escrow.claim(id_, claims)
        except RailUnavailable as error:
            return [ClaimResult(id_, channels, None, error.detail)]
        except (InvalidRequest, RailError) as error:
            if len(batch) > 1:
                half = len(batch) // 2
                first = await self._claim(batch[:half], rows)
                return [*first, *await self._claim(batch[half:], rows)]
            _log.warning("channel 0x%s cannot be claimed: %s", channels[0].hex(), error.detail)
            return [ClaimResult(id_, channels, None, error.detail)]
        if isinstance(outcome, Unknown):
            self._under_way |= dict.fromkeys(channels, id_)
        return [ClaimResult(id_, channels, outcome)]

    async def _id(self, channels: Sequence[bytes], claims: Sequence[Claim]) -> str:
        """An id made of the content, and of how often that was tried and failed."""
        content = hashlib.sha256()
        for channel, claim in zip(channels, claims, strict=True):
            content.update(channel + claim.claimed.to_bytes(16) + claim.ceiling.to_bytes(16))
            content.update(hashlib.sha256(claim.signature).digest())
        name = content.hexdigest()[:40]
        for attempt in range(_ATTEMPTS_MAX):
            id_ = f"claim:{name}:{attempt}"
            known = await self._escrow.look_up(id_)
            if not isinstance(known, Failed) or known.reason is FailureReason.NEVER_SENT:
                return id_
        raise RailError(f"the claim {name} failed {_ATTEMPTS_MAX} times")

    def _channel(self, earned: Earned) -> bytes:
        return earned.claim.config.channel_id(self._escrow.domain)


def _row(claim: Claim, view: ChannelView) -> Claim:
    """What can still be claimed: a payer that has left may have left less than the voucher says."""
    return claim._replace(claimed=min(claim.claimed, view.deposit_units))


def _pieces(items: Sequence[bytes], size: int) -> list[list[bytes]]:
    return [list(items[at : at + size]) for at in range(0, len(items), size)]
