"""Lamports and tokens of a chain tx's accounts, read before and after it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN_PROGRAM

TOKEN_ACCOUNT_BYTES = 165
MINT_BYTES = 82
_SCALE_AT = 44


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """The tokens of one account, at its place among a chain tx's accounts."""

    index: int
    mint: str
    owner: str
    units: int
    scale: int

    def to_json(self) -> dict[str, object]:
        """As `preTokenBalances` and `postTokenBalances` show it."""
        return {
            "accountIndex": self.index,
            "mint": self.mint,
            "owner": self.owner,
            "programId": str(TOKEN_PROGRAM),
            "uiTokenAmount": token_amount(self.units, self.scale),
        }


@dataclass(frozen=True, slots=True)
class Balances:
    """The lamports of each account of a chain tx, and the tokens of those that hold some."""

    lamports: list[int]
    tokens: list[TokenBalance]

    @classmethod
    def read(cls, svm: LiteSVM, keys: Sequence[Pubkey]) -> Balances:
        """Read them now."""
        return cls([svm.get_balance(key) or 0 for key in keys], _tokens(svm, keys))


def token_amount(units: int, scale: int) -> dict[str, object]:
    """A token amount in the three forms that the RPC gives."""
    whole, rest = divmod(units, 10**scale)
    text = f"{whole}.{rest:0{scale}d}".rstrip("0").rstrip(".") if scale else str(whole)
    return {
        "amount": str(units),
        "decimals": scale,
        "uiAmount": units / 10**scale,  # a courtesy of the RPC to people; we never read it
        "uiAmountString": text,
    }


def mint_scale(svm: LiteSVM, mint: Pubkey) -> int:
    """The count of decimals of a mint; 0 if there is no such mint."""
    account = svm.get_account(mint)
    if account is None or account.owner != TOKEN_PROGRAM or len(account.data) != MINT_BYTES:
        return 0
    return account.data[_SCALE_AT]


def _tokens(svm: LiteSVM, keys: Sequence[Pubkey]) -> list[TokenBalance]:
    found: list[TokenBalance] = []
    for index, key in enumerate(keys):
        account = svm.get_account(key)
        if account is None or account.owner != TOKEN_PROGRAM:
            continue
        data = account.data
        if len(data) != TOKEN_ACCOUNT_BYTES:
            continue
        mint = Pubkey(data[:32])
        units = int.from_bytes(data[64:72], "little")
        owner = str(Pubkey(data[32:64]))
        found.append(TokenBalance(index, str(mint), owner, units, mint_scale(svm, mint)))
    return found
