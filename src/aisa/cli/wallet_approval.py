"""Letting Permit2 move a token from the agent's address: one chain tx, whose gas the agent pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import httpx2

from aisa.cli.report import Report
from aisa.errors import ConfigInvalid, NotFound, OutcomeUnknown, RailUnavailable
from aisa.identity import EvmKey
from aisa.protocol.eip712 import UINT256_MAX, address_word, chain_id_of, uint_word
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_transaction import Transaction, transaction_hash
from aisa.protocol.permit2 import PERMIT2
from aisa.protocol.x402.token import PERMIT2_METHOD
from aisa.sdk.home import ensure_agent_seed, read_config
from aisa.sdk.purse import agent_evm_key
from aisa.sdk.x402_asset import PayableAsset

WAIT_S: Final = 120.0
_APPROVE: Final = bytes.fromhex("095ea7b3")
_ALLOWANCE: Final = bytes.fromhex("dd62ed3e")
_TIMEOUT_S: Final = 20.0
_ENOUGH: Final = 2**128
Rpc = Callable[..., Any]


def approve(home: Path, name: str, *, wait_s: float = WAIT_S) -> Report:
    """Approve Permit2 for a token of `[agent.x402]`, unless it is already.

    Raises:
        NotFound: no such token is configured.
        ConfigInvalid: the token is not moved by Permit2, has no `rpc_url`, or that is another chain's.
        RailUnavailable: the RPC server refuses, or does not answer; nothing was sent.
        OutcomeUnknown: it was sent, and is not on the chain yet.
    """
    asset = _asset(home, name)
    key = agent_evm_key(ensure_agent_seed(home), asset.network)
    document = {"asset": asset.id, "address": format_address(key.address), "transaction": ""}
    with httpx2.Client(trust_env=False, timeout=_TIMEOUT_S) as http:

        def rpc(method: str, *parameters: object) -> Any:
            return _rpc(http, asset.rpc_url, method, parameters)

        if int(rpc("eth_chainId"), 16) != chain_id_of(asset.network):
            raise ConfigInvalid(f"{asset.rpc_url} is not a server of {asset.network}")
        data = _ALLOWANCE + address_word(key.address) + address_word(PERMIT2)
        if int(rpc("eth_call", _wish(asset, data), "latest"), 16) >= _ENOUGH:
            return Report(document, [f"Permit2 may move {asset.symbol} already"])
        raw = _signed(rpc, asset, key)
        sent = format_bytes(transaction_hash(raw))
        rpc("eth_sendRawTransaction", format_bytes(raw))
        _await(rpc, sent, wait_s)
    return Report({**document, "transaction": sent}, [f"Permit2 may move {asset.symbol}: {sent}"])


def _asset(home: Path, name: str) -> PayableAsset:
    found = [one for one in read_config(home).x402 if name in {one.symbol, one.id}]
    if len(found) != 1:
        raise NotFound(
            f"{len(found)} tokens of [agent.x402] are called {name[:80]!r}",
            hint="name it as eip155:8453/erc20:0x…",
        )
    (asset,) = found
    if asset.method != PERMIT2_METHOD or not asset.rpc_url:
        raise ConfigInvalid(
            f"{asset.symbol} needs method = {PERMIT2_METHOD!r} and an rpc_url to be approved"
        )
    return asset


def _wish(asset: PayableAsset, data: bytes) -> dict[str, str]:
    return {"to": format_address(asset.address), "data": format_bytes(data)}


def _signed(rpc: Rpc, asset: PayableAsset, key: EvmKey) -> bytes:
    data = _APPROVE + address_word(PERMIT2) + uint_word(UINT256_MAX)
    wish = {"from": format_address(key.address), **_wish(asset, data)}
    tip = int(rpc("eth_maxPriorityFeePerGas"), 16)
    base_fee = int(rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    transaction = Transaction(
        chain_id_of(asset.network),
        int(rpc("eth_getTransactionCount", wish["from"], "latest"), 16),
        tip,
        2 * base_fee + tip,
        int(rpc("eth_estimateGas", wish), 16) * 6 // 5,
        asset.address,
        0,
        data,
    )
    return transaction.signed(key.sign(transaction.digest()))


def _await(rpc: Rpc, sent: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        receipt = rpc("eth_getTransactionReceipt", sent)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise RailUnavailable(f"the token refused: {sent}")
            return
        time.sleep(0.5)
    raise OutcomeUnknown(f"{sent} is not on the chain yet", hint="run the command again later")


def _rpc(http: httpx2.Client, url: str, method: str, parameters: tuple[object, ...]) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    try:
        answer = cast("dict[str, Any]", http.post(url, json=body).json())
    except (httpx2.HTTPError, ValueError) as error:
        raise RailUnavailable(f"{url} does not answer: {error}") from error
    if answer.get("error"):
        raise RailUnavailable(f"{method}: {answer['error']}"[:500])
    return answer.get("result")
