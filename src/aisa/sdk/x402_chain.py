"""Asking a chain what became of signed transfers, where the owner names an RPC server for the token."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, cast

import msgspec

from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.protocol.eip712 import address_word, bytes_word, uint_word
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.permit2 import PERMIT2
from aisa.protocol.x402.token import PERMIT2_METHOD
from aisa.sdk.step import Dance, Reply, Send, send
from aisa.sdk.x402_asset import PayableAsset

FINAL_S: Final = 900
"""So long after its expiry, in the chain's time, an unused transfer is taken for dead: no re-org of
any chain that we know of reaches back further."""
_TIMEOUT_S: Final = 5.0
_BALANCE_OF: Final = bytes.fromhex("70a08231")
_AUTHORIZATION_STATE: Final = bytes.fromhex("e94a0102")
_NONCE_BITMAP: Final = bytes.fromhex("4fe02b44")


def ask_state(payer: bytes, asset: PayableAsset, transfer: WalletTransfer) -> Dance[TransferState]:
    """Return SETTLED or FAILED where the chain proves it, else the state that it has."""
    with suppress(TypeError, ValueError, KeyError):
        head = yield from _rpc(asset.rpc_url, "eth_getBlockByNumber", "latest", False)
        if head is None:
            return transfer.state
        is_used = yield from _ask_used(payer, asset, transfer.nonce, head["number"])
        if is_used:
            return TransferState.SETTLED
        if is_used is False and int(head["timestamp"], 16) > transfer.expiry + FINAL_S:
            return TransferState.FAILED
    return transfer.state


def _ask_used(payer: bytes, asset: PayableAsset, nonce: bytes, block: str) -> Dance[bool | None]:
    if asset.method != PERMIT2_METHOD:
        data = _AUTHORIZATION_STATE + address_word(payer) + bytes_word(nonce)
        word = yield from _call(asset, asset.address, data, block)
        return None if word is None else bool(word)
    # Permit2 keeps a bit for each nonce, 256 of them in a word.
    data = _NONCE_BITMAP + address_word(payer) + uint_word(int.from_bytes(nonce) >> 8)
    word = yield from _call(asset, PERMIT2, data, block)
    return None if word is None else bool(word >> nonce[-1] & 1)


def ask_balance(holder: bytes, asset: PayableAsset) -> Dance[int | None]:
    """Return how many atomic units an address holds; None if the server does not say."""
    data = _BALANCE_OF + address_word(holder)
    with suppress(TypeError, ValueError):
        return (yield from _call(asset, asset.address, data, "latest"))
    return None


def _call(asset: PayableAsset, contract: bytes, data: bytes, block: str) -> Dance[int | None]:
    wish = {"to": format_address(contract), "data": format_bytes(data)}
    word = yield from _rpc(asset.rpc_url, "eth_call", wish, block)
    return None if word is None else int(word, 16)


def _rpc(url: str, method: str, *parameters: object) -> Dance[Any]:
    """Make a JSON-RPC call; None if there is no server, or no result."""
    if not url:
        return None
    body = msgspec.json.encode(
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    )
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    reply = yield from send(Send("POST", url, headers, body, _TIMEOUT_S))
    if not isinstance(reply, Reply) or reply.status != 200:
        return None
    try:
        answer = msgspec.json.decode(reply.content)
    except msgspec.MsgspecError:
        return None
    return cast("dict[str, Any]", answer).get("result") if isinstance(answer, dict) else None
