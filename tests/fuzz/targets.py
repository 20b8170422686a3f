"""Every parser of the wire: how to call it, how to write its value back, and where to start."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from aisa.errors import AisaError, InvalidRequest, SignatureInvalid
from aisa.identity.agent_id import agent_id, key_of_agent_id
from aisa.money import parse_amount
from aisa.protocol import aip, authscheme, base64url, httpsig, mpp, strictjson, timestamp, x402
from aisa.protocol.problem import Problem, error_of, parse_problem
from aisa.protocol.structuredfield import format_dictionary, parse_dictionary
from tests.fuzz import evm_targets
from tests.vectors.files import read_vectors

Input: TypeAlias = str | bytes


class Inner(Enum):
    """What lies under an input's coat."""

    NOTHING = auto()
    JSON = auto()
    BYTES = auto()


def _same(text: Any) -> Any:
    return text


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Target:
    """A parser; `write` gives a value's canonical input, `unwrap` and `wrap` take the coat off and on."""

    name: str
    parse: Callable[[Any], Any]
    write: Callable[[Any], Input]
    seeds: tuple[Input, ...]
    inner: Inner = Inner.NOTHING
    unwrap: Callable[[Any], Any] = _same
    wrap: Callable[[Any], Any] = _same
    refusals: tuple[type[AisaError], ...] = (InvalidRequest,)


def _write_schemes(found: tuple[authscheme.SchemeChallenge, ...]) -> str:
    parts: list[str] = []
    for one in found:
        inside = one.token68 or ", ".join(
            f"{name}={authscheme.quote(text, name)}" for name, text in one.parameters
        )
        parts.append(f"{one.scheme} {inside}".rstrip(" "))
    return ", ".join(parts)


def _parse_problem(body: bytes) -> Problem:
    problem = parse_problem(body)
    assert isinstance(error_of(problem, {"retry_after_s": 1}), AisaError)
    return problem


def _parse_signature(text: str) -> httpsig.RequestSignature:
    signature_input, _, signature = text.partition("\n")
    return httpsig.parse_signature(signature_input, signature)


def _write_signature(parsed: httpsig.RequestSignature) -> str:
    return "\n".join(parsed.headers().values())


def _text_of_body(body: bytes) -> str:
    return body.decode()


def _body_of_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _mpp_seeds() -> dict[str, tuple[str, ...]]:
    peer, ours = read_vectors("mpp_pympp.json"), read_vectors("mpp.json")
    return {
        "challenge": (
            ours["www_authenticate"],
            *(case["www_authenticate"] for case in peer["challenges"]),
        ),
        "credential": (
            *(case["value"] for case in ours["credentials"]),
            *(case["credential"]["value"] for case in peer["challenges"]),
        ),
        "action": tuple(case["payload"] for case in ours["credentials"]),
        "request": (ours["request"],),
        "receipt": tuple(case["value"] for case in peer["receipts"]),
    }


def _headers(file: str, kind: str) -> tuple[str, ...]:
    return tuple(case["header"] for case in read_vectors(file)[kind])


def _unpay(value: str) -> str:
    return _unpad(value.removeprefix("Payment ")).decode()


def _pay(text: str) -> str:
    return "Payment " + base64url.encode(_body_of_text(text))


def _json_coat(text: str) -> str:
    return base64url.encode(_body_of_text(text))


def _standard_coat(text: str) -> str:
    return base64url.encode_standard(_body_of_text(text))


def _unstandard(text: str) -> str:
    return base64.b64decode(text).decode()


def _text_targets(seeds: dict[str, tuple[str, ...]]) -> list[Target]:
    several = ", ".join(
        (*seeds["challenge"][:2], 'L402 version="0", token="AgE=", invoice="lnbc1"')
    )
    signed = tuple(
        "\n".join((case["headers"]["signature-input"], case["headers"]["signature"]))
        for case in read_vectors("httpsig_peer.json")["requests"]
    )
    fields = (
        'sig1=("@method";req "@path" "x";n=1);created=1;alg="a";b, aisa=();tag="aisa"',
        "a=?0, b, c=:AA==:;d=tok/en, e=-12;f",
        *(line for text in signed for line in text.split("\n")),
    )
    dates = ("2026-12-01T00:05:00Z", "1969-02-28t23:59:60.123456789-23:59", "0001-01-01T00:00:00z")
    lists = ("tempo/charge, lightning/session;q=0.5", "*/*;q=0.001, aisa/*;Q=1.000, a:b_c/d;q=0")
    return [
        Target("base64url", lambda t: base64url.decode(t, bytes_max=256), base64url.encode,
               ("", "AA", "_-8", "AAEC_-8"), Inner.BYTES, _unpad, base64url.encode),
        Target("base64", lambda t: base64url.decode_standard(t, bytes_max=256),
               base64url.encode_standard, ("", "AA==", "+/8=", "AAEC"), Inner.BYTES,
               base64.b64decode, base64url.encode_standard),
        Target("json", strictjson.parse_json, strictjson.format_json,
               ('{"a":[1,-2.5e-3,true,null],"\\u20ac":"\\ud83d\\ude00"}', "[]", *seeds["action"]),
               Inner.JSON),
        Target("timestamp", lambda t: timestamp.parse_timestamp(t, "time"),
               timestamp.format_timestamp, dates),
        Target("auth-schemes", authscheme.split_challenges, _write_schemes,
               (several, 'Basic realm="a, b", Negotiate, Bearer abc==, X a=b, c="\\"d\\\\"')),
        Target("mpp-challenge", mpp.parse_challenge, mpp.Challenge.format, seeds["challenge"]),
        Target("mpp-challenges", lambda t: mpp.parse_challenges([t, t]),
               lambda found: ", ".join(one.format() for one in found[: len(found) // 2]),
               (several, *seeds["challenge"])),
        Target("mpp-credential", mpp.parse_credential, mpp.Credential.format, seeds["credential"],
               Inner.JSON, _unpay, _pay),
        Target("mpp-receipt", mpp.parse_receipt, mpp.Receipt.format, seeds["receipt"],
               Inner.JSON, lambda t: _unpad(t).decode(), _json_coat),
        Target("mpp-accept", mpp.parse_accept, mpp.format_accept, lists),
        Target("structured-field", lambda t: parse_dictionary(t, "field"), format_dictionary, fields),
        Target("httpsig", _parse_signature, _write_signature, signed,
               refusals=(InvalidRequest, SignatureInvalid)),
    ]  # fmt: skip


def _x402_targets() -> list[Target]:
    sdk = "x402_sdk.json"
    verify = tuple(case["body"].encode() for case in read_vectors(sdk)["verify"])
    return [
        Target("x402-required", x402.parse_required, x402.format_required,
               _headers(sdk, "required"), Inner.JSON, _unstandard, _standard_coat),
        Target("x402-payload", x402.parse_payload, x402.format_payload,
               _headers(sdk, "payload"), Inner.JSON, _unstandard, _standard_coat),
        Target("x402-settlement", x402.parse_settlement, x402.format_settlement,
               _headers(sdk, "settlement"), Inner.JSON, _unstandard, _standard_coat),
        Target("x402-verify", x402.VerifyResponse.parse, x402.VerifyResponse.encode, verify,
               Inner.JSON, _text_of_body, _body_of_text),
    ]  # fmt: skip


def _aip_targets(seeds: dict[str, tuple[str, ...]]) -> list[Target]:
    ticks = tuple(case["header"] for case in read_vectors("tick.json")["cases"])
    vouchers = tuple(case["header"] for case in read_vectors("voucher.json")["cases"])
    network = read_vectors("channel_id.json")["cases"][0]["network"]
    return [
        Target("aip-tick", aip.Tick.decode, aip.Tick.encode, ticks,
               Inner.BYTES, _unpad, base64url.encode),
        Target("aip-voucher", aip.Voucher.decode, aip.Voucher.encode, vouchers,
               Inner.BYTES, _unpad, base64url.encode),
        Target("aip-request", aip.SessionRequest.parse, aip.SessionRequest.format,
               tuple(text.encode() for text in seeds["request"]),
               Inner.JSON, _text_of_body, _body_of_text),
        Target("aip-action", aip.parse_action, aip.format_action,
               tuple(text.encode() for text in seeds["action"]),
               Inner.JSON, _text_of_body, _body_of_text),
        Target("aip-network", aip.key_of_hub_network, aip.hub_network, (network,)),
    ]  # fmt: skip


def _evm_targets() -> list[Target]:
    found = [
        Target(name, parse, write, seeds, Inner.JSON, _text_of_body, _body_of_text)
        for name, parse, write, seeds in evm_targets.json_cases()
    ]
    return [*found, *(Target(*case) for case in evm_targets.text_cases())]


def _other_targets() -> list[Target]:
    problems = tuple(case["body"].encode() for case in read_vectors("problem.json")["cases"])
    return [
        Target("problem", _parse_problem, Problem.encode, problems,
               Inner.JSON, _text_of_body, _body_of_text),
        Target("amount", parse_amount, str, ("0.0001 aiUSD", "12 USDC", "0.00000000001 BTC")),
        Target("agent-id", key_of_agent_id, agent_id, (agent_id(bytes(range(32))),)),
    ]  # fmt: skip


def _all() -> dict[str, Target]:
    seeds = _mpp_seeds()
    targets = [
        *_text_targets(seeds), *_x402_targets(), *_aip_targets(seeds), *_evm_targets(),
        *_other_targets(),
    ]  # fmt: skip
    return {target.name: target for target in targets}


TARGETS: Final = _all()
