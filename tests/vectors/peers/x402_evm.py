"""Write x402_evm_sdk.json with PyPI `x402[evm,extensions]` 2.25.0, in an environment of its own.

uv venv peer && uv pip install --python peer 'x402[evm,extensions]==2.25.0'
peer/bin/python tests/vectors/peers/x402_evm.py tests/vectors/x402_evm_sdk.json
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

# The folder of this script holds files of the packages' own names.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

from eth_account import Account  # noqa: E402
from x402 import schemas  # noqa: E402
from x402.extensions import bazaar  # noqa: E402
from x402.extensions import payment_identifier as identifier  # noqa: E402
from x402.mechanisms.evm.batch_settlement import authorizer_signer as authorizer  # noqa: E402
from x402.mechanisms.evm.batch_settlement import types as batch  # noqa: E402
from x402.mechanisms.evm.batch_settlement.client import eip3009, permit2, voucher  # noqa: E402
from x402.mechanisms.evm.batch_settlement.encoding import build_erc3009_deposit_nonce  # noqa: E402
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id  # noqa: E402
from x402.mechanisms.evm.exact import client as exact  # noqa: E402
from x402.mechanisms.evm.exact import permit2_utils  # noqa: E402
from x402.mechanisms.evm.signers import EthAccountSigner  # noqa: E402
from x402.mechanisms.evm.upto import client as upto  # noqa: E402

NOW = 1_795_309_432
NETWORK = "eip155:8453"
ASSET = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
TOKEN = {"name": "USD Coin", "version": "2"}


def seed(name: str) -> bytes:
    return hashlib.sha256(f"aisa evm vector {name}".encode()).digest()


PAYER, VOUCHERS, RECEIVER = (
    Account.from_key(seed(n)) for n in ("payer", "vouchers", "receiver authorizer")
)


def requirements(scheme: str, extra: dict[str, Any]) -> schemas.PaymentRequirements:
    return schemas.PaymentRequirements.model_validate(
        {
            "scheme": scheme,
            "network": NETWORK,
            "asset": ASSET,
            "amount": "100",
            "payTo": PAY_TO,
            "maxTimeoutSeconds": 300,
            "extra": extra,
        }
    )


def frozen() -> None:
    """Stop the clock and draw every nonce from a counter."""
    drawn = iter(range(1, 1000))
    for module in (exact, permit2_utils, eip3009, permit2, upto):
        if hasattr(module, "create_nonce"):
            module.create_nonce = lambda: "0x" + seed(f"nonce {next(drawn)}").hex()
        if hasattr(module, "create_permit2_nonce"):
            module.create_permit2_nonce = lambda: str(
                int.from_bytes(seed(f"nonce {next(drawn)}"), "big")
            )
    time.time = lambda: float(NOW)


def exact_cases() -> list[dict[str, Any]]:
    signer = EthAccountSigner(PAYER)
    offers = (
        ("EIP-3009", "exact", TOKEN, exact.ExactEvmScheme),
        ("Permit2", "exact", {**TOKEN, "assetTransferMethod": "permit2"}, exact.ExactEvmScheme),
        ("upto", "upto", {**TOKEN, "facilitatorAddress": RECEIVER.address}, upto.UptoEvmScheme),
    )
    return [
        {
            "description": description,
            "scheme": scheme,
            "network": NETWORK,
            "asset": ASSET,
            "extra": extra,
            "payer": PAYER.address,
            "payload": client(signer).create_payment_payload(requirements(scheme, extra)),
        }
        for description, scheme, extra, client in offers
    ]


CONFIGS = [
    (
        "a voucher key",
        batch.ChannelConfig(
            PAYER.address,
            VOUCHERS.address,
            PAY_TO,
            RECEIVER.address,
            ASSET,
            900,
            "0x" + seed("salt").hex(),
        ),
    ),
    (
        "the payer signs its vouchers",
        batch.ChannelConfig(
            PAYER.address,
            "0x" + "0" * 40,
            PAY_TO,
            RECEIVER.address,
            ASSET,
            2_592_000,
            "0x" + "0" * 64,
        ),
    ),
]


def batch_case(description: str, config: batch.ChannelConfig) -> dict[str, Any]:
    key = VOUCHERS if int(config.payer_authorizer, 16) else PAYER
    channel = compute_channel_id(config, NETWORK)
    asked = requirements("batch-settlement", TOKEN)
    arguments = (EthAccountSigner(PAYER), asked, config, 1000, 100, EthAccountSigner(key))
    gasless = eip3009.create_batch_settlement_eip3009_deposit_payload(*arguments)
    through = permit2.create_batch_settlement_permit2_deposit_payload(*arguments)
    signed = voucher.sign_voucher(EthAccountSigner(key), channel, 2**128 - 1, NETWORK)
    small = voucher.sign_voucher(EthAccountSigner(key), channel, 4200, NETWORK)
    paid, refund = batch.VoucherPayload(), batch.RefundPayload()
    paid.channel_config = refund.channel_config = config
    paid.voucher, refund.voucher, refund.amount = signed, small, "17"
    receiver = authorizer.LocalAuthorizerSigner(RECEIVER)
    claims = [batch.VoucherClaim(config, "4200", small.signature, str(n)) for n in (4200, 17)]
    claim = batch.ClaimPayload(
        claims=claims,
        claim_authorizer_signature=authorizer.sign_claim_batch(receiver, claims, NETWORK),
    )
    enriched = batch.EnrichedRefundPayload()
    enriched.channel_config, enriched.voucher = config, small
    enriched.amount, enriched.refund_nonce, enriched.claims = "17", "3", claims[:1]
    enriched.refund_authorizer_signature = authorizer.sign_refund(receiver, channel, 17, 3, NETWORK)
    enriched.claim_authorizer_signature = authorizer.sign_claim_batch(receiver, claims[:1], NETWORK)
    settle = batch.SettlePayload(receiver=PAY_TO, token=ASSET)
    assert gasless.deposit is not None
    authorization = gasless.deposit.authorization.erc3009_authorization
    assert authorization is not None
    return {
        "description": description,
        "network": NETWORK,
        "asset": ASSET,
        "token": TOKEN,
        "payer": PAYER.address,
        "voucher_key": key.address,
        "receiver_authorizer": RECEIVER.address,
        "channel": channel,
        "deposit_nonce": build_erc3009_deposit_nonce(channel, authorization.salt),
        "payloads": [
            one.to_dict() for one in (gasless, through, paid, refund, claim, enriched, settle)
        ],
    }


def states() -> list[dict[str, Any]]:
    channel = batch.ChannelStateExtra("0x" + seed("salt").hex(), "1000", "42", 0, "3", "4200")
    bare = batch.ChannelStateExtra("0x" + seed("salt").hex(), "0", "0")
    held = batch.VoucherStateExtra("4200", "0x" + "ab" * 65)
    return [
        {
            "description": "an offer",
            "kind": "offer",
            "extra": batch.PaymentRequirementsExtra(
                RECEIVER.address, 900, "USD Coin", "2", None, "1000"
            ).to_dict(),
        },
        {
            "description": "a corrective offer",
            "kind": "offer",
            "extra": batch.PaymentRequirementsExtra(
                RECEIVER.address, 900, "USD Coin", "2", "permit2", None, channel, held
            ).to_dict(),
        },
        {
            "description": "an answer to a voucher",
            "kind": "answer",
            "extra": batch.PaymentResponseExtra("42", channel, held).to_dict(),
        },
        {
            "description": "an answer without a voucher",
            "kind": "answer",
            "extra": batch.PaymentResponseExtra(None, bare, batch.VoucherStateExtra()).to_dict(),
        },
    ]


def facilitator() -> list[dict[str, Any]]:
    asked = requirements("exact", TOKEN)
    paid = schemas.PaymentPayload.model_validate(
        {"payload": exact_cases()[0]["payload"], "accepted": asked.model_dump(by_alias=True)}
    )
    request = schemas.VerifyRequest(
        x402_version=2, payment_payload=paid, payment_requirements=asked
    )
    supported = schemas.SupportedResponse.model_validate(
        {
            "kinds": [
                {"x402Version": 2, "scheme": "exact", "network": NETWORK},
                {"x402Version": 2, "scheme": "upto", "network": NETWORK, "extra": {"a": 1}},
            ],
            "extensions": ["bazaar", "payment-identifier"],
            "signers": {"eip155:*": [RECEIVER.address]},
        }
    )
    return [
        {
            "description": description,
            "kind": kind,
            "body": model.model_dump_json(by_alias=True, exclude_none=True),
        }
        for description, kind, model in (
            ("a payment to verify or settle", "request", request),
            ("what a facilitator can do", "supported", supported),
        )
    ]


def extensions() -> list[dict[str, Any]]:
    named = {"payment-identifier": identifier.declare_payment_identifier_extension(required=True)}
    identifier.append_payment_identifier_to_extensions(named, "pay_0123456789abcdef")
    asked = bazaar.declare_discovery_extension(
        input={"city": "Basel"},
        input_schema={"properties": {"city": {"type": "string"}}, "required": ["city"]},
        output=bazaar.OutputConfig(example={"c": 21}),
    )
    posted = bazaar.declare_discovery_extension(
        input={"text": "x"},
        input_schema={"properties": {"text": {"type": "string"}}},
        body_type="json",
    )
    return [
        {"description": "an id", "extensions": named},
        {"description": "a query", "extensions": plain(asked)},
        {"description": "a body", "extensions": plain(posted)},
    ]


def plain(extension: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.model_dump(by_alias=True, exclude_none=True)
        if hasattr(value, "model_dump")
        else value
        for name, value in extension.items()
    }


def main() -> None:
    frozen()
    document = {
        "description": "x402 on EVM networks: what the official SDK signs and sends",
        "source": f"x402 {version('x402')}, eth-account {version('eth-account')}",
        "exact": exact_cases(),
        "batch": [batch_case(*case) for case in CONFIGS],
        "states": states(),
        "facilitator": facilitator(),
        "extensions": extensions(),
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=2) + "\n")


main()
