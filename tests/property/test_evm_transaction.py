"""EIP-1559 transactions are those of eth-account, byte for byte; RLP has one spelling."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hypothesis import given, settings
from hypothesis import strategies as st
from rlp import encode as oracle_encode  # pyright: ignore

from aisa.errors import MalformedMessage
from aisa.identity.evm_key import EvmKey, format_address, recover
from aisa.protocol import rlp
from aisa.protocol.evm_transaction import Transaction, parse_transaction, transaction_hash

KEY = EvmKey(bytes(range(1, 33)))
uint256 = st.integers(0, 2**256 - 1)
uint64 = st.integers(0, 2**64 - 1)
transactions = st.builds(
    Transaction,
    st.integers(0, 2**53 - 1),
    uint64,
    uint256,
    uint256,
    uint64,
    st.binary(min_size=20, max_size=20),
    uint256,
    st.binary(max_size=300),
)
items = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12
)
EXAMPLES = settings(max_examples=60, deadline=None)


@EXAMPLES
@given(transactions)
def test_it_is_signed_and_written_as_eth_account_does(made: Transaction) -> None:
    members: dict[str, Any] = {
        "type": 2,
        "chainId": made.chain_id,
        "nonce": made.nonce,
        "maxPriorityFeePerGas": made.tip_wei_max,
        "maxFeePerGas": made.fee_wei_max,
        "gas": made.gas_max,
        "to": made.to,
        "value": made.value_wei,
        "data": made.data,
    }
    assert bytes(TypedTransaction.from_dict(members).hash()) == made.digest()
    signed = Account.from_key(bytes(range(1, 33))).sign_transaction(
        {**members, "to": format_address(made.to)}
    )
    raw = made.signed(KEY.sign(made.digest()))
    assert raw == bytes(signed.raw_transaction)
    assert transaction_hash(raw) == bytes(signed.hash)
    parsed, signature = parse_transaction(raw)
    assert parsed == made
    assert recover(parsed.digest(), signature) == KEY.address
    assert parsed.signed(signature) == raw


def depth(item: Any) -> int:
    return 0 if isinstance(item, bytes) else 1 + max(map(depth, item), default=0)


@EXAMPLES
@given(items)
def test_rlp_is_that_of_another_implementation(item: Any) -> None:
    written = rlp.encode(item)
    assert written == oracle_encode(item)
    if depth(item) > rlp.DEPTH_MAX:
        with pytest.raises(MalformedMessage, match="nested deeper"):
            rlp.decode(written)
    else:
        assert rlp.decode(written) == item


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_rlp_has_one_spelling(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except MalformedMessage:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "missing"),
        (b"\x81\x05", "stands for itself"),
        (b"\xb8\x05hello", "long head"),
        (b"\xb9\x00\x38" + bytes(56), "leading zero"),
        (b"\x83ab", "longer than"),
        (b"\xc3\x83ab", "longer than"),
        (b"\x01\x02", "behind the item"),
        (b"\xff" + b"\xff" * 8, "longer than"),
        (b"\xc9\xc8\xc7\xc6\xc5\xc4\xc3\xc2\xc1\xc0", "nested deeper"),
    ],
)
def test_other_spellings_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        rlp.decode(data)


GOOD = Transaction(1, 2, 3, 4, 5, bytes(20), 6, b"data")


def members(*, at: int, value: Any) -> bytes:
    _, signature = parse_transaction(GOOD.signed(KEY.sign(GOOD.digest())))
    raw: list[Any] = list(rlp.decode(GOOD.signed(signature)[1:]))
    raw[at] = value
    return b"\x02" + rlp.encode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01" + GOOD.signed(KEY.sign(GOOD.digest()))[1:],
        b"\x02" + rlp.encode(b"text"),
        b"\x02" + rlp.encode((b"a", b"b")),
        b"\x02" + bytes(128 * 1024),
        members(at=8, value=((bytes(20), ()),)),
        members(at=7, value=()),
        members(at=5, value=b""),
        members(at=9, value=b"\x02"),
        members(at=10, value=b"\x01" * 33),
        members(at=1, value=b"\x01" * 9),
        members(at=0, value=b"\0"),
    ],
)
def test_what_is_not_such_a_transaction_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_transaction(raw)


def test_a_signature_has_65_bytes_and_a_v() -> None:
    for signature in (bytes(64), bytes(65), bytes(64) + b"\x1d"):
        with pytest.raises(MalformedMessage, match="signature"):
            GOOD.signed(signature)
