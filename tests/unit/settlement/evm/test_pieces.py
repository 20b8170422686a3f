"""The parts that need no chain: chain txs, entries, nonces, fees, destinations, cursors."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from aisa.errors import (
    ConfigInvalid,
    InvalidRequest,
    LedgerCorrupt,
    MalformedMessage,
    RailError,
)
from aisa.identity import EvmKey
from aisa.money import Token
from aisa.protocol.evm_address import format_address
from aisa.settlement import Failed, FailureReason, Settled, Unknown
from aisa.settlement.evm import EvmRail, EvmSettings
from aisa.settlement.evm.answer import Block, Log, Receipt
from aisa.settlement.evm.chain_tx import ChainTx, Price
from aisa.settlement.evm.destination import check_destination
from aisa.settlement.evm.entry import Attempt, Call, Entry, Move, parse_entry
from aisa.settlement.evm.erc20 import TRANSFER_TOPIC, selector, text_in, topic_address
from aisa.settlement.evm.keys import RailKeys
from aisa.settlement.evm.mark import Mark, parse_mark, thinned
from aisa.settlement.evm.nonces import NonceBook
from aisa.settlement.memory import MemoryDepositAddresses, MemoryJournal

KEY = EvmKey(b"\x07" * 32)
TO = b"\x11" * 20
NETWORK = "eip155:31337"
CONTRACT = format_address(b"\xcc" * 20)
TOKEN = Token("T", "test", NETWORK, f"{NETWORK}/erc20:{CONTRACT}", 6, "aiUSD")


@given(
    nonce=st.integers(0, 2**40),
    value=st.integers(0, 10**24),
    gas=st.integers(21_000, 10**7),
    tip=st.integers(0, 10**12),
    base=st.integers(0, 10**12),
    data=st.binary(max_size=200),
)
def test_signed_bytes_are_those_of_eth_account(
    nonce: int, value: int, gas: int, tip: int, base: int, data: bytes
) -> None:
    tx = ChainTx(31337, nonce, TO, data, value, gas, Price(base + tip, tip))
    raw, hash_ = tx.sign(KEY)
    members = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": base + tip,
        "gas": gas,
        "to": format_address(TO),
        "value": value,
        "data": data,
    }
    theirs = Account.sign_transaction(members, b"\x07" * 32)
    assert raw == theirs.raw_transaction
    assert hash_ == "0x" + theirs.hash.hex()


@given(fee=st.integers(0, 10**13), tip=st.integers(0, 10**13), floor=st.integers(0, 10**13))
def test_a_raised_price_is_an_eighth_more_and_never_below_the_market(
    fee: int, tip: int, floor: int
) -> None:
    old = Price(max(fee, tip), tip)
    new = old.raised(Price(floor, 0))
    assert new.fee_wei * 8 >= old.fee_wei * 9
    assert new.tip_wei * 8 >= old.tip_wei * 9
    assert new.tip_wei > old.tip_wei
    assert new.fee_wei >= max(new.tip_wei, floor)


def entry(nonce: int = 3, *, hash_: str = "0x01") -> Entry:
    move = Move(b"\xcc" * 20, KEY.address, TO, str(2**70))
    call = Call("pay", b"\xcc" * 20, b"data", 2**70, "asset", 2**70, "there", move)
    tx = ChainTx(1, nonce, call.to, call.data, call.value_wei, 50_000, Price(10, 1))
    return Entry.of(call, tx, 100, Attempt(b"raw", hash_, 10, 1, 5))


def test_an_entry_is_read_as_it_was_written_whatever_its_size() -> None:
    made = entry()
    again = parse_entry("w", made.to_bytes())
    assert again == made
    assert again.outcome() == Unknown("0x01")
    for outcome in (
        Settled("0x02"),
        Failed(FailureReason.REFUSED, "reverted", "0x02"),
        Failed(FailureReason.EXPIRED, "cancelled", "0x03"),
    ):
        assert parse_entry("w", made.closed(outcome).to_bytes()).outcome() == outcome


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"version":2}'])
def test_an_entry_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(LedgerCorrupt):
        parse_entry("w", body)


def test_a_receipt_must_show_the_very_move() -> None:
    move = Move(b"\xcc" * 20, KEY.address, TO, "70")

    def receipt(units: int = 70, target: bytes = TO, token: bytes = b"\xcc" * 20) -> Receipt:
        topics = (TRANSFER_TOPIC, topic_address(KEY.address), topic_address(target))
        data = "0x" + units.to_bytes(32).hex()
        log = Log("0x" + token.hex(), topics, data, "0x1", "0x2", "0x3", "0x0")
        other = Log("0x" + token.hex(), (TRANSFER_TOPIC,), "0x", "0x1", "0x2", "0x3", "0x1")
        return Receipt("0x3", "0x1", "0x1", "0x2", "0x1", (other, log))

    assert move.is_in(receipt())
    assert not move.is_in(receipt(units=71))
    assert not move.is_in(receipt(target=b"\x12" * 20))
    assert not move.is_in(receipt(token=b"\xcd" * 20))


async def kept(journal: MemoryJournal, book: NonceBook, id_: str, used: int) -> int:
    """Claim a nonce and write its entry."""
    nonce = await book.claim(id_, used)
    made = entry(nonce)
    await journal.save(id_, made.to_bytes())
    book.note(made)
    return nonce


async def test_nonces_are_given_once_over_restarts() -> None:
    journal = MemoryJournal()
    book = NonceBook(journal, "table")
    assert [await kept(journal, book, one, 5) for one in "abc"] == [5, 6, 7]
    again = NonceBook(journal, "table")
    assert await kept(journal, again, "d", 5) == 8
    assert sorted(await again.open_entries()) == [5, 6, 7, 8]
    assert await kept(journal, again, "e", 20) == 20, "the chain knows more than the book"


async def test_a_claim_without_an_entry_is_free_again() -> None:
    journal = MemoryJournal()
    book = NonceBook(journal, "table")
    assert await book.claim("dead", 0) == 0
    assert await book.gap(0) is None
    assert await kept(journal, NonceBook(journal, "table"), "a", 0) == 0
    assert await kept(journal, book, "b", 1) == 1


async def test_a_closed_nonce_is_never_given_again() -> None:
    journal = MemoryJournal()
    book = NonceBook(journal, "table")
    for one in "ab":
        await kept(journal, book, one, 0)
    await journal.save("a", entry(0).closed(Settled("0x1")).to_bytes())
    await book.release(0)
    assert await kept(journal, book, "c", 0) == 2, "a server that is behind says 0"
    # A process killed between closing the entry and the table finds the entry closed.
    await journal.save("b", entry(1).closed(Settled("0x1")).to_bytes())
    again = NonceBook(journal, "table")
    assert sorted(await again.open_entries()) == [2]
    assert await kept(journal, again, "d", 0) == 3


async def test_a_gap_is_seen_only_where_it_holds_back() -> None:
    journal = MemoryJournal()
    book = NonceBook(journal, "table")
    await kept(journal, book, "a", 4)
    assert await book.gap(4) is None
    assert await book.gap(5) is None
    assert await book.gap(3) == 3


async def test_a_damaged_nonce_table_stops_everything() -> None:
    journal = MemoryJournal()
    await journal.save("table", b"nothing")
    with pytest.raises(LedgerCorrupt):
        await NonceBook(journal, "table").claim("a", 0)


def test_destinations() -> None:
    good = format_address(TO)
    own = {KEY.address}
    assert check_destination(good, own=own, tokens=[TOKEN]) == TO
    assert check_destination(good.lower(), own=own, tokens=[TOKEN]) == TO
    for bad in (
        "",
        good[2:],
        good + "0",
        "0x" + "00" * 20,
        "0x" + "00" * 18 + "0100",
        format_address(KEY.address),
        CONTRACT,
        CONTRACT.lower(),
    ):
        with pytest.raises(InvalidRequest):
            check_destination(bad, own=own, tokens=[TOKEN])


def test_known_selectors() -> None:
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert selector("balanceOf(address)").hex() == "70a08231"


def test_texts_of_contracts() -> None:
    def answer(text: bytes, *, size: int | None = None) -> bytes:
        length = len(text) if size is None else size
        return (32).to_bytes(32) + length.to_bytes(32) + text.ljust(32, b"\0")

    assert text_in(answer(b"USD Coin"), 0) == "USD Coin"
    for bad in (b"", b"MKR".ljust(32, b"\0"), answer(b"x", size=99), answer(b"\xff")):
        with pytest.raises(RailError):
            text_in(bad, 0)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=60))
def test_a_cursor_stays_short_and_reaches_far_back(steps: list[int]) -> None:
    kept: tuple[tuple[int, str], ...] = ()
    heights: list[int] = []
    height = 0
    for step in steps:
        height += step
        heights.append(height)
        kept = thinned(kept, Block(hex(height), "0xab", "0x0", "0x0", "0x0"))
    assert kept[-1][0] == height
    assert kept[0][0] == heights[0]
    assert [one[0] for one in kept] == sorted({one[0] for one in kept})
    assert len(kept) <= 25
    assert parse_mark(b"") == Mark()
    with pytest.raises(MalformedMessage):
        parse_mark(b"\xff")


def test_keys_differ_by_network_and_account_and_show_nothing() -> None:
    keys, other = RailKeys(b"\x01" * 32, NETWORK), RailKeys(b"\x01" * 32, "eip155:1")
    addresses = {
        keys.treasury.address,
        other.treasury.address,
        keys.deposit("a").address,
        keys.deposit("b").address,
        other.deposit("a").address,
    }
    assert len(addresses) == 5
    assert keys.deposit("a") is keys.deposit("a")
    assert "01" * 32 not in repr(keys)


@pytest.mark.parametrize(
    "change",
    [{"confirmations": -1}, {"tip_wei_min": 10**12}, {"poll_s": 0.0}, {"log_blocks_max": 0}],
)
def test_settings_that_cannot_work(change: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid):
        EvmSettings(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "asset"),
    [
        ("solana:x", "solana:x/token:y"),
        ("eip155:0", f"eip155:0/erc20:{CONTRACT}"),
        (NETWORK, f"{NETWORK}/token:{CONTRACT}"),
        (NETWORK, f"{NETWORK}/erc20:0x12"),
        (NETWORK, f"{NETWORK}/erc20:{CONTRACT[:-1]}0"),
    ],
)
def test_a_network_or_token_of_another_kind_is_refused(network: str, asset: str) -> None:
    with pytest.raises(ConfigInvalid):
        EvmRail(
            network=network,
            tokens=[Token("T", "test", network, asset, 6, "aiUSD")],
            rpc_urls=["http://one.test"],
            seed=bytes(32),
            journal=MemoryJournal(),
            addresses=MemoryDepositAddresses(),
            clock=lambda: 0,
        )
