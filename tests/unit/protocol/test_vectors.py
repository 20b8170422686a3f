"""AISA's vectors: unchanged, and computed again with other libraries and by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

import pytest
from solders.keypair import Keypair

from aisa.errors import MalformedMessage, class_by_slug
from aisa.identity.exchange import ExchangeKey
from aisa.identity.signer import verify_signature
from aisa.protocol import aip, httpsig, mpp
from aisa.protocol.eip712 import Domain
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.fields import Fields
from aisa.protocol.problem import error_of, parse_problem
from tests.vectors.files import FOLDER, read_vectors
from tests.vectors.generate import documents, text_of
from tests.vectors.typed_oracle import oracle_digest


def framed(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(field)) + field for field in fields)


def unhex(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signature_by_solders(seed: str, message: bytes) -> bytes:
    return bytes(Keypair.from_seed(bytes.fromhex(seed)).sign_message(message))


def x25519(scalar: bytes, point: bytes) -> bytes:
    """RFC 7748's ladder, written out: slow, and another implementation than ours."""
    prime, k, u = 2**255 - 19, int.from_bytes(scalar, "little"), int.from_bytes(point, "little")
    k = (k & ~7 & ((1 << 255) - 1)) | (1 << 254)
    x1, x2, z2, x3, z3, swap = u % 2**255, 1, 0, u % 2**255, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % prime, x1 * (da - cb) ** 2 % prime
        x2, z2 = aa * bb % prime, (aa - bb) * (aa + 121665 * (aa - bb)) % prime
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, prime - 2, prime) % prime).to_bytes(32, "little")


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 without salt, 64 bytes, from RFC 5869."""
    pseudo = hmac.digest(bytes(32), secret, "sha256")
    first = hmac.digest(pseudo, info + b"\x01", "sha256")
    return first + hmac.digest(pseudo, first + info + b"\x02", "sha256")


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_generator_writes_exactly_the_committed_file(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text_of(documents()[name])


def test_every_vector_file_describes_itself_and_its_cases() -> None:
    for path in FOLDER.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["description"]
        for cases in (value for value in document.values() if isinstance(value, list)):
            assert all(case["description"] for case in cases), path.name


@pytest.mark.parametrize("case", read_vectors("channel_id.json")["cases"], ids=str)
def test_channel_id_is_the_hash_of_the_framed_terms_or_of_the_config_that_holds_it(
    case: dict[str, Any],
) -> None:
    holder, payer, payee, salt = unhex(case, "holder", "payer", "payee", "salt")
    network, currency = case["network"].encode(), case["currency"].encode()
    message = framed(b"AISA-CHANNEL/1", network, holder, payer, payee, currency, salt)
    assert hashlib.sha256(message).hexdigest() == case["terms_hash"]
    config = None
    if case["config"] is None:
        assert case["channel"] == case["terms_hash"]
    else:
        config = ChannelConfig.read(Fields("config", case["config"]))
        assert case["config"]["salt"] == "0x" + case["terms_hash"]
        domain = Domain("x402 Batch Settlement", "1", 84_532, holder[12:])
        message = {**case["config"], "salt": config.salt}
        assert oracle_digest("x402 ChannelConfig", domain, message).hex() == case["channel"]
    terms = aip.ChannelTerms(case["network"], holder, payer, payee, case["currency"], salt, config)
    assert terms.channel_id.hex() == case["channel"]


def test_the_hub_network_names_the_holder() -> None:
    case = read_vectors("channel_id.json")["cases"][0]
    assert aip.key_of_hub_network(case["network"]).hex() == case["holder"]
    assert case["network"] == "aisa:" + unpadded(bytes.fromhex(case["holder"]))


def test_deposit_statements() -> None:
    document = read_vectors("deposit_statement.json")
    for case in document["cases"]:
        (channel,) = unhex(case, "channel")
        message = framed(
            b"AISA-DEPOSIT/1",
            channel,
            struct.pack(">Q", int(case["deposit"])),
            struct.pack(">I", case["fee_ppm"]),
            struct.pack(">Q", case["issued"]),
        )
        assert message.hex() == case["message"]
        assert signature_by_solders(document["seed"], message).hex() == case["signature"]
        made = aip.DepositStatement(channel, int(case["deposit"]), case["fee_ppm"], case["issued"])
        assert made.signing_bytes() == message


def test_sessions_and_their_keys() -> None:
    document = read_vectors("session.json")
    payer_seed, payee_seed = unhex(document, "payer_x25519_seed", "payee_x25519_seed")
    base_point = (9).to_bytes(32, "little")
    for case in document["cases"]:
        channel, payer_x, payee_x = unhex(case, "channel", "payer_x25519", "payee_x25519")
        assert x25519(payer_seed, base_point) == payer_x
        assert x25519(payee_seed, base_point) == payee_x
        message = framed(
            b"AISA-SESSION/1",
            channel,
            payer_x,
            payee_x,
            struct.pack(">I", case["lane_first"]),
            struct.pack(">H", case["lane_count"]),
            struct.pack(">Q", case["expiry"]),
        )
        assert message.hex() == case["message"]
        assert signature_by_solders(document["seed"], message).hex() == case["signature"]
        digest = hashlib.sha256(message).digest()
        assert digest.hex() == case["session_hash"]
        derived = hkdf(x25519(payee_seed, payer_x), digest)
        assert derived.hex() == case["tick_key"] + case["receipt_key"]
        keys = ExchangeKey(payee_seed).session_keys(payer_x, digest)
        assert (keys.tick + keys.receipt) == derived


def test_vouchers() -> None:
    document = read_vectors("voucher.json")
    for case in document["cases"]:
        (channel,) = unhex(case, "channel")
        message = b"\x56\x02" + channel + struct.pack("<Qq", int(case["ceiling"]), case["expiry"])
        assert len(message) == 50
        assert message.hex() == case["message"]
        signature = signature_by_solders(document["seed"], message)
        assert signature.hex() == case["signature"]
        assert case["header"] == unpadded(message + signature)
        parsed = aip.Voucher.decode(case["header"])
        assert (parsed.channel, parsed.ceiling, parsed.expiry) == (
            channel,
            int(case["ceiling"]),
            case["expiry"],
        )
        assert verify_signature(
            bytes.fromhex(document["public_key"]), parsed.message(), parsed.signature
        )


def test_ticks() -> None:
    document = read_vectors("tick.json")
    (key,) = unhex(document, "tick_key")
    assert document["tick_key"] == read_vectors("session.json")["cases"][0]["tick_key"]
    for case in document["cases"]:
        method, origin, target = (case[n].encode() for n in ("method", "origin", "target"))
        channel, body = unhex(case, "channel", "body")
        digest = hashlib.sha256(
            b"AISA-REQUEST/1"
            + struct.pack(">HHI", len(method), len(origin), len(target))
            + method
            + origin
            + target
            + hashlib.sha256(body).digest()
        ).digest()
        assert digest.hex() == case["request_digest"]
        head = b"\x01" + channel + struct.pack(">I", case["lane"])
        head += struct.pack(">QQ", int(case["seq"]), int(case["amount"]))
        assert head.hex() == case["head"]
        mac = hmac.digest(key, head + digest, "sha256")[:16]
        assert case["header"] == unpadded(head + mac)
        assert len(case["header"]) == 92
        parsed = aip.Tick.decode(case["header"])
        assert parsed.admits(key, digest)
        assert not parsed.admits(key, bytes(32))
        assert parsed.encode() == case["header"]


def rfc6962_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, by its recursive definition; the leaves are hashed already."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    halves = rfc6962_root(leaves[:split]), rfc6962_root(leaves[split:])
    return hashlib.sha256(b"\x01" + b"".join(halves)).digest()


def rfc6962_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1, by its recursive definition."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*rfc6962_path(index, leaves[:split]), rfc6962_root(leaves[split:])]
    return [*rfc6962_path(index - split, leaves[split:]), rfc6962_root(leaves[:split])]


def test_receipts() -> None:
    document = read_vectors("receipt.json")
    (key,) = unhex(document, "receipt_key")
    hashes: list[bytes] = []
    for case in document["leaves"]:
        channel, request, answer = unhex(case, "channel", "request", "answer")
        leaf = b"\x00AISA-LEAF/1" + channel + struct.pack(">I", case["lane"])
        leaf += struct.pack(">QQ", int(case["seq"]), int(case["units"])) + request
        leaf += struct.pack(">H", case["status"]) + answer
        assert leaf.hex() == case["leaf"]
        assert hmac.digest(key, leaf, "sha256")[:16].hex() == case["mac"]
        hashes.append(hashlib.sha256(leaf).digest())
        assert hashes[-1].hex() == case["hash"]
    for batch in document["batches"]:
        leaves = hashes[: batch["count"]]
        assert rfc6962_root(leaves).hex() == batch["root"]
        paths = [[node.hex() for node in rfc6962_path(i, leaves)] for i in range(len(leaves))]
        assert paths == batch["paths"]
        message = framed(
            b"AISA-RECEIPTS/1",
            bytes.fromhex(document["public_key"]),
            struct.pack(">Q", batch["batch"]),
            struct.pack(">I", batch["count"]),
            bytes.fromhex(batch["root"]),
        )
        assert message.hex() == batch["message"]
        assert signature_by_solders(document["seed"], message).hex() == batch["signature"]


def test_notices() -> None:
    document = read_vectors("notice.json")
    inputs = document["inputs"]
    channel, account, x_key = unhex(inputs, "channel", "account_key", "x25519")
    lane = struct.pack(">I", inputs["lane"])
    fields = {
        "AISA-OPEN/1": (channel, account),
        "AISA-CLOSE/1": (channel,),
        "AISA-LANE-CLOSE/1": (channel, lane),
        "AISA-PAYEE-X/1": (x_key, struct.pack(">Q", inputs["x_expiry"])),
        "AISA-LANE-CLOSED/1": (channel, lane, struct.pack(">Q", int(inputs["charged"]))),
    }
    assert {case["description"] for case in document["cases"]} == set(fields)
    for case in document["cases"]:
        message = framed(case["description"].encode(), *fields[case["description"]])
        assert message.hex() == case["message"]
        assert signature_by_solders(case["seed"], message).hex() == case["signature"]


def test_the_challenge_and_its_credentials() -> None:
    document = read_vectors("mpp.json")
    request = unpadded(document["request"].encode())
    slots = [document["realm"], "aisa", "session", request, document["expires"], ""]
    slots += ["Payment-Authorization", ""]
    secret = bytes.fromhex(document["secret"])
    mac = hmac.digest(secret, "|".join(slots).encode(), "sha256")
    assert unpadded(mac) == document["id"]
    (challenge,) = mpp.parse_challenges([document["www_authenticate"]])
    assert challenge.is_issued_by(secret)
    assert not challenge.is_issued_by(b"another")
    assert aip.SessionRequest.parse(challenge.request).format() == challenge.request
    for case in document["credentials"]:
        raw = base64.urlsafe_b64decode(case["value"].removeprefix("Payment ") + "==")
        assert json.loads(raw)["payload"] == json.loads(case["payload"])
        credential = mpp.parse_credential(case["value"])
        assert credential.challenge == challenge
        action = aip.parse_action(credential.payload)
        assert aip.format_action(action).decode() == case["payload"]


def test_signed_requests() -> None:
    document = read_vectors("httpsig.json")
    for case in document["cases"]:
        lines = [
            f'"@method": {case["method"]}',
            f'"@target-uri": {case["target_uri"]}',
            f'"content-digest": {case["headers"]["Content-Digest"]}',
            '"@signature-params": ("@method" "@target-uri" "content-digest")'
            f';created={case["created"]};nonce="{case["nonce"]}";keyid="{case["keyid"]}"'
            ';alg="ed25519";tag="aisa"',
        ]
        assert "\n".join(lines) == case["base"]
        signature = signature_by_solders(document["seed"], case["base"].encode())
        encoded = base64.b64encode(signature).decode()
        assert case["headers"]["Signature"] == f"aisa=:{encoded}:"
        params = httpsig.verify_request(
            case["method"],
            case["target_uri"],
            bytes.fromhex(case["body"]),
            {name.lower(): value for name, value in case["headers"].items()},
            key_of=lambda keyid: base64.urlsafe_b64decode(keyid + "="),
            verify=verify_signature,
            now_s=case["created"],
        )
        assert params.keyid == unpadded(bytes.fromhex(document["public_key"]))


@pytest.mark.parametrize(
    "case", read_vectors("problem.json")["cases"], ids=lambda case: case["description"]
)
def test_problems(case: dict[str, Any]) -> None:
    document = json.loads(case["body"])
    cls = class_by_slug(case["description"])
    assert (document["slug"], document["status"]) == (cls.slug, cls.status)
    error = error_of(parse_problem(case["body"].encode()))
    assert type(error) is cls
    assert type(error).__name__ == case["class"]
    assert (error.detail, error.hint, dict(error.facts)) == (
        case["detail"],
        case["hint"],
        case["facts"],
    )


def test_a_voucher_of_a_chain_program_is_not_taken_for_ours() -> None:
    case = read_vectors("voucher.json")["cases"][0]
    foreign = b"\x56\x01" + bytes.fromhex(case["message"])[2:] + bytes.fromhex(case["signature"])
    with pytest.raises(MalformedMessage, match="magic"):
        aip.Voucher.decode(unpadded(foreign))
