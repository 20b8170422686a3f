"""What the peers' implementations sign and send on EVM networks: read, checked, written the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aisa.identity.evm_key import parse_address, recover
from aisa.protocol import mpp, x402
from aisa.protocol.eip712 import Domain, chain_id_of
from aisa.protocol.mpp.evm_charge import ChargeRequest, challenge_hash
from aisa.protocol.mpp.evm_charge_payload import (
    AuthorizationPayload,
    format_charge,
    parse_charge,
)
from aisa.protocol.strictjson import parse_object
from aisa.protocol.x402.batch import (
    EIP3009_COLLECTOR,
    PERMIT2_COLLECTOR,
    batch_domain,
    claims_digest,
    deposit_nonce,
    refund_digest,
)
from aisa.protocol.x402.batch_payload import (
    ClaimPayload,
    DepositPayload,
    Eip3009Deposit,
    Permit2Deposit,
    RefundPayload,
    SettlePayload,
    VoucherPayload,
    read_batch_payload,
)
from aisa.protocol.x402.batch_state import BatchAnswer, BatchExtra
from aisa.protocol.x402.bazaar import Discovery, HttpInput
from aisa.protocol.x402.exact import (
    EXACT_PROXY,
    UPTO_PROXY,
    Eip3009Payload,
    Permit2Payload,
    read_exact_payload,
)
from tests.vectors.files import read_vectors

SDK = read_vectors("x402_evm_sdk.json")
PYMPP = read_vectors("mpp_evm_pympp.json")


def described(case: dict[str, Any]) -> str:
    return case["description"]


@pytest.mark.parametrize("case", SDK["exact"], ids=described)
def test_exact_payments_of_the_sdk(case: dict[str, Any]) -> None:
    payload = read_exact_payload(case["payload"], scheme=case["scheme"])
    assert payload.to_json() == case["payload"]
    chain_id, asset = chain_id_of(case["network"]), parse_address(case["asset"])
    payer = parse_address(case["payer"])
    assert payload.payer == payer
    token = x402.TokenExtra.read(case["extra"])
    match payload:
        case Eip3009Payload():
            digest = payload.digest(token.domain(chain_id, asset))
            assert token.method == "eip3009"
        case Permit2Payload():
            proxy = UPTO_PROXY if case["scheme"] == "upto" else EXACT_PROXY
            assert payload.permit.spender == proxy
            assert payload.permitted.token == asset
            digest = payload.digest(chain_id)
    assert recover(digest, payload.signature) == payer


@pytest.mark.parametrize("case", SDK["batch"], ids=described)
def test_channels_of_the_sdk(case: dict[str, Any]) -> None:
    chain_id = chain_id_of(case["network"])
    escrow = batch_domain(chain_id)
    token = Domain(
        case["token"]["name"], case["token"]["version"], chain_id, parse_address(case["asset"])
    )
    channel = bytes.fromhex(case["channel"][2:])
    payer, key, receiver = (
        parse_address(case[name]) for name in ("payer", "voucher_key", "receiver_authorizer")
    )
    seen: set[type] = set()
    for document in case["payloads"]:
        payload = read_batch_payload(document)
        assert payload.to_json() == document
        seen.add(type(payload))
        match payload:
            case DepositPayload() | VoucherPayload() | RefundPayload():
                assert payload.config.channel_id(escrow) == payload.voucher.channel == channel
                assert payload.config.voucher_key == key
                assert recover(payload.voucher.digest(escrow), payload.voucher.signature) == key
            case ClaimPayload(claims, signature):
                assert signature is not None
                assert recover(claims_digest(escrow, claims), signature) == receiver
            case SettlePayload():
                pass
        match payload:
            case DepositPayload(config, _, amount, Eip3009Deposit() as deposit):
                digest = deposit.digest(token, config, channel, amount)
                assert recover(digest, deposit.signature) == payer
                moved = deposit.authorization(config, channel, amount, EIP3009_COLLECTOR)
                assert moved.nonce == deposit_nonce(channel, deposit.salt)
                assert "0x" + moved.nonce.hex() == case["deposit_nonce"]
            case DepositPayload(_, _, amount, Permit2Deposit() as deposit):
                assert deposit.permit.spender == PERMIT2_COLLECTOR
                assert (deposit.permitted.amount, deposit.witness.channel) == (amount, channel)
                assert recover(deposit.digest(chain_id), deposit.signature) == payer
            case RefundPayload(amount=int(amount), nonce=int(nonce)):
                assert payload.refund_signature is not None
                assert payload.claim_signature is not None
                assert payload.claims is not None
                digest = refund_digest(escrow, channel, nonce, amount)
                assert recover(digest, payload.refund_signature) == receiver
                digest = claims_digest(escrow, payload.claims)
                assert recover(digest, payload.claim_signature) == receiver
            case _:
                pass
    assert len(seen) == 5


@pytest.mark.parametrize("case", SDK["states"], ids=described)
def test_states_of_the_sdk(case: dict[str, Any]) -> None:
    read = BatchExtra.read if case["kind"] == "offer" else BatchAnswer.read
    # A seller without a voucher writes an empty object, which says the same as none.
    said = {name: value for name, value in case["extra"].items() if value != {}}
    assert read(case["extra"]).to_json() == said


def test_messages_to_a_facilitator() -> None:
    bodies = {case["kind"]: case["body"].encode() for case in SDK["facilitator"]}
    request = x402.FacilitatorRequest.parse(bodies["request"])
    assert json.loads(request.encode()) == json.loads(bodies["request"])
    assert request.payload.accepted == request.requirements
    supported = x402.Supported.parse(bodies["supported"])
    assert json.loads(supported.encode()) == json.loads(bodies["supported"])
    assert [kind.scheme for kind in supported.kinds] == ["exact", "upto"]


def test_extensions_of_the_sdk() -> None:
    cases = {case["description"]: case["extensions"] for case in SDK["extensions"]}
    named = x402.PaymentIdentifier.read(cases["an id"])
    assert named == x402.PaymentIdentifier(required=True, id="pay_0123456789abcdef")
    assert named.to_json()["info"] == cases["an id"]["payment-identifier"]["info"]
    query = Discovery.read(cases["a query"])
    assert query == Discovery(HttpInput(None, {"city": "Basel"}), "json", {"c": 21})
    body = Discovery.read(cases["a body"])
    assert body == Discovery(HttpInput(None, body_type="json", body={"text": "x"}))
    for told, name in ((query, "a query"), (body, "a body")):
        assert told.to_json()["info"] == cases[name]["bazaar"]["info"]


@pytest.mark.parametrize("case", PYMPP["hashes"], ids=described)
def test_challenge_hashes_of_pympp(case: dict[str, Any]) -> None:
    assert "0x" + challenge_hash(case["id"], case["realm"]).hex() == case["hash"]


@pytest.mark.parametrize("case", PYMPP["credentials"], ids=described)
def test_charges_of_pympp(case: dict[str, Any]) -> None:
    credential = mpp.parse_credential(case["value"])
    assert credential.challenge.is_issued_by(case["secret"].encode())
    assert credential.source == case["source"]
    request = ChargeRequest.parse(credential.challenge.request)
    assert request.types == ("authorization",)
    payload = parse_charge(credential.payload)
    assert format_charge(payload) == credential.payload
    assert parse_object(format_charge(payload)) == case["payload"]
    assert isinstance(payload, AuthorizationPayload)
    moved = payload.authorization
    assert moved.nonce == challenge_hash(credential.challenge.id, credential.challenge.realm)
    assert request.transfers == ((moved.to, moved.value),)
    token = Domain(
        case["token"]["name"], case["token"]["version"], request.chain_id, request.currency
    )
    assert recover(payload.digest(token), payload.signature) == parse_address(case["payer"])
    said = {name: value for name, value in case["request"].items() if name != "extra"}
    assert json.loads(request.format()) == said
