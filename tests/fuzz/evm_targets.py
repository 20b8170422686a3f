"""The parsers of EVM networks: how to call each, how to write its value back, and where to start."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from aisa.identity.evm_key import format_address, parse_address
from aisa.protocol import jcs, rlp, x402
from aisa.protocol.eip712 import chain_id_of, evm_network
from aisa.protocol.evm_transaction import Transaction, parse_transaction
from aisa.protocol.mpp.evm_charge import ChargeRequest
from aisa.protocol.mpp.evm_charge_payload import format_charge, parse_charge
from aisa.protocol.mpp.evm_session import EvmSessionRequest
from aisa.protocol.mpp.evm_session_payload import format_session, parse_session
from aisa.protocol.strictjson import JsonObject, format_json, parse_object
from aisa.protocol.x402.attestation import (
    Attested,
    offers_extension,
    read_offers,
    read_receipt,
    receipt_extension,
    sign_jws,
)
from aisa.protocol.x402.batch_payload import read_batch_payload
from aisa.protocol.x402.batch_state import BatchAnswer, BatchExtra
from aisa.protocol.x402.bazaar import Discovery
from aisa.protocol.x402.exact import UPTO, read_exact_payload
from tests.vectors import evm
from tests.vectors.files import read_vectors

SDK = read_vectors("x402_evm_sdk.json")
OURS = read_vectors("mpp_evm.json")

Case: TypeAlias = tuple[str, Callable[[Any], Any], Callable[[Any], Any], tuple[Any, ...]]


def _of_object(read: Callable[[JsonObject], Any]) -> Callable[[bytes], Any]:
    return lambda raw: read(parse_object(raw))


def _to_object(value: Any) -> bytes:
    return format_json(value.to_json()).encode()


def _of_extension(name: str, read: Callable[[JsonObject], Any]) -> Callable[[bytes], Any]:
    return lambda raw: read({name: parse_object(raw)})


def _raw(document: Any) -> bytes:
    return json.dumps(document).encode()


def _sdk(section: str, name: str, **where: str) -> tuple[bytes, ...]:
    chosen = (
        one for one in SDK[section] if all(one[member] == text for member, text in where.items())
    )
    return tuple(_raw(one[name]) for one in chosen)


def _texts(kind: str) -> tuple[bytes, ...]:
    return tuple(case["json"].encode() for case in OURS[kind])


def _attested() -> tuple[list[Attested], list[Attested]]:
    key = evm.PAYER
    offer, receipt = evm.OFFER, evm.RECEIPT
    kid = "did:key:z6Mk#z6Mk"
    return (
        [Attested(offer, key.sign(offer.digest())), sign_jws(offer, kid, lambda _: b"\x01" * 64)],
        [Attested(receipt, key.sign(receipt.digest())), sign_jws(receipt, kid, lambda _: b"\x02")],
    )


def _extensions(name: str) -> tuple[bytes, ...]:
    return tuple(
        _raw(case["extensions"][name]) for case in SDK["extensions"] if name in case["extensions"]
    )


_MCP: Any = {
    "info": {
        "input": {
            "type": "mcp",
            "toolName": "rates",
            "inputSchema": {"type": "object"},
            "transport": "sse",
            "description": "Rates",
            "example": {"city": "Basel"},
        },
        "output": {"type": "json", "example": [1]},
    }
}


def _sent() -> tuple[bytes, ...]:
    unsigned = (
        Transaction(evm.CHAIN, 7, 10**9, 10**10, 21_000, evm.TOKEN, 0, evm.seed("data") * 2),
        Transaction(1, 0, 0, 0, 0, bytes(20), 10**18, b""),
    )
    return tuple(one.signed(evm.PAYER.sign(one.digest())) for one in unsigned)


def json_cases() -> list[Case]:
    """Return name, parser, writer and seeds of what reads a JSON document."""
    offers, receipts = _attested()
    payloads = tuple(_raw(one) for case in SDK["batch"] for one in case["payloads"])
    bodies = {case["kind"]: case["body"].encode() for case in SDK["facilitator"]}
    return [
        ("x402-exact", _of_object(read_exact_payload), _to_object,
         _sdk("exact", "payload", scheme="exact")),
        ("x402-upto", _of_object(lambda one: read_exact_payload(one, scheme=UPTO)), _to_object,
         _sdk("exact", "payload", scheme="upto")),
        ("x402-batch", _of_object(read_batch_payload), _to_object, payloads),
        ("x402-batch-offer", _of_object(BatchExtra.read), _to_object,
         _sdk("states", "extra", kind="offer")),
        ("x402-batch-answer", _of_object(BatchAnswer.read), _to_object,
         _sdk("states", "extra", kind="answer")),
        ("x402-token", _of_object(x402.TokenExtra.read), _to_object,
         (*_sdk("exact", "extra"), b'{"name":"a","version":"1","paymentFlow":"upfront"}')),
        ("x402-facilitator", x402.FacilitatorRequest.parse, x402.FacilitatorRequest.encode,
         (bodies["request"],)),
        ("x402-supported", x402.Supported.parse, x402.Supported.encode, (bodies["supported"],)),
        ("x402-identifier", _of_extension("payment-identifier", x402.PaymentIdentifier.read),
         _to_object, _extensions("payment-identifier")),
        ("x402-bazaar", _of_extension("bazaar", Discovery.read), _to_object,
         (*_extensions("bazaar"), _raw(_MCP))),
        ("x402-offers", _of_extension("offer-receipt", read_offers),
         lambda found: jcs.canonical(offers_extension(list(found))),
         (_raw(offers_extension(offers)),)),
        ("x402-receipt", _of_extension("offer-receipt", read_receipt),
         lambda found: jcs.canonical(receipt_extension(found)),
         tuple(_raw(receipt_extension(one)) for one in receipts)),
        ("mpp-evm-charge", ChargeRequest.parse, ChargeRequest.format, _texts("charge_requests")),
        ("mpp-evm-charge-payload", parse_charge, format_charge, _texts("charge_payloads")),
        ("mpp-evm-session", EvmSessionRequest.parse, EvmSessionRequest.format,
         _texts("session_requests")),
        ("mpp-evm-session-payload", parse_session, format_session, _texts("session_payloads")),
    ]  # fmt: skip


def text_cases() -> list[Case]:
    """Return name, parser, writer and seeds of what reads one line, or bytes."""
    addresses = tuple(
        spelled(format_address(key))
        for key in (evm.TOKEN, evm.SELLER, bytes(20))
        for spelled in (str, str.lower)
    )
    return [
        ("evm-address", parse_address, format_address, addresses),
        ("evm-transaction", parse_transaction, lambda found: found[0].signed(found[1]), _sent()),
        ("rlp", rlp.decode, rlp.encode, tuple(raw[1:] for raw in _sent())),
        ("evm-network", chain_id_of, evm_network, ("eip155:1", "eip155:31337", "eip155:8453")),
    ]
