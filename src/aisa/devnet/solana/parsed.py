"""The `jsonParsed` forms: mints, token accounts, and the instructions that carry tokens."""

from __future__ import annotations

from collections.abc import Sequence

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.token import ID as TOKEN_PROGRAM
from solders.token.state import Mint, TokenAccount

from aisa.devnet.solana.balance import MINT_BYTES, TOKEN_ACCOUNT_BYTES, mint_scale, token_amount
from aisa.devnet.solana.instruction import ASSOCIATED_PROGRAM, MEMO_PROGRAM

_STATE_NAMES = ("uninitialized", "initialized", "frozen")


def parsed_account(svm: LiteSVM, account: Account) -> dict[str, object] | None:
    """The parsed data of a mint or token account, None for any other."""
    if account.owner != TOKEN_PROGRAM:
        return None
    if len(account.data) == MINT_BYTES:
        kind, info = "mint", _mint_info(Mint.from_bytes(account.data))
    elif len(account.data) == TOKEN_ACCOUNT_BYTES:
        kind, info = "account", _token_info(svm, TokenAccount.from_bytes(account.data))
    else:
        return None
    parsed = {"type": kind, "info": info}
    return {"program": "spl-token", "parsed": parsed, "space": len(account.data)}


def parsed_instruction(
    program: Pubkey, accounts: Sequence[str], data: bytes
) -> dict[str, object] | None:
    """The parsed form of a token, system, associated-account or memo instruction, else None."""
    if program == TOKEN_PROGRAM:
        name, parsed = "spl-token", _token_instruction(accounts, data)
    elif program == SYSTEM_PROGRAM:
        name, parsed = "system", _system_instruction(accounts, data)
    elif program == ASSOCIATED_PROGRAM:
        name, parsed = "spl-associated-token-account", _associated_instruction(accounts, data)
    elif program == MEMO_PROGRAM:
        text = data.decode("utf-8", "replace")
        return {"program": "spl-memo", "programId": str(program), "parsed": text}
    else:
        return None
    if parsed is None:
        return None
    return {"program": name, "programId": str(program), "parsed": parsed}


def _mint_info(mint: Mint) -> dict[str, object]:
    return {
        "decimals": mint.decimals,
        "freezeAuthority": _text(mint.freeze_authority),
        "isInitialized": mint.is_initialized,
        "mintAuthority": _text(mint.mint_authority),
        "supply": str(mint.supply),
    }


def _token_info(svm: LiteSVM, token: TokenAccount) -> dict[str, object]:
    info: dict[str, object] = {
        "isNative": token.is_native is not None,
        "mint": str(token.mint),
        "owner": str(token.owner),
        "state": _STATE_NAMES[int(token.state)],
        "tokenAmount": token_amount(token.amount, mint_scale(svm, token.mint)),
    }
    if token.delegate is not None:
        info["delegate"] = str(token.delegate)
        scale = mint_scale(svm, token.mint)
        info["delegatedAmount"] = token_amount(token.delegated_amount, scale)
    return info


def _token_instruction(accounts: Sequence[str], data: bytes) -> dict[str, object] | None:
    tag = data[0] if data else -1
    units = int.from_bytes(data[1:9], "little")
    if tag == 12 and len(data) >= 10 and len(accounts) >= 4:
        source, mint, destination, authority = accounts[:4]
        info = {"source": source, "mint": mint, "destination": destination, "authority": authority}
        return _typed("transferChecked", {**info, "tokenAmount": token_amount(units, data[9])})
    if tag == 3 and len(accounts) >= 3:
        source, destination, authority = accounts[:3]
        info = {"source": source, "destination": destination, "authority": authority}
        return _typed("transfer", {**info, "amount": str(units)})
    if tag == 14 and len(data) >= 10 and len(accounts) >= 3:
        mint, account, authority = accounts[:3]
        info = {"mint": mint, "account": account, "mintAuthority": authority}
        return _typed("mintToChecked", {**info, "tokenAmount": token_amount(units, data[9])})
    return None


def _system_instruction(accounts: Sequence[str], data: bytes) -> dict[str, object] | None:
    if data[:4] != b"\x02\0\0\0" or len(data) < 12 or len(accounts) < 2:
        return None
    lamports = int.from_bytes(data[4:12], "little")
    info = {"source": accounts[0], "destination": accounts[1], "lamports": lamports}
    return _typed("transfer", info)


def _associated_instruction(accounts: Sequence[str], data: bytes) -> dict[str, object] | None:
    if data not in {b"", b"\0", b"\x01"} or len(accounts) < 6:
        return None
    names = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
    kind = "createIdempotent" if data == b"\x01" else "create"
    return _typed(kind, dict(zip(names, accounts[:6], strict=True)))


def _typed(kind: str, info: object) -> dict[str, object]:
    return {"type": kind, "info": info}


def _text(key: Pubkey | None) -> str | None:
    return None if key is None else str(key)
