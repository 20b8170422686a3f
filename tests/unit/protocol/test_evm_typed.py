"""Typed data: the vectors as eth-account makes them, and what cannot be hashed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from aisa.errors import MalformedMessage
from aisa.protocol.eip712 import (
    Domain,
    address_word,
    bytes_word,
    chain_id_of,
    evm_network,
    text_word,
    uint_word,
)
from aisa.protocol.evm_address import format_bytes, parse_bytes
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.permit2 import permit2_domain
from aisa.protocol.x402 import batch
from tests.vectors import evm
from tests.vectors.files import read_vectors
from tests.vectors.typed_oracle import TYPES, oracle_digest

VECTORS = read_vectors("evm_typed.json")
CASES = {case["description"]: case for case in VECTORS["cases"]}


def messages() -> dict[str, tuple[Domain, dict[str, Any]]]:
    """Return every vector's domain and members, written out by hand."""
    config = evm.CONFIG
    move = {
        "from": evm.PAYER.address,
        "to": evm.SELLER,
        "value": 100,
        "validAfter": 0,
        "validBefore": evm.AT,
        "nonce": evm.seed("nonce"),
    }
    permitted = {"token": evm.TOKEN, "amount": 100}
    permit = {"permitted": permitted, "nonce": evm.NUMBER, "deadline": evm.AT}
    domain = permit2_domain(evm.CHAIN)
    paid = {"challengeHash": evm.CHALLENGE}
    to = {"to": evm.SELLER, "validAfter": 0}
    several = {**permit, "permitted": [permitted, permitted], "witness": paid}
    entries = [
        {"channelId": evm.CHANNEL, "maxClaimableAmount": 4200, "totalClaimed": n}
        for n in (4200, 17)
    ]
    return {
        "x402 ChannelConfig": (
            evm.ESCROW_DOMAIN,
            {
                "payer": config.payer,
                "payerAuthorizer": config.payer_authorizer,
                "receiver": config.receiver,
                "receiverAuthorizer": config.receiver_authorizer,
                "token": config.token,
                "withdrawDelay": 900,
                "salt": config.salt,
            },
        ),
        "x402 Voucher": (
            evm.ESCROW_DOMAIN,
            {"channelId": evm.CHANNEL, "maxClaimableAmount": 4200},
        ),
        "x402 Refund": (
            evm.ESCROW_DOMAIN,
            {"channelId": evm.CHANNEL, "nonce": 3, "amount": 17},
        ),
        "x402 ClaimBatch": (evm.ESCROW_DOMAIN, {"claims": entries}),
        "EIP-3009 transfer": (evm.TOKEN_DOMAIN, move),
        "EIP-3009 receive": (evm.TOKEN_DOMAIN, move),
        "EIP-2612 Permit": (
            evm.TOKEN_DOMAIN,
            {
                "owner": evm.PAYER.address,
                "spender": evm.ESCROW,
                "value": 2**256 - 1,
                "nonce": 7,
                "deadline": evm.AT,
            },
        ),
        "Permit2, x402 exact": (
            domain,
            {
                **permit,
                "spender": bytes.fromhex("402085c248EeA27D92E8b30b2C58ed07f9E20001"),
                "witness": to,
            },
        ),
        "Permit2, x402 upto": (
            domain,
            {
                **permit,
                "spender": bytes.fromhex("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"),
                "witness": {**to, "facilitator": evm.address("facilitator")},
            },
        ),
        "Permit2, x402 deposit": (
            domain,
            {
                **permit,
                "spender": bytes.fromhex("4020425FAf3B746C082C2f942b4E5159887B0005"),
                "witness": {"channelId": evm.CHANNEL},
            },
        ),
        "Permit2, MPP charge": (domain, {**permit, "spender": evm.SELLER, "witness": paid}),
        "Permit2, MPP charge with a split": (domain, {**several, "spender": evm.SELLER}),
        "MPP session Voucher": (
            Domain("EVM Payment Channel", "1", evm.CHAIN, evm.ESCROW),
            {"channelId": evm.SESSION_ID, "cumulativeAmount": 4200},
        ),
        "x402 Offer": (
            Domain("x402 offer", "1", 1, None),
            {"version": 1, "validUntil": evm.AT, **_said(evm.OFFER.to_json(), "validUntil")},
        ),
        "x402 Receipt": (Domain("x402 receipt", "1", 1, None), dict(evm.RECEIPT.to_json())),
    }


def _said(document: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in without}


@pytest.mark.parametrize("kind", TYPES)
def test_the_vectors_are_what_eth_account_hashes_and_signs(kind: str) -> None:
    domain, message = messages()[kind]
    case = CASES[kind]
    assert oracle_digest(kind, domain, message).hex() == case["digest"]
    if case["signer"]:
        account = Account.from_key(bytes.fromhex(VECTORS["seeds"][case["signer"]]))
        assert account.address == VECTORS["accounts"][case["signer"]]
        signed = account.unsafe_sign_hash(bytes.fromhex(case["digest"]))
        assert bytes(signed.signature).hex() == case["signature"]


def test_every_kind_has_a_vector() -> None:
    assert set(CASES) == set(TYPES)


def test_a_domain_is_hashed_once() -> None:
    one, other = (Domain("AISA", "1", 1, bytes(20)) for _ in range(2))
    assert one.separator is other.separator


@pytest.mark.parametrize(
    "hash_it",
    [
        lambda: Domain("a", "1", -1, bytes(20)).separator,
        lambda: Domain("a", "1", 2**53, bytes(20)).separator,
        lambda: Domain("a", "1", 1, bytes(19)).separator,
        lambda: text_word("\ud800"),
        lambda: address_word(bytes(21)),
        lambda: bytes_word(bytes(31)),
        lambda: uint_word(-1),
        lambda: uint_word(2**256),
        lambda: batch.voucher_digest(evm.ESCROW_DOMAIN, bytes(31), 1),
        lambda: batch.voucher_digest(evm.ESCROW_DOMAIN, bytes(32), 2**128),
        lambda: batch.voucher_digest(evm.ESCROW_DOMAIN, bytes(32), -1),
        lambda: batch.refund_digest(evm.ESCROW_DOMAIN, bytes(32), 0, 2**128),
        lambda: Authorization(bytes(20), bytes(20), 2**256, 0, 0, bytes(32)).transfer_hash(),
    ],
)
def test_what_does_not_fit_is_refused(hash_it: Any) -> None:
    with pytest.raises(MalformedMessage):
        hash_it()


@pytest.mark.parametrize(
    "network",
    ["eip155", "eip155:", "eip155:0", "eip155:01", "eip155:-1", "eip155:x", "eip155:\u0661",
     "eip155:9007199254740992", "eip155:99999999999999999999", "solana:1", "1", "EIP155:1"],
)  # fmt: skip
def test_a_network_is_eip155_and_a_number(network: str) -> None:
    with pytest.raises(MalformedMessage):
        chain_id_of(network)


def test_networks_and_bytes_have_one_spelling() -> None:
    assert chain_id_of(evm_network(31_337)) == 31_337
    assert parse_bytes(format_bytes(b"\x0f\xa0"), "it", bytes_max=2) == b"\x0f\xa0"
    for text in ("0x0", "0xzz", "0Xff", "ff", "0xffffff"):
        with pytest.raises(MalformedMessage, match="it "):
            parse_bytes(text, "it", bytes_max=2)
