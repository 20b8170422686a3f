"""Write AISA's own vectors: `python -m tests.vectors.generate`.

Everything is derived from fixed seeds, so a second run changes no byte. A test compares the files
with what this module makes now, and another computes the same bytes with other libraries.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aisa import errors
from aisa.identity.exchange import ExchangeKey
from aisa.identity.signer import SigningKey
from aisa.protocol import aip, base64url, httpsig, mpp
from aisa.protocol.aip import notice
from aisa.protocol.problem import problem_of
from tests.vectors import evm

FOLDER = Path(__file__).parent
ISSUED = 1_795_309_432
DEPOSITS = ((0, 0), (1_000_000, 2_000), (2**63 - 1, 1_000_000))


def seed(name: str) -> bytes:
    return hashlib.sha256(f"aisa vector {name}".encode()).digest()


PAYER, PAYEE, NODE, ACCOUNT = (SigningKey(seed(n)) for n in ("payer", "payee", "node", "account"))
PAYER_X, PAYEE_X = ExchangeKey(seed("payer x25519")), ExchangeKey(seed("payee x25519"))
TERMS = aip.ChannelTerms(
    network=aip.hub_network(NODE.public_key),
    holder=NODE.public_key,
    payer=PAYER.public_key,
    payee=PAYEE.public_key,
    currency="aiUSD",
    salt=bytes(range(16)),
)
CHANNEL = TERMS.channel_id


def session(lane_first: int = 0, lane_count: int = 32) -> aip.Session:
    unsigned = aip.Session(
        CHANNEL, PAYER_X.public_key, PAYEE_X.public_key, lane_first, lane_count, ISSUED + 86_400
    )
    return signed(unsigned, PAYER)


def signed(message: Any, key: SigningKey) -> Any:
    fields = {name: getattr(message, name) for name in type(message).__dataclass_fields__}
    body = message.message() if isinstance(message, aip.Voucher) else message.signing_bytes()
    return type(message)(**{**fields, "signature": key.sign(body)})


def statement(deposit: int = 1_000_000, fee_ppm: int = 2_000) -> aip.DepositStatement:
    return signed(aip.DepositStatement(CHANNEL, deposit, fee_ppm, ISSUED), NODE)


def voucher(ceiling: int = 50_000, expiry: int = 0) -> aip.Voucher:
    return signed(aip.Voucher(CHANNEL, ceiling, expiry), PAYER)


def request() -> aip.SessionRequest:
    expiry = ISSUED + 30 * 86_400
    return aip.SessionRequest(
        amount=100,
        currency="aiUSD",
        scale=6,
        payee=PAYEE.public_key,
        hubs=(aip.Hub(aip.hub_network(NODE.public_key), 2_000),),
        payee_x25519=PAYEE_X.public_key,
        x_expiry=expiry,
        x_signature=PAYEE.sign(notice.payee_exchange_bytes(PAYEE_X.public_key, expiry)),
        session_url="https://api.example/aisa/session",
        deposit_min=10_000,
        ceiling_step_max=50_000,
    )


def challenge() -> mpp.Challenge:
    return mpp.issue_challenge(
        seed("challenge"),
        realm="api.example",
        method="aisa",
        intent="session",
        request=request().format(),
        expires="2026-12-01T00:05:00Z",
        header=mpp.PAYMENT_AUTHORIZATION,
    )


def actions() -> dict[str, aip.Action]:
    return {
        "open": aip.OpenAction(TERMS, statement(), session(), voucher()),
        "voucher": aip.VoucherAction(voucher(100_000)),
        "topUp": aip.TopUpAction(statement(2_000_000)),
        "close": aip.CloseAction(CHANNEL, PAYER.sign(notice.close_bytes(CHANNEL))),
        "closeLane": aip.CloseLaneAction(
            CHANNEL, 7, PAYER.sign(notice.close_lane_bytes(CHANNEL, 7))
        ),
    }


def _channel_id() -> dict[str, Any]:
    at_contract = aip.escrow_terms(
        "eip155:84532",
        bytes(range(20)),
        payer=TERMS.payer,
        payee=TERMS.payee,
        currency="USDC",
        salt=bytes(16),
        config=evm.CONFIG,
    )
    return {
        "description": "SHA-256 of the framed AISA-CHANNEL/1 message, and the channel's id",
        "cases": [
            {
                "description": description,
                "network": terms.network,
                "holder": terms.holder.hex(),
                "payer": terms.payer.hex(),
                "payee": terms.payee.hex(),
                "currency": terms.currency,
                "salt": terms.salt.hex(),
                "config": None if terms.config is None else terms.config.to_json(),
                "terms_hash": terms.hash.hex(),
                "channel": terms.channel_id.hex(),
            }
            for description, terms in (("at a hub", TERMS), ("at a contract", at_contract))
        ],
    }


def _statement() -> dict[str, Any]:
    return {
        "description": "AISA-DEPOSIT/1, signed by the holder",
        "seed": seed("node").hex(),
        "public_key": NODE.public_key.hex(),
        "cases": [
            {
                "description": f"{made.deposit} units at {made.fee_ppm} ppm",
                "channel": CHANNEL.hex(),
                "deposit": str(made.deposit),
                "fee_ppm": made.fee_ppm,
                "issued": made.issued,
                "message": made.signing_bytes().hex(),
                "signature": made.signature.hex(),
            }
            for made in (statement(deposit, fee) for deposit, fee in DEPOSITS)
        ],
    }


def _session() -> dict[str, Any]:
    made = [session(), session(2**32 - 1, 1), session(65_536, 65_535)]
    return {
        "description": "AISA-SESSION/1, signed by the payer, and the keys that both sides derive",
        "seed": seed("payer").hex(),
        "public_key": PAYER.public_key.hex(),
        "payer_x25519_seed": seed("payer x25519").hex(),
        "payee_x25519_seed": seed("payee x25519").hex(),
        "cases": [
            {
                "description": f"lanes {one.lanes.start} to {one.lanes.stop - 1}",
                "channel": one.channel.hex(),
                "payer_x25519": one.payer_x25519.hex(),
                "payee_x25519": one.payee_x25519.hex(),
                "lane_first": one.lane_first,
                "lane_count": one.lane_count,
                "expiry": one.expiry,
                "message": one.signing_bytes().hex(),
                "session_hash": one.hash.hex(),
                "signature": one.signature.hex(),
                "tick_key": _keys(one).tick.hex(),
                "receipt_key": _keys(one).receipt.hex(),
            }
            for one in made
        ],
    }


def _keys(one: aip.Session) -> Any:
    return PAYER_X.session_keys(PAYEE_X.public_key, one.hash)


def _voucher() -> dict[str, Any]:
    made = [voucher(0), voucher(50_000), voucher(2**63 - 1), voucher(1, ISSUED + 86_400)]
    return {
        "description": "50 bytes, little-endian numbers, signed by the payer; header = base64url",
        "seed": seed("payer").hex(),
        "public_key": PAYER.public_key.hex(),
        "cases": [
            {
                "description": f"ceiling {one.ceiling}, expiry {one.expiry or 'none'}",
                "channel": one.channel.hex(),
                "ceiling": str(one.ceiling),
                "expiry": one.expiry,
                "message": one.message().hex(),
                "signature": one.signature.hex(),
                "header": one.encode(),
            }
            for one in made
        ],
    }


def _tick() -> dict[str, Any]:
    key = _keys(session()).tick
    calls = [
        ("the first call", 0, 1, 100, "GET", "/v1/rate?from=USD&to=EUR", b""),
        ("a body and escapes", 31, 2, 2**63 - 1, "POST", "/v1/a%20b?x=%E2%82%AC", b'{"a":1}'),
        ("the last sequence number", 2**32 - 1, 2**63 - 1, 0, "DELETE", "/", b"\x00"),
    ]
    cases: list[dict[str, Any]] = []
    for description, lane, seq, amount, method, target, body in calls:
        origin = "https://api.example"
        digest = aip.request_digest(
            method.encode(), origin.encode(), target.encode(), hashlib.sha256(body).digest()
        )
        tick = aip.Tick(CHANNEL, lane, seq, amount)
        cases.append(
            {
                "description": description,
                "channel": CHANNEL.hex(),
                "lane": lane,
                "seq": str(seq),
                "amount": str(amount),
                "method": method,
                "origin": origin,
                "target": target,
                "body": body.hex(),
                "request_digest": digest.hex(),
                "head": tick.head().hex(),
                "header": tick.seal(key, digest),
            }
        )
    return {
        "description": "a call's payment and the request that it admits",
        "tick_key": key.hex(),
        "cases": cases,
    }


def _receipt() -> dict[str, Any]:
    key = _keys(session()).receipt
    leaves = [
        aip.ReceiptLeaf(
            CHANNEL, 0, seq, 100 * seq, seed(f"request {seq}"), 200, seed(f"answer {seq}")
        )
        for seq in range(1, 6)
    ]
    hashes = [leaf.hash() for leaf in leaves]
    batches: list[dict[str, Any]] = []
    for count in range(1, 6):
        root = aip.merkle_root(hashes[:count])
        proofs = [
            signed(
                aip.ReceiptProof(
                    leaf, i, count, aip.merkle_path(hashes[:count], i), PAYEE.public_key, 9, b""
                ),
                PAYEE,
            )
            for i, leaf in enumerate(leaves[:count])
        ]
        batches.append(
            {
                "description": f"a batch of {count}",
                "batch": 9,
                "count": count,
                "root": root.hex(),
                "paths": [[node.hex() for node in proof.path] for proof in proofs],
                "message": proofs[0].signing_bytes().hex(),
                "signature": proofs[0].signature.hex(),
            }
        )
    return {
        "description": "a call's leaf and MAC; the batch's root as RFC 6962, signed by the payee",
        "seed": seed("payee").hex(),
        "public_key": PAYEE.public_key.hex(),
        "receipt_key": key.hex(),
        "leaves": [
            {
                "description": f"call {leaf.seq}",
                "channel": leaf.channel.hex(),
                "lane": leaf.lane,
                "seq": str(leaf.seq),
                "units": str(leaf.units),
                "request": leaf.request.hex(),
                "status": leaf.status,
                "answer": leaf.answer.hex(),
                "leaf": leaf.pack().hex(),
                "hash": leaf.hash().hex(),
                "mac": leaf.mac(key).hex(),
            }
            for leaf in leaves
        ],
        "batches": batches,
    }


def _notice() -> dict[str, Any]:
    expiry = request().x_expiry
    closed = signed(aip.LaneClosed(CHANNEL, 7, 12_300), PAYEE)
    messages = [
        ("AISA-OPEN/1", "payer", notice.open_bytes(CHANNEL, ACCOUNT.public_key)),
        ("AISA-CLOSE/1", "payer", notice.close_bytes(CHANNEL)),
        ("AISA-LANE-CLOSE/1", "payer", notice.close_lane_bytes(CHANNEL, 7)),
        ("AISA-PAYEE-X/1", "payee", notice.payee_exchange_bytes(PAYEE_X.public_key, expiry)),
        ("AISA-LANE-CLOSED/1", "payee", closed.signing_bytes()),
    ]
    return {
        "description": "the small signed messages around a channel",
        "inputs": {
            "channel": CHANNEL.hex(),
            "account_key": ACCOUNT.public_key.hex(),
            "lane": 7,
            "charged": "12300",
            "x25519": PAYEE_X.public_key.hex(),
            "x_expiry": expiry,
        },
        "cases": [
            {
                "description": name,
                "seed": seed(by).hex(),
                "message": message.hex(),
                "signature": SigningKey(seed(by)).sign(message).hex(),
            }
            for name, by, message in messages
        ],
    }


def _mpp() -> dict[str, Any]:
    made = challenge()
    return {
        "description": "the 402 of a seller, and each credential that answers it",
        "secret": seed("challenge").hex(),
        "request": made.request.decode(),
        "realm": made.realm,
        "expires": made.expires,
        "id": made.id,
        "www_authenticate": made.format(),
        "credentials": [
            {
                "description": name,
                "payload": aip.format_action(action).decode(),
                "value": mpp.Credential(made, aip.format_action(action)).format(),
            }
            for name, action in actions().items()
        ],
    }


def _httpsig() -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    for method, uri, body in (
        ("POST", "https://node.example/v1/channels", b'{"amount":"100"}'),
        ("GET", "http://127.0.0.1:8402/v1/balances?currency=aiUSD", b""),
    ):
        params = httpsig.SignatureParams(base64url.encode(ACCOUNT.public_key), ISSUED, "nonce-0001")
        digest = httpsig.content_digest(body)
        base = httpsig.signing_base(method, uri, digest, params)
        cases.append(
            {
                "description": f"{method} {uri}",
                "method": method,
                "target_uri": uri,
                "body": body.hex(),
                "keyid": params.keyid,
                "created": params.created_s,
                "nonce": params.nonce,
                "base": base.decode(),
                "headers": httpsig.sign_request(method, uri, body, params, ACCOUNT.sign),
            }
        )
    return {
        "description": "signed requests to a node",
        "seed": seed("account").hex(),
        "public_key": ACCOUNT.public_key.hex(),
        "cases": cases,
    }


def _problem() -> dict[str, Any]:
    told = [
        errors.VoucherRequired("the call needs 5,100 units", charged="5000", ceiling="5000"),
        errors.RateLimited("too many unpaid requests", retry_after_s=2),
        errors.InsufficientFunds("the account holds 12 of 100", hint="deposit first", units="12"),
        errors.MalformedMessage("challenge.realm is missing", field="challenge.realm"),
        errors.OutcomeUnknown("the transfer was sent", id="tr_01"),
        errors.NotFound(),
    ]
    return {
        "description": "errors as RFC 9457 problems",
        "cases": [
            {
                "description": error.slug,
                "class": type(error).__name__,
                "detail": error.detail,
                "hint": error.hint,
                "facts": dict(error.facts),
                "body": problem_of(error).encode().decode(),
            }
            for error in told
        ],
    }


def documents() -> dict[str, dict[str, Any]]:
    """Return every file's content by its name."""
    return {
        "channel_id.json": _channel_id(),
        "deposit_statement.json": _statement(),
        "session.json": _session(),
        "voucher.json": _voucher(),
        "tick.json": _tick(),
        "receipt.json": _receipt(),
        "notice.json": _notice(),
        "mpp.json": _mpp(),
        "httpsig.json": _httpsig(),
        "problem.json": _problem(),
        **evm.documents(),
    }


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    for name, document in documents().items():
        (FOLDER / name).write_text(text_of(document), encoding="utf-8")
