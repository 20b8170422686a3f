"""RPC methods that carry chain txs in, and tell what became of them."""

from __future__ import annotations

import base64
import binascii

import msgspec
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from aisa.devnet.solana import base58
from aisa.devnet.solana.account_query import account_json, with_context
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.history import Landed
from aisa.devnet.solana.issue import airdrop
from aisa.devnet.solana.params import (
    BAD_SIGNATURE,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LEVELS,
    PREFLIGHT_FAILED,
    Options,
    Params,
    RpcRefusal,
    parse_address,
)
from aisa.devnet.solana.run import Refused, Run

_PACKET_BYTES = 1232
_STATUSES_MAX = 256
_SIGNATURES_MAX = 1000


def read_tx(text: str, encoding: str) -> tuple[VersionedTransaction, bytes]:
    """A signed chain tx from its text, with its bytes."""
    try:
        if encoding == "base64":
            raw = base64.b64decode(text, validate=True)
        elif encoding == "base58":
            raw = base58.decode(text)
        else:
            raise RpcRefusal(INVALID_PARAMS, f"unsupported encoding: {encoding}")
        if len(raw) > _PACKET_BYTES:
            size = f"{len(raw)} (max: encoded/raw 1644/{_PACKET_BYTES})"
            raise RpcRefusal(INVALID_PARAMS, f"transaction too large: {size}")
        tx = VersionedTransaction.from_bytes(raw)
        tx.sanitize()
    except (ValueError, binascii.Error) as error:
        message = "failed to deserialize transaction"
        raise RpcRefusal(INVALID_PARAMS, message) from error
    return tx, raw


def send_transaction(chain: Chain, params: Params) -> object:
    """`sendTransaction`."""
    options = params.options(1)
    tx, raw = read_tx(params.text(0, "transaction"), options.text("encoding", "base58"))
    if not all(tx.verify_with_results()):
        raise RpcRefusal(BAD_SIGNATURE, "Transaction signature verification failure")
    if not options.flag("skipPreflight"):
        _preflight(chain, tx)
    signature = str(tx.signatures[0])
    faults = chain.disturbance
    if faults.take("drop"):
        return signature
    if faults.take("refuse"):
        raise RpcRefusal(INTERNAL_ERROR, "Internal error")
    if faults.take("delay"):
        chain.delay(tx, raw)
        return signature
    chain.land(tx, raw)
    if faults.take("lose_answer"):
        raise RpcRefusal(INTERNAL_ERROR, "Internal error")
    return signature


def simulate_transaction(chain: Chain, params: Params) -> object:
    """`simulateTransaction`."""
    options = params.options(1)
    verify, replace = options.flag("sigVerify"), options.flag("replaceRecentBlockhash")
    if verify and replace:
        message = "sigVerify may not be used with replaceRecentBlockhash"
        raise RpcRefusal(INVALID_PARAMS, message)
    tx, _ = read_tx(params.text(0, "transaction"), options.text("encoding", "base58"))
    if verify and not all(tx.verify_with_results()):
        raise RpcRefusal(BAD_SIGNATURE, "Transaction signature verification failure")
    if not replace and not chain.knows_blockhash(tx):
        run: Run | Refused = Refused(b'"BlockhashNotFound"')
    else:
        run = chain.simulate(tx, verify_signatures=verify)
    value = _simulated_json(chain, run, options)
    if replace:
        slot = chain.blocks.slot
        value["replacementBlockhash"] = {
            "blockhash": chain.blocks.hash_at(slot),
            "lastValidBlockHeight": chain.blocks.height(slot) + 150,
        }
    return with_context(chain, value)


def get_signature_statuses(chain: Chain, params: Params) -> object:
    """`getSignatureStatuses`."""
    signatures = params.texts(0, "signatures", most=_STATUSES_MAX)
    return with_context(chain, [_status(chain, chain.history.get(one)) for one in signatures])


def get_signatures_for_address(chain: Chain, params: Params) -> object:
    """`getSignaturesForAddress`, newest first."""
    address, options = params.address(0), params.options(1)
    limit = options.whole("limit") or _SIGNATURES_MAX
    if limit > _SIGNATURES_MAX:
        raise RpcRefusal(INVALID_PARAMS, f"Invalid limit; max {_SIGNATURES_MAX}")
    level = options.commitment()
    before, until = options.text("before") or None, options.text("until") or None
    for cursor in filter(None, (before, until)):
        _check_signature(cursor)
    found = chain.history.of_address(str(address), before=before, until=until, limit=limit)
    return [
        {
            "signature": landed.signature,
            "slot": landed.slot,
            "err": _err(landed),
            "memo": None,
            "blockTime": chain.blocks.time_s(landed.slot),
            "confirmationStatus": _level(chain, landed),
        }
        for landed in found
        if chain.is_at(landed, level)
    ]


def request_airdrop(chain: Chain, params: Params) -> object:
    """`requestAirdrop`, from the faucet."""
    return airdrop(chain, params.address(0), params.whole(1, "lamports"))


def _preflight(chain: Chain, tx: VersionedTransaction) -> None:
    if chain.history.get(str(tx.signatures[0])):
        run: Run | Refused = Refused(b'"AlreadyProcessed"')
    elif not chain.knows_blockhash(tx):
        run = Refused(b'"BlockhashNotFound"')
    else:
        run = chain.simulate(tx, verify_signatures=True)
    if run.err:
        value = _simulated_json(chain, run, Options({}))
        message = f"Transaction simulation failed: {run.err.decode()}"
        raise RpcRefusal(PREFLIGHT_FAILED, message, value)


def _simulated_json(chain: Chain, run: Run | Refused, options: Options) -> dict[str, object]:
    value: dict[str, object] = {
        "err": msgspec.json.decode(run.err) if run.err else None,
        "logs": [],
        "accounts": None,
        "unitsConsumed": 0,
        "returnData": None,
        "innerInstructions": None,
    }
    if isinstance(run, Refused):
        return value
    value |= {
        "logs": run.logs,
        "unitsConsumed": run.compute_units,
        "returnData": run.return_data,
        "fee": run.fee,
    }
    if options.flag("innerInstructions"):
        value["innerInstructions"] = run.inner
    wanted = options.inside("accounts")
    addresses = wanted.items("addresses")
    if addresses and not run.err:
        value["accounts"] = [
            account_json(
                chain,
                run.post_accounts.get(str(address))
                or chain.svm.get_account(parse_address(str(address))),
                Options({"encoding": wanted.text("encoding", "base64")}),
            )
            for address in addresses
        ]
    return value


def _status(chain: Chain, landed: Landed | None) -> dict[str, object] | None:
    if landed is None:
        return None
    err, level = _err(landed), _level(chain, landed)
    return {
        "slot": landed.slot,
        "confirmations": None if level == "finalized" else chain.blocks.slot - landed.slot,
        "err": err,
        "status": {"Ok": None} if err is None else {"Err": err},
        "confirmationStatus": level,
    }


def _level(chain: Chain, landed: Landed) -> str:
    return next(level for level in reversed(LEVELS) if chain.is_at(landed, level))


def _err(landed: Landed) -> object:
    return msgspec.json.decode(landed.err) if landed.err else None


def _check_signature(text: str) -> None:
    try:
        Signature.from_string(text)
    except ValueError as error:
        raise RpcRefusal(INVALID_PARAMS, "Invalid param: Invalid signature") from error
