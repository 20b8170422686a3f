"""The four instructions of a payment out, byte by byte as their programs read them."""

from __future__ import annotations

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.token import ID as TOKEN_PROGRAM

from aisa.settlement.solana.keys import token_account

ASSOCIATED_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO_PROGRAM = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

_CREATE_IDEMPOTENT = b"\x01"
_TRANSFER_CHECKED = 12
# Two and a half times what the token programs of 2024 need, so that older validators pass too.
_UNITS_FIXED = 80_000
_UNITS_PER_SOURCE = 16_000


def compute_budget(sources: int, price_micro_lamports: int) -> list[Instruction]:
    """How much the chain tx may compute, and what it pays per unit to be taken sooner."""
    limit = set_compute_unit_limit(compute_unit_limit(sources))
    if not price_micro_lamports:
        return [limit]
    return [limit, set_compute_unit_price(price_micro_lamports)]


def compute_unit_limit(sources: int) -> int:
    """The compute units asked for with so many source accounts."""
    return _UNITS_FIXED + _UNITS_PER_SOURCE * sources


def create_token_account(payer: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    """Create an owner's associated token account unless it is there already."""
    return Instruction(
        ASSOCIATED_PROGRAM,
        _CREATE_IDEMPOTENT,
        [
            AccountMeta(payer, is_signer=True, is_writable=True),
            AccountMeta(token_account(owner, mint), is_signer=False, is_writable=True),
            AccountMeta(owner, is_signer=False, is_writable=False),
            AccountMeta(mint, is_signer=False, is_writable=False),
            AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
            AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
        ],
    )


def transfer_checked(
    owner: Pubkey, mint: Pubkey, destination: Pubkey, units: int, scale: int
) -> Instruction:
    """Move units from an owner's associated account; fails if mint or scale are not as said."""
    data = bytes([_TRANSFER_CHECKED]) + units.to_bytes(8, "little") + bytes([scale])
    return Instruction(
        TOKEN_PROGRAM,
        data,
        [
            AccountMeta(token_account(owner, mint), is_signer=False, is_writable=True),
            AccountMeta(mint, is_signer=False, is_writable=False),
            AccountMeta(destination, is_signer=False, is_writable=True),
            AccountMeta(owner, is_signer=True, is_writable=False),
        ],
    )


def memo(text: str) -> Instruction:
    """Write a text into the chain tx; it also makes two equal payments two different ones."""
    return Instruction(MEMO_PROGRAM, text.encode(), [])
