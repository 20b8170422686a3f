"""Every typed digest is the one that eth-account makes, whatever the members are."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from aisa.protocol.eip712 import Domain
from aisa.protocol.evm_authorization import Allowance, Authorization
from aisa.protocol.mpp.evm_charge_payload import PaymentWitness
from aisa.protocol.mpp.evm_session import SessionChannel, session_domain, session_voucher_digest
from aisa.protocol.permit2 import Permit, TokenPermission, Witness, permit2_domain
from aisa.protocol.x402.attestation import OfferTerms, ReceiptTerms
from aisa.protocol.x402.batch import (
    ChannelConfig,
    Claim,
    batch_domain,
    claims_digest,
    deposit_nonce,
    refund_digest,
    voucher_digest,
)
from aisa.protocol.x402.batch_payload import DepositWitness
from aisa.protocol.x402.exact import TransferWitness
from tests.vectors.typed_oracle import oracle_digest

addresses = st.binary(min_size=20, max_size=20)
words = st.binary(min_size=32, max_size=32)
uint256 = st.integers(0, 2**256 - 1)
uint128 = st.integers(0, 2**128 - 1)
uint40 = st.integers(0, 2**40 - 1)
chains = st.integers(1, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
tokens = st.builds(Domain, texts, st.none() | texts, chains, st.none() | addresses)
escrows = st.builds(batch_domain, chains, addresses)
configs = st.builds(
    ChannelConfig, addresses, addresses, addresses, addresses, addresses, uint40, words
)
moves = st.builds(Authorization, addresses, addresses, uint256, uint256, uint256, words)

EXAMPLES = settings(max_examples=40, deadline=None)


def config_message(config: ChannelConfig) -> dict[str, Any]:
    return {
        "payer": config.payer,
        "payerAuthorizer": config.payer_authorizer,
        "receiver": config.receiver,
        "receiverAuthorizer": config.receiver_authorizer,
        "token": config.token,
        "withdrawDelay": config.withdraw_delay_s,
        "salt": config.salt,
    }


def move_message(move: Authorization) -> dict[str, Any]:
    return {
        "from": move.payer,
        "to": move.to,
        "value": move.value,
        "validAfter": move.valid_after,
        "validBefore": move.valid_before,
        "nonce": move.nonce,
    }


@EXAMPLES
@given(escrows, configs)
def test_channel_id(escrow: Domain, config: ChannelConfig) -> None:
    expected = oracle_digest("x402 ChannelConfig", escrow, config_message(config))
    assert config.channel_id(escrow) == expected


@EXAMPLES
@given(escrows, words, uint128, uint256)
def test_voucher_and_refund(escrow: Domain, channel: bytes, amount: int, nonce: int) -> None:
    message = {"channelId": channel, "maxClaimableAmount": amount}
    assert voucher_digest(escrow, channel, amount) == oracle_digest("x402 Voucher", escrow, message)
    refund = {"channelId": channel, "nonce": nonce, "amount": amount}
    expected = oracle_digest("x402 Refund", escrow, refund)
    assert refund_digest(escrow, channel, nonce, amount) == expected
    session = session_domain(escrow.chain_id, escrow.contract or b"")
    message = {"channelId": channel, "cumulativeAmount": amount}
    expected = oracle_digest("MPP session Voucher", session, message)
    assert session_voucher_digest(session, channel, amount) == expected


@EXAMPLES
@given(escrows, st.lists(st.builds(Claim, configs, uint128, st.just(b""), uint128), max_size=4))
def test_claims(escrow: Domain, claims: list[Claim]) -> None:
    entries = [
        {
            "channelId": claim.config.channel_id(escrow),
            "maxClaimableAmount": claim.ceiling,
            "totalClaimed": claim.claimed,
        }
        for claim in claims
    ]
    if not entries:
        # eth-account hashes no entry as 32 zeros; EIP-712 says the hash of nothing.
        assert claims_digest(escrow, claims) == claims_digest(escrow, ())
        return
    expected = oracle_digest("x402 ClaimBatch", escrow, {"claims": entries})
    assert claims_digest(escrow, claims) == expected


@EXAMPLES
@given(tokens, moves)
def test_authorizations(token: Domain, move: Authorization) -> None:
    message = move_message(move)
    assert token.digest(move.transfer_hash()) == oracle_digest("EIP-3009 transfer", token, message)
    assert token.digest(move.receive_hash()) == oracle_digest("EIP-3009 receive", token, message)


@EXAMPLES
@given(tokens, st.builds(Allowance, addresses, addresses, uint256, uint256, uint256))
def test_allowance(token: Domain, allowance: Allowance) -> None:
    message = {
        "owner": allowance.owner,
        "spender": allowance.spender,
        "value": allowance.value,
        "nonce": allowance.nonce,
        "deadline": allowance.deadline,
    }
    expected = oracle_digest("EIP-2612 Permit", token, message)
    assert token.digest(allowance.permit_hash()) == expected


witnesses = st.one_of(
    st.tuples(
        st.just("Permit2, x402 exact"), st.builds(TransferWitness, addresses, uint256, st.none())
    ),
    st.tuples(
        st.just("Permit2, x402 upto"), st.builds(TransferWitness, addresses, uint256, addresses)
    ),
    st.tuples(st.just("Permit2, x402 deposit"), st.builds(DepositWitness, words)),
    st.tuples(st.just("Permit2, MPP charge"), st.builds(PaymentWitness, words)),
)


def witness_message(witness: Any) -> dict[str, Any]:
    match witness:
        case TransferWitness(to, valid_after, None):
            return {"to": to, "validAfter": valid_after}
        case TransferWitness(to, valid_after, facilitator):
            return {"to": to, "facilitator": facilitator, "validAfter": valid_after}
        case DepositWitness(channel):
            return {"channelId": channel}
        case _:
            return {"challengeHash": witness.challenge}


@EXAMPLES
@given(
    chains,
    st.builds(Permit, addresses, uint256, uint256),
    st.lists(st.builds(TokenPermission, addresses, uint256), min_size=1, max_size=3),
    witnesses,
)
def test_permit2(
    chain_id: int, permit: Permit, permitted: list[TokenPermission], named: tuple[str, Witness]
) -> None:
    kind, witness = named
    domain = permit2_domain(chain_id)
    each = [{"token": one.token, "amount": one.amount} for one in permitted]
    message: dict[str, Any] = {
        "permitted": each[0],
        "spender": permit.spender,
        "nonce": permit.nonce,
        "deadline": permit.deadline,
        "witness": witness_message(witness),
    }
    made = domain.digest(permit.transfer_hash(permitted[0], witness))
    assert made == oracle_digest(kind, domain, message)
    if isinstance(witness, PaymentWitness):
        message["permitted"] = each
        expected = oracle_digest("Permit2, MPP charge with a split", domain, message)
        assert domain.digest(permit.batch_hash(permitted, witness)) == expected


@EXAMPLES
@given(st.lists(texts, min_size=6, max_size=6), uint256)
def test_offers_and_receipts(said: list[str], at: int) -> None:
    url, scheme, network, asset, pay_to, amount = said
    offer = OfferTerms(url, scheme, network, asset, pay_to, amount, at)
    message: dict[str, Any] = {
        "version": 1,
        "resourceUrl": url,
        "scheme": scheme,
        "network": network,
        "asset": asset,
        "payTo": pay_to,
        "amount": amount,
        "validUntil": at,
    }
    domain = Domain("x402 offer", "1", 1, None)
    assert offer.digest() == oracle_digest("x402 Offer", domain, message)
    receipt = ReceiptTerms(network, url, asset, at, pay_to)
    message = {
        "version": 1,
        "network": network,
        "resourceUrl": url,
        "payer": asset,
        "issuedAt": at,
        "transaction": pay_to,
    }
    domain = Domain("x402 receipt", "1", 1, None)
    assert receipt.digest() == oracle_digest("x402 Receipt", domain, message)


@EXAMPLES
@given(words, words, st.lists(addresses, min_size=5, max_size=5), chains)
def test_what_is_hashed_as_a_contract_does(
    channel: bytes, salt: bytes, parties: list[bytes], chain_id: int
) -> None:
    packed = abi_encode(["bytes32", "uint256"], [channel, int.from_bytes(salt)])
    assert deposit_nonce(channel, salt) == keccak(packed)
    payer, payee, token, signer, contract = parties
    kinds = ["address", "address", "address", "bytes32", "address", "address", "uint256"]
    packed = abi_encode(kinds, [payer, payee, token, salt, signer, contract, chain_id])
    session = SessionChannel(payer, payee, token, salt, signer)
    assert session.channel_id(chain_id, contract) == keccak(packed)
