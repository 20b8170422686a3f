"""Calls, collector data and events of the escrow contract, byte by byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aisa.protocol.eip712 import (
    UINT40_MAX,
    UINT128_MAX,
    WORD_SIZE,
    address_word,
    bytes_word,
    uint_word,
)
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.keccak import keccak_256
from aisa.protocol.x402.batch import Claim
from aisa.protocol.x402.batch_payload import Eip3009Deposit, Permit2Deposit
from aisa.settlement.evm.erc20 import call_data

_CONFIG: Final = "(address,address,address,address,address,uint40,bytes32)"
_CLAIMS: Final = f"(({_CONFIG},uint128),bytes,uint128)[]"
_CONFIG_WORDS: Final = 7
_CLAIM_WORDS: Final = _CONFIG_WORDS + 3

WITHDRAW_INITIATED_TOPIC: Final = (
    "0x" + keccak_256(b"WithdrawInitiated(bytes32,uint128,uint40)").hex()
)


def deposit_data(config: ChannelConfig, units: int, collector: bytes, piece: bytes) -> bytes:
    """Return the call that puts units into a channel; `piece` is for the collector.

    Raises:
        MalformedMessage: a member has another size, or is out of range.
    """
    return call_data(
        f"deposit({_CONFIG},uint128,address,bytes)",
        config_words(config),
        uint_word(units, UINT128_MAX),
        address_word(collector),
        *_dynamic(_CONFIG_WORDS + 2, piece),
    )


def eip3009_piece(deposit: Eip3009Deposit) -> bytes:
    """Return what the EIP-3009 collector needs."""
    return b"".join(
        (
            uint_word(deposit.valid_after),
            uint_word(deposit.valid_before),
            bytes_word(deposit.salt),
            *_dynamic(3, deposit.signature),
        )
    )


def permit2_piece(deposit: Permit2Deposit) -> bytes:
    """Return what the Permit2 collector needs; the payer has approved Permit2 before."""
    permit = deposit.permit
    signature, approval = _padded(deposit.signature), _padded(b"")
    offset = 4 * WORD_SIZE
    return b"".join(
        (
            uint_word(permit.nonce),
            uint_word(permit.deadline),
            uint_word(offset),
            uint_word(offset + len(signature)),
            signature,
            approval,
        )
    )


def claim_data(claims: Sequence[Claim]) -> bytes:
    """Return the call by which the receiver's side claims."""
    return call_data(f"claim({_CLAIMS})", uint_word(WORD_SIZE), _claim_rows(claims))


def signed_claim_data(claims: Sequence[Claim], signature: bytes) -> bytes:
    """Return the call that claims under the receiver authorizer's signature."""
    rows = _claim_rows(claims)
    return call_data(
        f"claimWithSignature({_CLAIMS},bytes)",
        uint_word(2 * WORD_SIZE),
        uint_word(2 * WORD_SIZE + len(rows)),
        rows,
        _padded(signature),
    )


def settle_data(receiver: bytes, token: bytes) -> bytes:
    """Return the call that pays a receiver what was claimed for it."""
    return call_data("settle(address,address)", address_word(receiver), address_word(token))


def refund_data(config: ChannelConfig, units: int) -> bytes:
    """Return the call by which the receiver's side gives units back to the payer."""
    amount = uint_word(units, UINT128_MAX)
    return call_data(f"refund({_CONFIG},uint128)", config_words(config), amount)


def signed_refund_data(config: ChannelConfig, units: int, nonce: int, signature: bytes) -> bytes:
    """Return the call that gives units back under the receiver authorizer's signature."""
    return call_data(
        f"refundWithSignature({_CONFIG},uint128,uint256,bytes)",
        config_words(config),
        uint_word(units, UINT128_MAX),
        uint_word(nonce),
        *_dynamic(_CONFIG_WORDS + 2, signature),
    )


def begin_withdrawal_data(config: ChannelConfig, units: int) -> bytes:
    """Return the call by which the payer's side begins to take units back."""
    amount = uint_word(units, UINT128_MAX)
    return call_data(f"initiateWithdraw({_CONFIG},uint128)", config_words(config), amount)


def end_withdrawal_data(config: ChannelConfig) -> bytes:
    """Return the call by which the payer's side ends a withdrawal."""
    return call_data(f"finalizeWithdraw({_CONFIG})", config_words(config))


def approve_data(spender: bytes, units: int) -> bytes:
    """Return the call that lets a contract take units of the caller's."""
    return call_data("approve(address,uint256)", address_word(spender), uint_word(units))


def allowance_data(owner: bytes, spender: bytes) -> bytes:
    """Return the call that asks how much a contract may take."""
    return call_data("allowance(address,address)", address_word(owner), address_word(spender))


def channel_data(channel: bytes) -> bytes:
    """Return the call that asks for a channel's balance and claimed total."""
    return call_data("channels(bytes32)", bytes_word(channel))


def pending_data(channel: bytes) -> bytes:
    """Return the call that asks for a channel's withdrawal."""
    return call_data("pendingWithdrawals(bytes32)", bytes_word(channel))


def refund_nonce_data(channel: bytes) -> bytes:
    """Return the call that asks for the nonce of a channel's next signed refund."""
    return call_data("refundNonce(bytes32)", bytes_word(channel))


def receiver_data(receiver: bytes, token: bytes) -> bytes:
    """Return the call that asks what was claimed for a receiver, and what of it was paid out."""
    return call_data("receivers(address,address)", address_word(receiver), address_word(token))


def channel_id_data(config: ChannelConfig) -> bytes:
    """Return the call that asks the contract for a channel's id."""
    return call_data(f"getChannelId({_CONFIG})", config_words(config))


def voucher_digest_data(channel: bytes, ceiling: int) -> bytes:
    """Return the call that asks the contract what a payer signs."""
    words = bytes_word(channel), uint_word(ceiling, UINT128_MAX)
    return call_data("getVoucherDigest(bytes32,uint128)", *words)


def valid_signature_data(digest: bytes, signature: bytes) -> bytes:
    """Return the call that asks a contract wallet whether a signature is its own (ERC-1271)."""
    return call_data("isValidSignature(bytes32,bytes)", bytes_word(digest), *_dynamic(1, signature))


def config_words(config: ChannelConfig) -> bytes:
    """Return a config as seven words.

    Raises:
        MalformedMessage: a member has another size, or is out of range.
    """
    addresses = (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
    )
    delay = uint_word(config.withdraw_delay_s, UINT40_MAX)
    return b"".join(map(address_word, addresses)) + delay + bytes_word(config.salt)


def _claim_rows(claims: Sequence[Claim]) -> bytes:
    """The array: its length, where each row begins, and the rows."""
    rows = [_claim_row(claim) for claim in claims]
    return uint_word(len(rows)) + b"".join(_offsets(rows)) + b"".join(rows)


def _claim_row(claim: Claim) -> bytes:
    return b"".join(
        (
            config_words(claim.config),
            uint_word(claim.ceiling, UINT128_MAX),
            uint_word(_CLAIM_WORDS * WORD_SIZE),
            uint_word(claim.claimed, UINT128_MAX),
            _padded(claim.signature),
        )
    )


def _offsets(rows: Sequence[bytes]) -> Iterable[bytes]:
    offset = len(rows) * WORD_SIZE
    for row in rows:
        yield uint_word(offset)
        offset += len(row)


def _dynamic(words_before: int, data: bytes) -> tuple[bytes, bytes]:
    """Bytes that are the last argument: where they begin, and they themselves."""
    return uint_word((words_before + 1) * WORD_SIZE), _padded(data)


def _padded(data: bytes) -> bytes:
    return uint_word(len(data)) + data + bytes(-len(data) % WORD_SIZE)
