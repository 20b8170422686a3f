"""Vouchers are signed as the network that holds the deposit checks them, and no other way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisa.channel.payee import PayeeChannel
from aisa.channel.payee_check import HubExposure
from aisa.channel.store import ChannelRow, ChannelState
from aisa.channel.voucher import (
    EscrowVoucherKey,
    EscrowVouchers,
    HubVoucherKey,
    HubVouchers,
    check_voucher,
    scheme_of,
)
from aisa.errors import MalformedMessage, VoucherRefused
from aisa.identity import SigningKey, verify_signature
from aisa.identity.evm_key import EvmKey, recover
from aisa.protocol.aip import ChannelTerms, Voucher, escrow_of, escrow_terms, holder_of
from aisa.protocol.escrow import ChannelConfig, batch_domain
from tests.vectors import evm
from tests.vectors.typed_oracle import oracle_digest

HUB_PAYER = SigningKey(bytes(range(32)))
TERMS = escrow_terms(
    evm.NETWORK,
    evm.ESCROW,
    payer=HUB_PAYER.public_key,
    payee=bytes(32),
    currency="aiUSD",
    salt=bytes(16),
    config=evm.CONFIG,
)
CHANNEL = TERMS.channel_id
EXAMPLES = settings(max_examples=40, deadline=None)
ceilings = st.integers(0, 2**63 - 1)
channels = st.binary(min_size=32, max_size=32)


@EXAMPLES
@given(channels, ceilings)
def test_at_a_hub_it_is_50_bytes_under_the_payers_key(channel: bytes, ceiling: int) -> None:
    voucher = HubVoucherKey(HUB_PAYER).voucher(channel, ceiling)
    assert voucher.signature == HUB_PAYER.sign(Voucher(channel, ceiling).message())
    assert len(voucher.pack()) == 114
    assert HubVouchers(HUB_PAYER.public_key).is_signed(Voucher.decode(voucher.encode()))
    assert verify_signature(HUB_PAYER.public_key, voucher.message(), voucher.signature)


@EXAMPLES
@given(channels, ceilings)
def test_in_a_contract_it_is_the_contracts_typed_data(channel: bytes, ceiling: int) -> None:
    voucher = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS).voucher(channel, ceiling)
    message = {"channelId": channel, "maxClaimableAmount": ceiling}
    digest = oracle_digest("x402 Voucher", evm.ESCROW_DOMAIN, message)
    assert recover(digest, voucher.signature) == evm.VOUCHERS.address
    assert len(voucher.pack()) == 115
    read = Voucher.decode(voucher.encode())
    assert read == voucher
    assert EscrowVouchers(evm.ESCROW_DOMAIN, evm.VOUCHERS.address).is_signed(read)


@EXAMPLES
@given(
    st.sampled_from(["channel", "ceiling", "key", "chain", "contract", "v", "half", "size"]),
    st.integers(1, 2**63 - 1),
)
def test_a_signature_is_for_one_ceiling_of_one_channel_of_one_contract(
    what: str, ceiling: int
) -> None:
    voucher = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS).voucher(CHANNEL, ceiling)
    key, escrow = evm.VOUCHERS.address, evm.ESCROW_DOMAIN
    signed = voucher.signature
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = (order - int.from_bytes(signed[32:64])).to_bytes(32)
    changes: dict[str, Any] = {
        "channel": {"channel": bytes(32)},
        "ceiling": {"ceiling": ceiling - 1},
        "v": {"signature": signed[:64] + bytes((signed[64] ^ 7,))},
        "half": {"signature": signed[:32] + twin + bytes((55 - signed[64],))},
        "size": {"signature": signed[:64]},
    }
    match what:
        case "key":
            key = evm.PAYER.address
        case "chain":
            escrow = batch_domain(evm.CHAIN + 1, evm.ESCROW)
        case "contract":
            escrow = batch_domain(evm.CHAIN, evm.SELLER)
        case _:
            voucher = replace(voucher, **changes[what])
    assert not EscrowVouchers(escrow, key).is_signed(voucher)


def test_one_schemes_signature_is_worth_nothing_in_the_other() -> None:
    at_hub = HubVoucherKey(HUB_PAYER).voucher(CHANNEL, 7)
    in_contract = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS).voucher(CHANNEL, 7)
    assert not EscrowVouchers(evm.ESCROW_DOMAIN, evm.VOUCHERS.address).is_signed(at_hub)
    assert not HubVouchers(HUB_PAYER.public_key).is_signed(in_contract)


def test_the_terms_say_which_scheme() -> None:
    hub = scheme_of("aisa:x", bytes(32), HUB_PAYER.public_key, None)
    assert isinstance(hub, HubVouchers)
    scheme = scheme_of(TERMS.network, TERMS.holder, TERMS.payer, TERMS.config)
    assert isinstance(scheme, EscrowVouchers)
    made = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS).voucher(CHANNEL, 7)
    assert scheme.is_signed(made)
    own = replace(evm.CONFIG, payer_authorizer=bytes(20))
    scheme = scheme_of(TERMS.network, TERMS.holder, TERMS.payer, own)
    assert scheme.is_signed(EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.PAYER).voucher(CHANNEL, 7))


def test_a_voucher_is_refused_for_a_reason() -> None:
    key = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS)
    scheme = EscrowVouchers(evm.ESCROW_DOMAIN, evm.VOUCHERS.address)
    made = key.voucher(CHANNEL, 100)
    check_voucher(made, scheme, 100)
    with pytest.raises(VoucherRefused, match="above the deposit"):
        check_voucher(made, scheme, 99)
    with pytest.raises(VoucherRefused, match="no expiry"):
        check_voucher(replace(made, expiry=1), scheme, 100)
    with pytest.raises(VoucherRefused, match="not the payer's"):
        check_voucher(replace(made, ceiling=99), scheme, 100)


def test_the_contracts_id_names_the_terms() -> None:
    assert TERMS.config is not None
    assert TERMS.config.salt == TERMS.hash
    assert TERMS.holder == holder_of(evm.ESCROW)
    assert escrow_of(TERMS.network, TERMS.holder) == evm.ESCROW_DOMAIN
    assert TERMS.config.channel_id(evm.ESCROW_DOMAIN) == CHANNEL
    changes: list[dict[str, Any]] = [
        {"network": "eip155:1"},
        {"holder": holder_of(evm.SELLER)},
        {"payer": bytes(32)},
        {"payee": bytes([1]) * 32},
        {"currency": "USDC"},
        {"salt": bytes([1]) * 16},
    ]
    for change in changes:
        with pytest.raises(MalformedMessage, match="not the hash of its terms"):
            replace(TERMS, **change)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": None}, "has the config of its contract"),
        ({"network": "aisa:x"}, "not an EVM network"),
        ({"network": "eip155:x"}, "not an EVM network"),
        ({"holder": bytes([1]) * 32}, "padded address"),
    ],
)
def test_a_config_is_where_a_contract_is(change: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        replace(TERMS, **change)
    assert ChannelTerms("solana:x", bytes(32), bytes(32), bytes(32), "aiUSD", bytes(16)).channel_id


def test_a_config_is_kept_in_137_bytes() -> None:
    assert ChannelConfig.unpack(evm.CONFIG.pack()) == evm.CONFIG
    assert len(evm.CONFIG.pack()) == 137
    with pytest.raises(MalformedMessage, match="137"):
        ChannelConfig.unpack(evm.CONFIG.pack()[1:])


def test_a_stored_channel_knows_its_scheme() -> None:
    assert TERMS.config is not None
    row = ChannelRow(
        1, CHANNEL, TERMS.network, TERMS.holder, TERMS.payer, "aiUSD", TERMS.salt, 0, 0, 1000, 0,
        b"", 0, 0, 0, 0, ChannelState.OPEN, 0, TERMS.config.pack(),
    )  # fmt: skip
    channel = PayeeChannel(row, HubExposure(TERMS.network, TERMS.holder, 0, 1000), is_stored=True)
    key = EscrowVoucherKey(evm.ESCROW_DOMAIN, evm.VOUCHERS)
    assert channel.accept_voucher(key.voucher(CHANNEL, 400))
    assert not channel.accept_voucher(key.voucher(CHANNEL, 300))
    with pytest.raises(VoucherRefused):
        channel.accept_voucher(HubVoucherKey(HUB_PAYER).voucher(CHANNEL, 500))
    other = EscrowVoucherKey(evm.ESCROW_DOMAIN, EvmKey(bytes(31) + b"\1"))
    with pytest.raises(VoucherRefused):
        channel.accept_voucher(other.voucher(CHANNEL, 500))
    assert channel.row(1).escrow == TERMS.config.pack()
    assert (channel.ceiling, len(channel.voucher_signature)) == (400, 65)
