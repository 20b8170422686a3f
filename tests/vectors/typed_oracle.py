"""Typed data as eth-account hashes it: types written out once more, beside the vectors."""

from __future__ import annotations

from typing import Any

from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from aisa.protocol.eip712 import Domain

_MOVE = (
    ("from", "address"),
    ("to", "address"),
    ("value", "uint256"),
    ("validAfter", "uint256"),
    ("validBefore", "uint256"),
    ("nonce", "bytes32"),
)
_PERMISSION = (("token", "address"), ("amount", "uint256"))


def _permit(kind: str, witness: str) -> tuple[tuple[str, str], ...]:
    return (
        ("permitted", kind),
        ("spender", "address"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
        ("witness", witness),
    )


TYPES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "x402 ChannelConfig": {
        "ChannelConfig": (
            ("payer", "address"),
            ("payerAuthorizer", "address"),
            ("receiver", "address"),
            ("receiverAuthorizer", "address"),
            ("token", "address"),
            ("withdrawDelay", "uint40"),
            ("salt", "bytes32"),
        )
    },
    "x402 Voucher": {"Voucher": (("channelId", "bytes32"), ("maxClaimableAmount", "uint128"))},
    "x402 Refund": {
        "Refund": (("channelId", "bytes32"), ("nonce", "uint256"), ("amount", "uint128"))
    },
    "x402 ClaimBatch": {
        "ClaimBatch": (("claims", "ClaimEntry[]"),),
        "ClaimEntry": (
            ("channelId", "bytes32"),
            ("maxClaimableAmount", "uint128"),
            ("totalClaimed", "uint128"),
        ),
    },
    "EIP-3009 transfer": {"TransferWithAuthorization": _MOVE},
    "EIP-3009 receive": {"ReceiveWithAuthorization": _MOVE},
    "EIP-2612 Permit": {
        "Permit": (
            ("owner", "address"),
            ("spender", "address"),
            ("value", "uint256"),
            ("nonce", "uint256"),
            ("deadline", "uint256"),
        )
    },
    "Permit2, x402 exact": {
        "PermitWitnessTransferFrom": _permit("TokenPermissions", "Witness"),
        "TokenPermissions": _PERMISSION,
        "Witness": (("to", "address"), ("validAfter", "uint256")),
    },
    "Permit2, x402 upto": {
        "PermitWitnessTransferFrom": _permit("TokenPermissions", "Witness"),
        "TokenPermissions": _PERMISSION,
        "Witness": (("to", "address"), ("facilitator", "address"), ("validAfter", "uint256")),
    },
    "Permit2, x402 deposit": {
        "PermitWitnessTransferFrom": _permit("TokenPermissions", "DepositWitness"),
        "TokenPermissions": _PERMISSION,
        "DepositWitness": (("channelId", "bytes32"),),
    },
    "Permit2, MPP charge": {
        "PermitWitnessTransferFrom": _permit("TokenPermissions", "PaymentWitness"),
        "TokenPermissions": _PERMISSION,
        "PaymentWitness": (("challengeHash", "bytes32"),),
    },
    "Permit2, MPP charge with a split": {
        "PermitBatchWitnessTransferFrom": _permit("TokenPermissions[]", "PaymentWitness"),
        "TokenPermissions": _PERMISSION,
        "PaymentWitness": (("challengeHash", "bytes32"),),
    },
    "MPP session Voucher": {"Voucher": (("channelId", "bytes32"), ("cumulativeAmount", "uint128"))},
    "x402 Offer": {
        "Offer": (
            ("version", "uint256"),
            ("resourceUrl", "string"),
            ("scheme", "string"),
            ("network", "string"),
            ("asset", "string"),
            ("payTo", "string"),
            ("amount", "string"),
            ("validUntil", "uint256"),
        )
    },
    "x402 Receipt": {
        "Receipt": (
            ("version", "uint256"),
            ("network", "string"),
            ("resourceUrl", "string"),
            ("payer", "string"),
            ("issuedAt", "uint256"),
            ("transaction", "string"),
        )
    },
}


def oracle_digest(kind: str, domain: Domain, message: dict[str, Any]) -> bytes:
    """Return the digest that eth-account makes of a message of one of the TYPES."""
    data: dict[str, Any] = {"name": domain.name, "chainId": domain.chain_id}
    if domain.version is not None:
        data["version"] = domain.version
    if domain.contract is not None:
        data["verifyingContract"] = domain.contract
    types = {
        name: [{"name": member, "type": type_} for member, type_ in members]
        for name, members in TYPES[kind].items()
    }
    made = encode_typed_data(domain_data=data, message_types=types, message_data=message)
    return keccak(b"\x19" + made.version + made.header + made.body)
