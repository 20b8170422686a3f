"""What one execution by LiteSVM did, in the forms that the RPC shows."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import msgspec
from solders.account import Account
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    SimulateResult,
    TransactionMetadata,
    TransactionResult,
)

from aisa.devnet.solana import base58

_NEVER_RAN = "1" * 64  # LiteSVM leaves the signature all zero bytes when it refuses before running


@dataclass(frozen=True, slots=True)
class Refused:
    """A chain tx that never ran: it left no trace and paid no fee. `err` is JSON."""

    err: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """One execution; `err` is the JSON of its error, or empty."""

    err: bytes
    logs: list[str]
    inner: list[dict[str, object]]
    compute_units: int
    return_data: dict[str, object] | None
    fee: int
    post_accounts: dict[str, Account]


def run_of(result: TransactionResult | SimulateResult) -> Run | Refused:
    """Read LiteSVM's answer."""
    after: dict[str, Account] = {}
    err = b""
    if isinstance(result, FailedTransactionMetadata):
        meta = result.meta()
        err = msgspec.json.encode(msgspec.json.decode(result.to_json())["err"])
        if str(meta.signature()) == _NEVER_RAN:
            return Refused(err)
    elif isinstance(result, SimulatedTransactionInfo):
        meta = result.meta()
        after = {str(key): account for key, account in result.post_accounts()}
    else:
        meta = result
    return Run(
        err=err,
        logs=meta.logs(),
        inner=_inner(meta),
        compute_units=meta.compute_units_consumed(),
        return_data=_return_data(meta),
        fee=meta.fee(),
        post_accounts=after,
    )


def _inner(meta: TransactionMetadata) -> list[dict[str, object]]:
    return [
        {
            "index": index,
            "instructions": [
                {
                    "programIdIndex": inner.instruction().program_id_index,
                    "accounts": list(inner.instruction().accounts),
                    "data": base58.encode(inner.instruction().data),
                    "stackHeight": inner.stack_height(),
                }
                for inner in group
            ],
        }
        for index, group in enumerate(meta.inner_instructions())
        if group
    ]


def _return_data(meta: TransactionMetadata) -> dict[str, object] | None:
    data = meta.return_data()
    if not data.data:
        return None
    text = base64.b64encode(bytes(data.data)).decode()
    return {"programId": str(data.program_id), "data": [text, "base64"]}
