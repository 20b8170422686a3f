"""Deposits: credited once, held where a cap forbids it, never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.client import DepositState
from aisa.errors import RailUnavailable
from aisa.money import Peg, PegTable
from aisa.payment.deposits import CHUNK, Deposits
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.payment.names import dust, fees, outside, suspense
from tests.unit.payment.bank import (
    ALICE,
    BOB,
    FINE,
    NETWORK,
    TOKEN,
    Bank,
    open_bank,
    terms_table,
)

M = 1_000_000


async def test_a_deposit_is_credited_once(bank: Bank) -> None:
    await bank.fund(ALICE, M)
    assert await bank.units(ALICE) == M
    assert await bank.balance(outside(TOKEN)) == -M
    assert await bank.deposits.step(bank.rail) == 0
    again = Deposits(bank.store, terms_table(), PegTable([Peg(TOKEN, 10**15)]))
    assert await again.step(bank.rail) == 0
    assert await bank.units(ALICE) == M


async def test_forgotten_cursors_credit_nothing_twice(bank: Bank) -> None:
    await bank.fund(ALICE, M)

    class Rewound:
        network = NETWORK
        tokens = bank.rail.tokens

        async def incoming(self, cursor: bytes) -> object:
            return await bank.rail.incoming(b"")

    before = await bank.store.digest()
    assert await bank.deposits.step(Rewound()) == 0  # type: ignore[arg-type]
    assert await bank.store.digest() == before


async def test_many_at_once_are_all_credited(bank: Bank) -> None:
    count = 2 * CHUNK + 3
    request = await bank.rail.request(TOKEN, ALICE.public_key.hex())
    bank.network.mint("memory:outside", TOKEN, count)
    for _ in range(count):
        bank.network.pay("memory:outside", request.address, TOKEN, 1)
    assert await bank.deposits.step(bank.rail) == count
    assert await bank.units(ALICE) == count
    page, after = await bank.deposits.page(ALICE.public_key, None, 40)
    rest, end = await bank.deposits.page(ALICE.public_key, after, 40)
    assert len(page) + len(rest) == count
    assert end is None


async def test_a_silent_network_changes_nothing(bank: Bank) -> None:
    bank.network.is_down = True
    with pytest.raises(RailUnavailable):
        await bank.deposits.step(bank.rail)


async def test_a_deposit_above_the_cap_waits_in_suspense(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(account_cap_units=M)) as bank:
        await bank.fund(ALICE, 700_000)
        await bank.fund(ALICE, 500_000)
        assert await bank.units(ALICE) == 700_000
        assert await bank.balance(suspense("aiUSD")) == 500_000
        page, _ = await bank.deposits.page(ALICE.public_key, None, 10)
        held = next(one.row for one in page if one.row.units == 500_000)
        assert held.state is DepositState.HELD
        assert held.reason is not None
        assert "cap" in held.reason
        assert await bank.deposits.release_held() == 0
        await bank.solvency.check()
        assert not bank.solvency.is_halted
        await bank.withdraw(ALICE, 200_000)
        assert await bank.deposits.release_held() == 1
        assert await bank.units(ALICE) == M
        assert await bank.balance(suspense("aiUSD")) == 0
        assert await bank.deposits.release_held() == 0


async def test_a_held_deposit_is_found_again_after_a_restart(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(account_cap_units=M)) as bank:
        await bank.fund(ALICE, 2 * M)
        time, network = bank.time, bank.network
    async with open_bank(tmp_path, time=time, network=network) as bank:  # the cap was lifted
        assert await bank.deposits.release_held() == 1
        assert await bank.units(ALICE) == 2 * M


async def test_two_deposits_in_one_batch_do_not_pass_the_cap_together(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(account_cap_units=M)) as bank:
        request = await bank.rail.request(TOKEN, ALICE.public_key.hex())
        bank.network.mint("memory:outside", TOKEN, 2 * M)
        for _ in range(2):
            bank.network.pay("memory:outside", request.address, TOKEN, 600_000)
        assert await bank.deposits.step(bank.rail) == 2
        assert await bank.units(ALICE) == 600_000
        assert await bank.balance(suspense("aiUSD")) == 600_000


async def test_more_of_a_token_than_the_node_may_hold_waits(bank: Bank) -> None:
    bank.deposits = Deposits(bank.store, terms_table(), PegTable([Peg(TOKEN, M)]))
    await bank.fund(ALICE, M)
    await bank.fund(BOB, 1)
    assert await bank.units(BOB) == 0
    await bank.withdraw(ALICE, 1)
    assert await bank.deposits.release_held() == 1
    assert await bank.units(BOB) == 1


async def test_an_address_of_nobody_is_kept_apart(bank: Bank) -> None:
    request = await bank.rail.request(TOKEN, "not-a-key")
    bank.network.mint("memory:outside", TOKEN, 5)
    bank.network.pay("memory:outside", request.address, TOKEN, 5)
    assert await bank.deposits.step(bank.rail) == 1
    assert await bank.balance(suspense("aiUSD")) == 5
    assert await bank.deposits.step(bank.rail) == 0
    assert (await bank.solvency.check()).solvent


async def test_the_deposit_fee_is_taken_from_the_credit(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(deposit_fee_ppm=2500)) as bank:
        await bank.fund(ALICE, M)
        assert await bank.units(ALICE) == M - 2500
        assert await bank.balance(fees("aiUSD")) == 2500


async def test_dust_below_a_unit_is_kept_by_name(bank: Bank) -> None:
    await bank.fund(ALICE, 1_234_567_891, FINE)
    assert await bank.units(ALICE) == 1_234_567
    assert await bank.balance(dust(FINE)) == 891
    await bank.fund(ALICE, 999, FINE)
    assert await bank.units(ALICE) == 1_234_567
    assert await bank.balance(dust(FINE)) == 1890
    assert await bank.deposits.step(bank.rail) == 0
    assert (await bank.solvency.check()).solvent


async def test_the_journal_and_the_addresses_outlive_a_restart(tmp_path: Path) -> None:
    async with open_bank(tmp_path) as bank:
        journal = RecordJournal(bank.store)
        assert await journal.load("s") is None
        await journal.save("s", b"1")
        await journal.save("s", b"2")
        addresses = RecordAddresses(bank.store, NETWORK)
        await addresses.add("account", "address")
        await addresses.add("account", "other")
        await RecordAddresses(bank.store, "aisa:other").add("account", "elsewhere")
    async with open_bank(tmp_path) as bank:
        assert await RecordJournal(bank.store).load("s") == b"2"
        assert list(await RecordAddresses(bank.store, NETWORK).entries()) == [
            ("account", "address")
        ]
