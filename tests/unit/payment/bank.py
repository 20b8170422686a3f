"""A whole payment room over a real ledger file and the memory rail, driven by a clock of its own."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aisa.client import RedemptionClaim, RedemptionResult
from aisa.identity import SigningKey
from aisa.ledger.sqlite import SqliteStore
from aisa.money import AIUSD, Peg, PegTable, Token
from aisa.payment.channels import Channels, OpenedRow
from aisa.payment.closing import ClosingClock
from aisa.payment.deposits import Deposits
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.payment.names import customer
from aisa.payment.ports import AllowAll, FirstRail
from aisa.payment.reconciler import Reconciler
from aisa.payment.redemptions import Redemptions
from aisa.payment.solvency import Solvency
from aisa.payment.terms import CurrencyTerms, TermsTable
from aisa.payment.withdrawals import WithdrawalOrder, Withdrawals
from aisa.protocol.aip import ChannelTerms, Voucher, close_bytes, open_bytes
from aisa.settlement.memory import MemoryNetwork, MemoryRail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aisa.payment.channel_row import ChannelRow
    from aisa.payment.withdrawal_row import WithdrawalRow

NODE = SigningKey(b"\x01" * 32)
ALICE = SigningKey(b"\x02" * 32)
BOB = SigningKey(b"\x03" * 32)
THIEF = SigningKey(b"\x04" * 32)
PAYER = SigningKey(b"\x05" * 32)

NETWORK = "aisa:memory"
TOKEN = Token("aiUSD", "issuer", NETWORK, f"{NETWORK}/token:aiusd", 6, "aiUSD")
FINE = Token("fineUSD", "issuer", NETWORK, f"{NETWORK}/token:fine", 9, "aiUSD")
PEGS = PegTable([Peg(TOKEN, 10**15), Peg(FINE, 10**15)])
FEE_PPM = 1000
CLOSING_MS = 86_400_000


def terms_table(**changes: int) -> TermsTable:
    values = {
        "channel_fee_ppm": FEE_PPM,
        "deposit_fee_ppm": 0,
        "withdrawal_fee_ppm": 0,
        "account_cap_units": 10**12,
    }
    return TermsTable([CurrencyTerms(AIUSD, **(values | changes))])


class Time:
    """Milliseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms


@dataclass
class Bank:
    store: SqliteStore
    time: Time
    network: MemoryNetwork
    rail: MemoryRail
    channels: Channels
    redemptions: Redemptions
    closing: ClosingClock
    deposits: Deposits
    withdrawals: Withdrawals
    reconciler: Reconciler
    solvency: Solvency
    salts: Any

    async def fund(self, key: SigningKey, units: int, token: Token = TOKEN) -> None:
        request = await self.rail.request(token, key.public_key.hex())
        self.network.mint("memory:outside", token, units)
        self.network.pay("memory:outside", request.address, token, units)
        await self.deposits.step(self.rail)

    async def units(self, key: SigningKey) -> int:
        return (await self.store.balance(customer(key.public_key, "aiUSD"))).units

    async def available(self, key: SigningKey) -> int:
        return (await self.store.balance(customer(key.public_key, "aiUSD"))).available

    async def balance(self, account: str) -> int:
        return (await self.store.balance(account)).units

    def terms(self, payee: SigningKey = BOB, salt: bytes | None = None) -> ChannelTerms:
        return ChannelTerms(
            self.channels.network,
            NODE.public_key,
            PAYER.public_key,
            payee.public_key,
            "aiUSD",
            salt or next(self.salts),
        )

    async def open(
        self,
        deposit: int,
        *,
        opener: SigningKey = ALICE,
        request_id: str = "open-1",
        terms: ChannelTerms | None = None,
        signed_for: SigningKey | None = None,
    ) -> OpenedRow:
        terms = terms or self.terms()
        account = (signed_for or opener).public_key
        signature = PAYER.sign(open_bytes(terms.channel_id, account))
        return await self.channels.open(opener.public_key, request_id, terms, deposit, signature)

    async def close(self, channel: bytes, *, opener: SigningKey = ALICE) -> ChannelRow:
        return await self.channels.close(
            opener.public_key, channel, PAYER.sign(close_bytes(channel))
        )

    async def redeem(
        self,
        channel: bytes,
        cumulative: int,
        *,
        ceiling: int | None = None,
        by: SigningKey = BOB,
        signer: SigningKey = PAYER,
        final: bool = False,
        voucher: Voucher | None = None,
    ) -> RedemptionResult:
        voucher = voucher or signed_voucher(channel, ceiling or cumulative, signer)
        claim = RedemptionClaim(channel, cumulative, voucher, final)
        (result,) = await self.redemptions.redeem(by.public_key, [claim])
        return result

    async def withdraw(
        self, key: SigningKey, units: int, *, request_id: str = "w-1", fee_units_max: int = 0
    ) -> WithdrawalRow:
        order = WithdrawalOrder(request_id, TOKEN.asset, units, "memory:there", fee_units_max)
        stored = await self.withdrawals.order(key.public_key, order)
        row = await self.reconciler.advance(stored.row.record_id)
        assert row is not None
        return row


def signed_voucher(channel: bytes, ceiling: int, signer: SigningKey = PAYER) -> Voucher:
    unsigned = Voucher(channel, ceiling)
    return Voucher(channel, ceiling, 0, signer.sign(unsigned.message()))


@asynccontextmanager
async def open_bank(
    folder: Path,
    *,
    time: Time | None = None,
    network: MemoryNetwork | None = None,
    terms: TermsTable | None = None,
    rail_timeout_s: float = 0.02,
) -> AsyncIterator[Bank]:
    time = time or Time()
    network = network or MemoryNetwork(time)
    table = terms or terms_table()
    async with await SqliteStore.open(folder / "ledger.sqlite", clock=time) as store:
        rail = MemoryRail(
            network,
            (TOKEN, FINE),
            journal=RecordJournal(store),
            addresses=RecordAddresses(store, NETWORK),
            timeout_s=rail_timeout_s,
        )
        closing = ClosingClock(store, monotonic_ms=time, closing_ms=CLOSING_MS)
        solvency = Solvency(store, table, [rail], clock=time, pause_s=0)
        bank = Bank(
            store,
            time,
            network,
            rail,
            Channels(store, NODE, table, AllowAll(), closing, clock=time),
            Redemptions(store),
            closing,
            Deposits(store, table, PEGS),
            Withdrawals(
                store,
                table,
                PEGS,
                [rail],
                AllowAll(),
                FirstRail(),
                is_halted=lambda: solvency.is_halted,
            ),
            Reconciler(store, table, PEGS, [rail], is_halted=lambda: solvency.is_halted),
            solvency,
            (number.to_bytes(16) for number in itertools.count(1)),
        )
        await closing.load()
        await bank.reconciler.load()
        yield bank
