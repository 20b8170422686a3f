"""JSON-RPC 2.0 over a chain: the table of methods, batches, and errors by their codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from aisa.devnet.solana import account_query as account
from aisa.devnet.solana import block_query as block
from aisa.devnet.solana import cheat, submission
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.landed_query import get_transaction
from aisa.devnet.solana.params import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Params,
    RpcRefusal,
)

Method = Callable[[Chain, Params], object]

METHODS: Mapping[str, Method] = {
    "getHealth": block.get_health,
    "getVersion": block.get_version,
    "getGenesisHash": block.get_genesis_hash,
    "getIdentity": block.get_identity,
    "getSlot": block.get_slot,
    "getBlockHeight": block.get_block_height,
    "getEpochInfo": block.get_epoch_info,
    "getEpochSchedule": block.get_epoch_schedule,
    "getBlockTime": block.get_block_time,
    "getTransactionCount": block.get_transaction_count,
    "getFirstAvailableBlock": block.get_first_available_block,
    "minimumLedgerSlot": block.get_first_available_block,
    "getLatestBlockhash": block.get_latest_blockhash,
    "isBlockhashValid": block.is_blockhash_valid,
    "getFeeForMessage": block.get_fee_for_message,
    "getRecentPrioritizationFees": block.get_recent_prioritization_fees,
    "getMinimumBalanceForRentExemption": account.get_minimum_balance,
    "getBalance": account.get_balance,
    "getAccountInfo": account.get_account_info,
    "getMultipleAccounts": account.get_multiple_accounts,
    "getProgramAccounts": account.get_program_accounts,
    "getTokenAccountBalance": account.get_token_account_balance,
    "getTokenSupply": account.get_token_supply,
    "getTokenAccountsByOwner": account.get_token_accounts_by_owner,
    "sendTransaction": submission.send_transaction,
    "simulateTransaction": submission.simulate_transaction,
    "getSignatureStatuses": submission.get_signature_statuses,
    "getSignaturesForAddress": submission.get_signatures_for_address,
    "getTransaction": get_transaction,
    "requestAirdrop": submission.request_airdrop,
    "aisa_fault": cheat.aisa_fault,
    "aisa_label": cheat.aisa_label,
    "aisa_mint": cheat.aisa_mint,
    "aisa_mints": account.aisa_mints,
    "aisa_warp": cheat.aisa_warp,
}

_BATCH_MAX = 1_000


class Rpc:
    """Answers calls on one chain, in the order in which they come."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def call(self, method: str, *params: object) -> object:
        """Answer one call.

        Raises:
            RpcRefusal: the call is answered with an error.
        """
        handler = METHODS.get(method)
        if handler is None:
            raise RpcRefusal(METHOD_NOT_FOUND, "Method not found")
        self.chain.advance()
        return handler(self.chain, Params(params))

    def answer(self, body: bytes) -> bytes:
        """Answer the body of one HTTP request: a call, or a batch of them."""
        try:
            request: object = msgspec.json.decode(body)
        except msgspec.DecodeError:
            refusal = RpcRefusal(PARSE_ERROR, "Parse error")
            return _encode(_error_json(None, refusal))
        if not isinstance(request, list):
            return _encode(self._answer_one(request))
        calls = cast("list[object]", request)
        if not calls or len(calls) > _BATCH_MAX:
            refusal = RpcRefusal(INVALID_REQUEST, f"a batch has 1 to {_BATCH_MAX} calls")
            return _encode(_error_json(None, refusal))
        return _encode([self._answer_one(one) for one in calls])

    def _answer_one(self, request: object) -> dict[str, object]:
        call = cast("dict[str, object]", request) if isinstance(request, dict) else {}
        call_id, method, params = call.get("id"), call.get("method"), call.get("params")
        try:
            if not isinstance(method, str):
                raise RpcRefusal(INVALID_REQUEST, "Invalid request")
            if params is not None and not isinstance(params, list):
                raise RpcRefusal(INVALID_PARAMS, "Invalid params: expected a list")
            result = self.call(method, *cast("list[object]", params or []))
        except RpcRefusal as refusal:
            return _error_json(call_id, refusal)
        return {"jsonrpc": "2.0", "result": result, "id": call_id}


def _error_json(call_id: object, refusal: RpcRefusal) -> dict[str, object]:
    return {"jsonrpc": "2.0", "error": refusal.to_json(), "id": call_id}


def _encode(answer: object) -> bytes:
    return msgspec.json.encode(answer)
