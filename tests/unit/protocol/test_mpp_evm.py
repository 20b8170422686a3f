"""MPP method `evm`: requests and payloads, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from aisa.identity.evm_key import recover
from aisa.protocol.mpp.evm_charge import ChargeRequest, Split
from aisa.protocol.mpp.evm_charge_payload import PaymentWitness, PermitPayload, parse_charge
from aisa.protocol.mpp.evm_session import EvmSessionRequest, ShareSplit
from aisa.protocol.mpp.evm_session_payload import Granted, SessionOpen, parse_session
from aisa.protocol.permit2 import TokenPermission
from tests.unit.protocol.test_x402_evm import changed
from tests.vectors import evm
from tests.vectors.files import read_vectors
from tests.vectors.typed_oracle import oracle_digest

OURS = read_vectors("mpp_evm.json")


def documents(kind: str) -> list[dict[str, Any]]:
    return [json.loads(case["json"]) for case in OURS[kind]]


AUTHORIZED, PERMITTED, TRANSACTION, HASHED = documents("charge_payloads")
SENT, GRANTED, TOP_UP_SENT, TOP_UP, PLAIN, ADDED, OPENED, DELEGATED, CLOSED = documents(
    "session_payloads"
)
PARSERS: Any = {
    "charge_requests": (ChargeRequest.parse, evm.charge_requests),
    "charge_payloads": (parse_charge, evm.charge_payloads),
    "session_requests": (EvmSessionRequest.parse, evm.session_requests),
    "session_payloads": (parse_session, evm.session_payloads),
}


@pytest.mark.parametrize("kind", PARSERS)
def test_what_is_written_is_read_the_same(kind: str) -> None:
    parse, values = PARSERS[kind]
    assert [parse(case["json"].encode()) for case in OURS[kind]] == values()


@pytest.mark.parametrize(
    ("payload", "path", "value", "named"),
    [
        (AUTHORIZED, "type", "cash", "payload.type is not one of"),
        (AUTHORIZED, "nonce", "0x", "nonce has 0 bytes"),
        (AUTHORIZED, "signature", ..., "signature is missing"),
        (PERMITTED, "transferDetails", [], "does not pair"),
        (PERMITTED, "permit.permitted", [], "does not pair"),
        (PERMITTED, "permit.permitted", [1, 2], "not an object"),
        (PERMITTED, "transferDetails.0.requestedAmount", 1, "requestedAmount is not a string"),
        (PERMITTED, "witness.challengeHash", ..., "challengeHash is missing"),
        (PERMITTED, "permit.nonce", str(2**256), "nonce is not a string of digits"),
        (TRANSACTION, "signature", "0x" + "00" * 4097, "signature is longer"),
        (HASHED, "hash", "0x00", "hash has 1 bytes"),
    ],
)
def test_a_charges_payload_is_whole(
    payload: dict[str, Any], path: str, value: Any, named: str
) -> None:
    with pytest.raises(MalformedMessage, match=named):
        parse_charge(json.dumps(changed(payload, path, value)).encode())


@pytest.mark.parametrize(
    ("payload", "path", "value", "named"),
    [
        (PLAIN, "action", "pay", "payload.action is not one of"),
        (PLAIN, "cumulativeAmount", str(2**128), "cumulativeAmount is not"),
        (SENT, "type", "cash", "neither hash nor transaction"),
        (SENT, "hash", ..., "hash is missing"),
        (SENT, "salt", ..., "salt is missing"),
        (GRANTED, "voucherSignature", ..., "voucherSignature is missing"),
        (GRANTED, "authorization.type", "eip-2612", "is not eip-3009"),
        (GRANTED, "authorizedSigner", "0x1", "authorizedSigner is not an address"),
        (TOP_UP, "additionalDeposit", ..., "additionalDeposit is missing"),
        (ADDED, "deposit.salt", "0x" + "00" * 32, "only the opening"),
        (ADDED, "deposit.action", "close", "neither open nor topUp"),
        (OPENED, "deposit.salt", ..., "salt is missing"),
        (OPENED, "deposit", [], "deposit is not an object"),
        (CLOSED, "signature", ..., "signature is missing"),
    ],
)
def test_a_sessions_payload_is_whole(
    payload: dict[str, Any], path: str, value: Any, named: str
) -> None:
    with pytest.raises(MalformedMessage, match=named):
        parse_session(json.dumps(changed(payload, path, value)).encode())


CHARGE, SESSION = documents("charge_requests")[1], documents("session_requests")[1]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("methodDetails", ..., "methodDetails is missing"),
        ("methodDetails.chainId", "1", "chainId is not an integer"),
        ("methodDetails.chainId", 0, "chainId is not from"),
        ("methodDetails.decimals", 37, "decimals is not from"),
        ("methodDetails.credentialTypes", ["a b"], "credentialTypes"),
        ("methodDetails.credentialTypes", ["a"] * 9, "credentialTypes has more"),
        ("methodDetails.splits", CHARGE["methodDetails"]["splits"] * 6, "splits has more"),
        ("methodDetails.splits.0.memo", "x" * 257, "memo is longer"),
        ("amount", "51", "leave nothing"),
        ("currency", "0x", "currency is not an address"),
    ],
)
def test_a_charge_is_whole(path: str, value: Any, named: str) -> None:
    with pytest.raises(MalformedMessage, match=named):
        ChargeRequest.parse(json.dumps(changed(CHARGE, path, value)).encode())


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("methodDetails.escrowContract", ..., "escrowContract is missing"),
        ("methodDetails.feePayer", "yes", "feePayer is not a boolean"),
        ("methodDetails.splits.0.bps", 10_000, "bps is not from 1 to 9999"),
        ("methodDetails.channelId", "0x00", "channelId has 1 bytes"),
        ("suggestedDeposit", 1, "suggestedDeposit is not a string"),
        ("amount", str(2**128), "amount is not"),
    ],
)
def test_a_session_is_whole(path: str, value: Any, named: str) -> None:
    with pytest.raises(MalformedMessage, match=named):
        EvmSessionRequest.parse(json.dumps(changed(SESSION, path, value)).encode())


def test_splits_leave_something_to_the_recipient() -> None:
    split = Split(evm.PAYER.address, 40)
    request = ChargeRequest(100, evm.TOKEN, evm.SELLER, 1, splits=(split, split))
    assert request.transfers == (
        (evm.SELLER, 20),
        (evm.PAYER.address, 40),
        (evm.PAYER.address, 40),
    )
    with pytest.raises(MalformedMessage, match="leave nothing"):
        ChargeRequest(80, evm.TOKEN, evm.SELLER, 1, splits=(split, split))
    shares = (ShareSplit(evm.SELLER, 5_000), ShareSplit(evm.SELLER, 5_000))
    with pytest.raises(MalformedMessage, match="leave nothing"):
        EvmSessionRequest(1, evm.TOKEN, evm.SELLER, 1, evm.ESCROW, splits=shares)


@pytest.mark.parametrize("count", [1, 2])
def test_a_permit_is_signed_for_one_transfer_or_for_several(count: int) -> None:
    permitted = (TokenPermission(evm.TOKEN, 100),) * count
    payload = PermitPayload(
        permitted, ((evm.SELLER, 100),) * count, 7, evm.AT, PaymentWitness(evm.CHALLENGE), b""
    )
    digest = payload.digest(evm.CHAIN, evm.SELLER)
    each = [{"token": evm.TOKEN, "amount": 100}] * count
    kind = "Permit2, MPP charge" + (" with a split" if count > 1 else "")
    message: Any = {"permitted": each if count > 1 else each[0], "spender": evm.SELLER, "nonce": 7}
    message |= {"deadline": evm.AT, "witness": {"challengeHash": evm.CHALLENGE}}
    domain = evm.exact.permit2_domain(evm.CHAIN)
    assert digest == oracle_digest(kind, domain, message)
    assert recover(digest, evm.PAYER.sign(digest)) == evm.PAYER.address


def test_the_vouchers_signature_has_a_name_of_its_own_beside_another() -> None:
    opened = parse_session(json.dumps(GRANTED).encode())
    assert isinstance(opened, SessionOpen)
    assert isinstance(opened.funding, Granted)
    assert "voucherSignature" in GRANTED
    assert "voucherSignature" not in SENT
