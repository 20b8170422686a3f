"""What every wallet must do with signed transfers; part of `wallet_suite.WalletSuite`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aisa.channel.payer import Limits
from aisa.channel.wallet import CallState, Wallet, WalletCall
from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.errors import BudgetExceeded, IdempotencyMismatch, NotFound, StateConflict

NOW = 1_800_000_000_000
DAY = Limits(per_seller=250, per_day=300)
Open = Callable[[], Wallet]


def transfer(nonce: int, call_id: str = "", **changes: Any) -> WalletTransfer:
    plain = WalletTransfer(
        bytes([nonce]) * 32, call_id, "GET", "http://s/x", bytes([nonce]) * 32, "eip155:1/erc20:0x00",
        bytes(20), "USDC", 100, NOW // 1000 + 300, b"{}", NOW,
    )  # fmt: skip
    return replace(plain, **changes)


def same(nonce: int, call_id: str = "", **changes: Any) -> WalletTransfer:
    """A transfer for the same request as every other of these."""
    return transfer(nonce, call_id, digest=bytes([1]) * 32, **changes)


def tick_call(call_id: str) -> WalletCall:
    return WalletCall(call_id, "GET", "http://s/x", bytes(32), bytes(32), bytes(32), 0, 1, 10, NOW)


def spent(wallet: Wallet, now_ms: int = NOW) -> int:
    return wallet.spent("USDC", now_ms=now_ms).day


class TransferSuite:
    """`open_wallet` opens the same wallet again and again, each time as another process would."""

    def test_a_transfer_counts_before_it_is_signed(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        assert one.begin_transfer(transfer(1), DAY) == transfer(1)
        two.begin_transfer(transfer(2), DAY)
        with pytest.raises(BudgetExceeded) as told:
            one.begin_transfer(transfer(3), DAY)
        assert told.value.facts["limit"] == "per_seller"
        one.begin_transfer(transfer(3, payee=bytes([1]) * 20), DAY)
        with pytest.raises(BudgetExceeded) as told:
            two.begin_transfer(transfer(4, payee=bytes([2]) * 20), DAY)
        assert told.value.facts["limit"] == "per_day"
        assert (spent(one), len(two.open_transfers())) == (300, 3)
        tomorrow = NOW + 86_400_000
        one.begin_transfer(transfer(5, at_ms=tomorrow), DAY)
        assert (spent(one), spent(one, tomorrow)) == (300, 100)

    def test_only_one_that_failed_gives_its_units_back_once(self, open_wallet: Open) -> None:
        wallet = open_wallet()
        for nonce, state in enumerate(TransferState, start=1):
            wallet.begin_transfer(transfer(nonce, at_ms=NOW - nonce), Limits(), flying=())
            for _ in range(2):
                wallet.finish_transfer(bytes([nonce]) * 32, state)
        assert spent(wallet) == 100 * (len(TransferState) - 1)
        wallet.finish_transfer(bytes([4]) * 32, TransferState.FAILED)
        wallet.finish_transfer(bytes([5]) * 32, TransferState.SETTLED)
        assert spent(wallet) == 100 * (len(TransferState) - 1)
        with pytest.raises(NotFound):
            wallet.finish_transfer(bytes(32), TransferState.FAILED)

    def test_a_call_has_one_transfer_until_it_is_proved_dead(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        first = one.begin_transfer(transfer(1, "a"), DAY)
        assert two.begin_transfer(same(2, "a"), DAY) == first
        assert two.find_transfer("a") == first
        with pytest.raises(IdempotencyMismatch):
            two.begin_transfer(transfer(2, "a"), DAY)
        one.finish_transfer(first.nonce, TransferState.SETTLED, chain_tx="0xab")
        settled = two.find_transfer("a")
        assert settled is not None
        assert (settled.state, settled.chain_tx) == (TransferState.SETTLED, "0xab")
        one.begin_transfer(transfer(3, "b"), Limits())
        one.finish_transfer(bytes([3]) * 32, TransferState.FAILED)
        assert one.find_transfer("b") is None
        assert two.begin_transfer(transfer(4, "b"), Limits()).nonce == bytes([4]) * 32
        assert one.find_transfer("") is None

    def test_a_call_is_paid_by_a_tick_or_by_a_transfer(self, open_wallet: Open) -> None:
        wallet = open_wallet()
        wallet.begin_call(tick_call("a"))
        with pytest.raises(StateConflict):
            wallet.begin_transfer(transfer(1, "a"), DAY)
        wallet.finish_call("a", CallState.FAILED)
        wallet.begin_transfer(transfer(1, "a"), DAY)
        wallet.begin_transfer(transfer(2, "b"), DAY)
        with pytest.raises(StateConflict):
            wallet.begin_call(tick_call("b"))
        assert wallet.find_call("b") is None

    def test_a_transfer_that_nobody_waits_for_is_taken_over(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        held = one.begin_transfer(same(1), Limits())
        assert two.begin_transfer(same(2), Limits()).nonce == bytes([2]) * 32
        assert one.begin_transfer(same(3), Limits(), flying={held.nonce}).nonce[0] == 3
        one.finish_transfer(held.nonce, TransferState.HELD)
        other = transfer(4)
        assert two.begin_transfer(other, Limits()) == other
        taken = two.begin_transfer(same(5), Limits())
        assert taken.nonce == held.nonce
        flying = {taken.nonce, bytes([2]) * 32}
        assert two.begin_transfer(same(6), Limits(), flying=flying).nonce[0] == 6
        late = same(7, at_ms=held.expiry * 1000)
        assert one.begin_transfer(late, Limits()) == late

    def test_the_dead_leave_their_transfers(self, open_wallet: Open) -> None:
        one, two = open_wallet(), open_wallet()
        left = one.begin_transfer(same(1), Limits())
        one.begin_transfer(transfer(2, "a"), Limits())
        assert two.unknown_spends() == []
        one.close()
        unknown = [(spend.call_id, spend.units, spend.currency) for spend in two.unknown_spends()]
        assert unknown == [("", 100, "USDC"), ("a", 100, "USDC")]
        assert two.begin_transfer(same(3), Limits()) == left
        assert len(two.unknown_spends(flying={left.nonce})) == 1
        two.finish_transfer(left.nonce, TransferState.SETTLED)
        assert spent(two) == 200
