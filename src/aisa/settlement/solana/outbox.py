"""Preparing payments out: sources, fee money, small deposits swept together, signed entries."""

from __future__ import annotations

from collections.abc import Sequence

from solders.pubkey import Pubkey

from aisa.errors import RailUnavailable
from aisa.money import Token
from aisa.settlement.rail import Outgoing, Unknown
from aisa.settlement.solana.answer import InContext, PriorityFeeRow
from aisa.settlement.solana.destination import Target
from aisa.settlement.solana.entry import Entry
from aisa.settlement.solana.instruction import compute_unit_limit
from aisa.settlement.solana.keys import RailKeys, token_account
from aisa.settlement.solana.purse import SOURCES_MAX, Purse, Source
from aisa.settlement.solana.rpc import SolanaRpc
from aisa.settlement.solana.settings import SolanaSettings
from aisa.settlement.solana.signing import Draft, sign
from aisa.settlement.solana.tracker import Tracker

_SIGNATURE_LAMPORTS = 5_000
_TOKEN_ACCOUNT_LAMPORTS = 2_039_280
_TREASURY_LAMPORTS_MIN = 890_880
_SWEEPS_MAX = 40


class Outbox:
    """Turns an `Outgoing` into a signed entry; nothing that can land leaves before it returns."""

    def __init__(
        self,
        rpc: SolanaRpc,
        keys: RailKeys,
        purse: Purse,
        tracker: Tracker,
        settings: SolanaSettings,
    ) -> None:
        self._rpc = rpc
        self._keys = keys
        self._purse = purse
        self._tracker = tracker
        self._settings = settings

    async def prepare(self, outgoing: Outgoing, target: Target) -> Entry:
        """Choose sources, rehearse and sign.

        Raises:
            RailUnavailable: too little is held, too little SOL for fees, or no answer.
            RailError: the network would refuse it.
        """
        sources = await self._sources(outgoing.token, outgoing.units)
        portions = _portions(sources, outgoing.units)
        return await self._sign(outgoing, portions, target)

    async def priority_price(self) -> int:
        """The middle of what recent slots paid, within the operator's limit."""
        rows = await self._rpc.call(tuple[PriorityFeeRow, ...], "getRecentPrioritizationFees", [])
        paid = sorted(row.prioritization_fee for row in rows)
        middle = paid[len(paid) // 2] if paid else 0
        return min(middle, self._settings.priority_price_max)

    def cost_lamports(self, sources: int, price: int, target: Target | None = None) -> int:
        """Signatures, priority, and the rent of a token account that must be made."""
        priority = -(-compute_unit_limit(sources) * price // 1_000_000)
        is_new = target is not None and target.owner is not None
        rent = _TOKEN_ACCOUNT_LAMPORTS if is_new else 0
        return (1 + sources) * _SIGNATURE_LAMPORTS + priority + rent

    async def _sign(
        self, outgoing: Outgoing, portions: Sequence[tuple[Source, int]], target: Target
    ) -> Entry:
        price = await self.priority_price()
        await self._check_fee_money(self.cost_lamports(len(portions), price, target))
        slot = await self._rpc.call(int, "getSlot", {"commitment": "confirmed"})
        draft = Draft(
            payer=self._keys.treasury,
            sources=portions,
            target=target,
            mint=Pubkey.from_string(outgoing.token.reference),
            scale=outgoing.token.scale,
            memo=outgoing.id,
            priority_price=price,
        )
        signed = await sign(self._rpc, draft)
        return Entry(
            asset=outgoing.token.asset,
            units=outgoing.units,
            destination=outgoing.destination,
            signature=signed.signature,
            raw=signed.raw,
            last_valid_block_height=signed.last_valid_block_height,
            signed_at_slot=slot,
            debits=draft.debits(),
        )

    async def _sources(self, token: Token, units: int) -> Sequence[Source]:
        """Token accounts that together hold the units; small ones are swept together first."""
        mint = Pubkey.from_string(token.reference)
        for _ in range(_SWEEPS_MAX):
            sources = await self._purse.sources(mint, units)
            if sum(source.units for source in sources) >= units:
                return sources
            filled = await self._purse.filled(mint)
            held = sum(source.units for source in filled)
            if held < units:
                raise RailUnavailable(f"the rail can send {held} {token.symbol} units, not {units}")
            await self._sweep(token, filled)
        raise RailUnavailable(f"too many small deposits of {token.symbol}; try again shortly")

    async def _sweep(self, token: Token, filled: Sequence[Source]) -> None:
        """Move the fullest deposit accounts into the treasury's.

        Nothing leaves the node, so this is not journaled: repeated after a crash, it moves what
        is there, or is refused.
        """
        treasury = self._keys.treasury.pubkey()
        account = token_account(treasury, Pubkey.from_string(token.reference))
        fullest = sorted(
            (source for source in filled if source.account != account),
            key=lambda source: source.units,
            reverse=True,
        )[:SOURCES_MAX]
        portions = [(source, source.units) for source in fullest]
        units = sum(source.units for source in fullest)
        move = Outgoing("sweep", token, units, str(treasury))
        entry = await self._sign(move, portions, Target(account, treasury))
        self._purse.reserve(entry.signature, entry.debits)
        try:
            await self._tracker.broadcast(entry)
            outcome = await self._tracker.wait(entry)
        finally:
            self._purse.release(entry.signature)
        if isinstance(outcome, Unknown):
            raise RailUnavailable("small deposits are being swept together; try again shortly")

    async def _check_fee_money(self, cost_lamports: int) -> None:
        address = str(self._keys.treasury.pubkey())
        balance = await self._rpc.call(
            InContext[int], "getBalance", address, {"commitment": "confirmed"}
        )
        needed = cost_lamports + _TREASURY_LAMPORTS_MIN
        if balance.value < needed:
            raise RailUnavailable(
                f"the treasury has {balance.value} lamports, {needed} are needed for fees",
                hint=f"send SOL to {address}",
            )


def _portions(sources: Sequence[Source], units: int) -> list[tuple[Source, int]]:
    portions: list[tuple[Source, int]] = []
    for source in sources:
        taken = min(source.units, units)
        portions.append((source, taken))
        units -= taken
    return portions
