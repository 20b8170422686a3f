"""`getTransaction`: one landed chain tx in the encodings that clients ask for."""

from __future__ import annotations

import base64
from typing import cast

import msgspec
from solders.message import MessageV0, VersionedMessage
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from aisa.devnet.solana import base58
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.history import Landed
from aisa.devnet.solana.params import INVALID_PARAMS, VERSION_NOT_SUPPORTED, Params, RpcRefusal
from aisa.devnet.solana.parsed import parsed_instruction


def get_transaction(chain: Chain, params: Params) -> object:
    """`getTransaction`; null until the commitment asked for is reached."""
    options = params.options(1)
    landed = chain.history.get(params.text(0, "signature"))
    if landed is None or not chain.is_at(landed, options.commitment()):
        return None
    tx = VersionedTransaction.from_bytes(landed.raw)
    versions = options.whole("maxSupportedTransactionVersion")
    is_v0 = isinstance(tx.message, MessageV0)
    if is_v0 and versions is None:
        message = "Transaction version (0) is not supported by the requesting client."
        raise RpcRefusal(VERSION_NOT_SUPPORTED, message)
    encoding = options.text("encoding", "json")
    answer: dict[str, object] = {
        "slot": landed.slot,
        "blockTime": chain.blocks.time_s(landed.slot),
        "transaction": _transaction_json(landed, tx, encoding),
        "meta": _meta_json(landed, tx, encoding),
    }
    if versions is not None:
        answer["version"] = 0 if is_v0 else "legacy"
    return answer


def _transaction_json(landed: Landed, tx: VersionedTransaction, encoding: str) -> object:
    if encoding == "base64":
        return [base64.b64encode(landed.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(landed.raw), "base58"]
    if encoding not in {"json", "jsonParsed"}:
        raise RpcRefusal(INVALID_PARAMS, f"Invalid params: encoding {encoding!r} is not served")
    message = tx.message
    json: dict[str, object] = {"recentBlockhash": str(message.recent_blockhash)}
    if encoding == "jsonParsed":
        json["accountKeys"] = _parsed_keys(landed, message)
        json["instructions"] = [
            _parsed(landed, one.program_id_index, list(one.accounts), one.data, None)
            for one in message.instructions
        ]
    else:
        header = message.header
        json["header"] = {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        }
        json["accountKeys"] = [str(key) for key in message.account_keys]
        json["instructions"] = [
            {
                "programIdIndex": one.program_id_index,
                "accounts": list(one.accounts),
                "data": base58.encode(one.data),
                "stackHeight": 1,
            }
            for one in message.instructions
        ]
    if isinstance(message, MessageV0):
        json["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(one) for one in tx.signatures], "message": json}


def _meta_json(landed: Landed, tx: VersionedTransaction, encoding: str) -> dict[str, object]:
    meta = cast("dict[str, object]", msgspec.json.decode(landed.meta))
    err = msgspec.json.decode(landed.err) if landed.err else None
    own, writable = len(tx.message.account_keys), _loaded_writable_count(tx.message)
    loaded = landed.addresses[own:]
    meta |= {
        "err": err,
        "status": {"Ok": None} if err is None else {"Err": err},
        "rewards": [],
        "loadedAddresses": {
            "writable": list(loaded[:writable]),
            "readonly": list(loaded[writable:]),
        },
    }
    if meta.get("returnData") is None:
        meta.pop("returnData", None)
    if encoding == "jsonParsed":
        groups = cast("list[dict[str, object]]", meta["innerInstructions"])
        meta["innerInstructions"] = [
            {
                "index": group["index"],
                "instructions": [
                    _parsed(
                        landed,
                        cast("int", one["programIdIndex"]),
                        cast("list[int]", one["accounts"]),
                        base58.decode(cast("str", one["data"])),
                        one["stackHeight"],
                    )
                    for one in cast("list[dict[str, object]]", group["instructions"])
                ],
            }
            for group in groups
        ]
    return meta


def _parsed(
    landed: Landed, program_at: int, accounts_at: list[int], data: bytes, height: object
) -> dict[str, object]:
    program = landed.addresses[program_at]
    accounts = [landed.addresses[at] for at in accounts_at]
    parsed = parsed_instruction(Pubkey.from_string(program), accounts, data)
    plain: dict[str, object] = {
        "programId": program,
        "accounts": accounts,
        "data": base58.encode(data),
    }
    return {**(parsed or plain), "stackHeight": height}


def _parsed_keys(landed: Landed, message: VersionedMessage) -> list[dict[str, object]]:
    own = len(message.account_keys)
    signers = message.header.num_required_signatures
    writable_loaded = _loaded_writable_count(message)
    rows: list[dict[str, object]] = []
    for at, address in enumerate(landed.addresses):
        is_own = at < own
        writable = _is_writable(message, at) if is_own else at - own < writable_loaded
        source = "transaction" if is_own else "lookupTable"
        row: dict[str, object] = {
            "pubkey": address,
            "signer": at < signers,
            "writable": writable,
            "source": source,
        }
        rows.append(row)
    return rows


def _is_writable(message: VersionedMessage, at: int) -> bool:
    header, count = message.header, len(message.account_keys)
    if at < header.num_required_signatures:
        return at < header.num_required_signatures - header.num_readonly_signed_accounts
    return at < count - header.num_readonly_unsigned_accounts


def _loaded_writable_count(message: VersionedMessage) -> int:
    if not isinstance(message, MessageV0):
        return 0
    return sum(len(lookup.writable_indexes) for lookup in message.address_table_lookups)
