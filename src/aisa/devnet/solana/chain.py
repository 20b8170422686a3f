"""The chain: LiteSVM, a calendar, a history, and the rules by which a chain tx is let in.

LiteSVM runs one chain tx on the newest state. What a network adds, this module adds: blockhashes
that age, each signature once, slots that pass with time, and what landed stays on record.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTable
from solders.clock import Clock as ClockSysvar
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.token import ID as TOKEN_PROGRAM
from solders.token.state import Mint
from solders.transaction import VersionedTransaction

from aisa.devnet.solana.balance import TOKEN_ACCOUNT_BYTES, Balances
from aisa.devnet.solana.blocks import START_SLOT, Blocks, Clock, Era
from aisa.devnet.solana.disturbance import Disturbance
from aisa.devnet.solana.genesis import FAUCET_LAMPORTS, Genesis
from aisa.devnet.solana.history import HISTORY_MAX, History, Landed
from aisa.devnet.solana.run import Refused, Run, run_of

_RENT_EXEMPT_EPOCH = 2**64 - 1
_TOKEN_STATE_AT = 108
_TOKEN_FROZEN = 2


@dataclass(frozen=True, slots=True)
class Minted:
    """One making of tokens by the devnet's issuer."""

    mint: str
    owner: str
    account: str
    units: int
    signature: str


class Chain:
    """A Solana chain of one machine.

    Not safe for several threads; every public call first moves the chain to the clock's time
    where that matters, through `advance`.
    """

    def __init__(
        self,
        genesis: Genesis,
        *,
        clock: Clock,
        era: Era | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.genesis = genesis
        self.history = History()
        self.disturbance = Disturbance()
        self.minted: list[Minted] = []
        self.touched: set[Pubkey] = set()
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(HISTORY_MAX)
        era = era or Era(clock(), 0, entropy(32))
        self.blocks = Blocks(era, slot_ms=genesis.slot_ms, clock=clock)
        self._delayed: list[tuple[int, VersionedTransaction, bytes]] = []
        self._boot()
        self._set_sysvars()

    def advance(self) -> None:
        """Let the slots pass that time has brought, and land what was delayed until now."""
        if self.blocks.advance():
            self._set_sysvars()
            self._land_due()

    def warp(self, slots: int) -> None:
        """Let slots pass at once."""
        self.blocks.warp(slots)
        self._set_sysvars()
        self._land_due()

    def set_account(self, address: Pubkey, account: Account) -> None:
        """Write an account, past every rule."""
        self.svm.set_account(address, account)
        self.touched.add(address)

    def simulate(self, tx: VersionedTransaction, *, verify_signatures: bool) -> Run | Refused:
        """Run a chain tx without keeping what it does; its blockhash is not looked at."""
        self.svm.with_sigverify(verify_signatures)
        try:
            result = self.svm.simulate_transaction(tx)
        finally:
            self.svm.with_sigverify(True)
        return run_of(result)

    def knows_blockhash(self, tx: VersionedTransaction) -> bool:
        """Whether the chain tx names a recent blockhash (or stands on a durable nonce)."""
        blockhash = str(tx.message.recent_blockhash)
        return self.blocks.slot_of(blockhash) is not None or tx.uses_durable_nonce()

    def land(self, tx: VersionedTransaction, raw: bytes) -> Landed | Refused:
        """Run a chain tx and put it on record; a signature lands once."""
        signature = str(tx.signatures[0])
        if self.history.get(signature):
            return Refused(b'"AlreadyProcessed"')
        if not self.knows_blockhash(tx):
            return Refused(b'"BlockhashNotFound"')
        keys = self.account_keys(tx)
        frozen = self._freeze(keys) if self.disturbance.take("land_with_error") else {}
        before = Balances.read(self.svm, keys)
        nonce_only = self.blocks.slot_of(str(tx.message.recent_blockhash)) is None
        self.svm.with_blockhash_check(nonce_only)
        result = self.svm.send_transaction(tx)
        self.svm.with_blockhash_check(False)
        for key, data in frozen.items():
            self._set_data(key, data)
        run = run_of(result)
        if isinstance(run, Refused):
            return run
        return self._record(tx, raw, keys, run, before)

    def delay(self, tx: VersionedTransaction, raw: bytes) -> None:
        """Keep a chain tx back; it lands `disturbance.delay_slots` later."""
        self._delayed.append((self.blocks.slot + self.disturbance.delay_slots, tx, raw))

    def account_keys(self, tx: VersionedTransaction) -> list[Pubkey]:
        """A chain tx's accounts in order: its own, then those loaded from lookup tables."""
        message = tx.message
        keys = list(message.account_keys)
        if not isinstance(message, MessageV0) or not message.address_table_lookups:
            return keys
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups:
            table = self.svm.get_account(lookup.account_key)
            addresses = AddressLookupTable.deserialize(table.data).addresses if table else []
            writable += [addresses[at] for at in lookup.writable_indexes if at < len(addresses)]
            readonly += [addresses[at] for at in lookup.readonly_indexes if at < len(addresses)]
        return keys + writable + readonly

    def is_at(self, landed: Landed, level: str) -> bool:
        """Whether a landed chain tx has reached a commitment level."""
        distance = self.blocks.slot - landed.slot
        return distance >= self.distance_slots(level)

    def distance_slots(self, level: str) -> int:
        """How many slots after landing a commitment level is reached."""
        genesis = self.genesis
        return {"finalized": genesis.finalize_slots, "confirmed": genesis.confirm_slots}.get(
            level, 0
        )

    def slot_at(self, level: str) -> int:
        """The newest slot that has reached a commitment level."""
        return max(START_SLOT, self.blocks.slot - self.distance_slots(level))

    def _record(
        self, tx: VersionedTransaction, raw: bytes, keys: list[Pubkey], run: Run, before: Balances
    ) -> Landed:
        after = Balances.read(self.svm, keys)
        meta = {
            "fee": run.fee,
            "logMessages": run.logs,
            "innerInstructions": run.inner,
            "computeUnitsConsumed": run.compute_units,
            "preBalances": before.lamports,
            "postBalances": after.lamports,
            "preTokenBalances": [one.to_json() for one in before.tokens],
            "postTokenBalances": [one.to_json() for one in after.tokens],
            "returnData": run.return_data,
        }
        landed = Landed(
            signature=str(tx.signatures[0]),
            slot=self.blocks.slot,
            raw=raw,
            addresses=tuple(str(key) for key in keys),
            err=run.err,
            meta=msgspec.json.encode(meta),
        )
        self.history.add(landed)
        self.touched.update(keys)
        return landed

    def _boot(self) -> None:
        genesis = self.genesis
        faucet = genesis.keypair("faucet").pubkey()
        self.set_account(faucet, _account(FAUCET_LAMPORTS, b"", SYSTEM_PROGRAM))
        issuer = genesis.keypair("issuer").pubkey()
        rent = self.svm.minimum_balance_for_rent_exemption
        self.set_account(issuer, _account(rent(0), b"", SYSTEM_PROGRAM))
        for spec in genesis.mint_specs():
            data = bytes(Mint(issuer, 0, spec.scale, is_initialized=True, freeze_authority=issuer))
            mint = Pubkey.from_string(spec.address)
            self.set_account(mint, _account(rent(len(data)), data, TOKEN_PROGRAM))

    def _set_sysvars(self) -> None:
        slot = self.blocks.slot
        schedule = self.svm.get_epoch_schedule()
        epoch = schedule.get_epoch(slot)
        first = schedule.get_first_slot_in_epoch(epoch)
        self.svm.set_clock(
            ClockSysvar(
                slot=slot,
                epoch_start_timestamp=self.blocks.time_s(first),
                epoch=epoch,
                leader_schedule_epoch=epoch + 1,
                unix_timestamp=self.blocks.time_s(slot),
            )
        )
        self.svm.set_slot_hashes(self.blocks.slot_hashes())

    def _land_due(self) -> None:
        due = [one for one in self._delayed if one[0] <= self.blocks.slot]
        self._delayed = [one for one in self._delayed if one[0] > self.blocks.slot]
        for _, tx, raw in due:
            self.land(tx, raw)

    def _freeze(self, keys: list[Pubkey]) -> dict[Pubkey, bytes]:
        """Freeze the token accounts among the keys; returns what they held."""
        held: dict[Pubkey, bytes] = {}
        for key in keys:
            account = self.svm.get_account(key)
            if account is None or account.owner != TOKEN_PROGRAM:
                continue
            data = bytearray(account.data)
            if len(data) == TOKEN_ACCOUNT_BYTES:
                held[key] = bytes(data)
                data[_TOKEN_STATE_AT] = _TOKEN_FROZEN
                self._set_data(key, bytes(data))
        return held

    def _set_data(self, key: Pubkey, data: bytes) -> None:
        account = self.svm.get_account(key)
        if account is not None:
            self.svm.set_account(key, _account(account.lamports, data, account.owner))


def _account(lamports: int, data: bytes, owner: Pubkey) -> Account:
    return Account(lamports, data, owner, executable=False, rent_epoch=_RENT_EXEMPT_EPOCH)
