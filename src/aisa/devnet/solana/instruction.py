"""Instructions that the devnet's faucet and issuer, and wallets outside a node, put in a chain tx."""

from __future__ import annotations

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.token import ID as TOKEN_PROGRAM
from solders.token.associated import get_associated_token_address

ASSOCIATED_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO_PROGRAM = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

_CREATE_IDEMPOTENT = 1
_TRANSFER_CHECKED = 12
_MINT_TO_CHECKED = 14


def token_account(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The associated token account of an owner for a mint."""
    return get_associated_token_address(owner, mint)


def create_token_account(payer: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    """Create an owner's associated token account unless it is there already."""
    accounts = [
        AccountMeta(payer, is_signer=True, is_writable=True),
        AccountMeta(token_account(owner, mint), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
        AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
    ]
    return Instruction(ASSOCIATED_PROGRAM, bytes([_CREATE_IDEMPOTENT]), accounts)


def transfer_tokens(
    owner: Pubkey, mint: Pubkey, destination: Pubkey, units: int, scale: int
) -> Instruction:
    """Move units from an owner's associated account to a token account; the owner signs."""
    accounts = [
        AccountMeta(token_account(owner, mint), is_signer=False, is_writable=True),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(destination, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    return Instruction(TOKEN_PROGRAM, _amount_data(_TRANSFER_CHECKED, units, scale), accounts)


def mint_tokens(
    issuer: Pubkey, mint: Pubkey, destination: Pubkey, units: int, scale: int
) -> Instruction:
    """Make new units in a token account; the mint's issuer signs."""
    accounts = [
        AccountMeta(mint, is_signer=False, is_writable=True),
        AccountMeta(destination, is_signer=False, is_writable=True),
        AccountMeta(issuer, is_signer=True, is_writable=False),
    ]
    return Instruction(TOKEN_PROGRAM, _amount_data(_MINT_TO_CHECKED, units, scale), accounts)


def memo(text: str) -> Instruction:
    """Write a text into the chain tx."""
    return Instruction(MEMO_PROGRAM, text.encode(), [])


def _amount_data(tag: int, units: int, scale: int) -> bytes:
    return bytes([tag]) + units.to_bytes(8, "little") + bytes([scale])
