"""Where a payment out may go, and what it finds there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.token import ID as TOKEN_PROGRAM

from aisa.errors import InvalidRequest
from aisa.settlement.solana.answer import (
    TOKEN_ACCOUNT_BYTES,
    AccountRow,
    InContext,
    is_frozen,
    token_mint,
)
from aisa.settlement.solana.keys import token_account
from aisa.settlement.solana.rpc import SolanaRpc

_ACCOUNT_OPTIONS = {"encoding": "base64", "commitment": "confirmed"}


@dataclass(frozen=True, slots=True)
class Target:
    """The token account that gets the units; `owner` is set where it must be created first."""

    account: Pubkey
    owner: Pubkey | None


async def find_target(
    rpc: SolanaRpc, destination: str, mint: Pubkey, *, own: Iterable[Pubkey]
) -> Target:
    """Check a destination, an owner's address or a token account of the same mint.

    Tokens sent to a program's address, to another mint's account or to a frozen account would be
    lost or refused, so those are refused here, where nothing has been sent.

    Raises:
        InvalidRequest: it cannot receive this token, or it is our own.
        RailUnavailable: the network does not answer.
    """
    address = parse_address(destination)
    if address in set(own):
        raise InvalidRequest(
            "the destination is this node's own", hint="name an address outside of the node"
        )
    associated = token_account(address, mint)
    found = await rpc.call(
        InContext[tuple[AccountRow | None, ...]],
        "getMultipleAccounts",
        [str(address), str(associated)],
        _ACCOUNT_OPTIONS,
    )
    if len(found.value) != 2:
        raise InvalidRequest("the RPC node did not say what the destination is")
    at_address, at_associated = found.value
    if at_address is not None and at_address.owner == str(TOKEN_PROGRAM):
        _check_token_account(at_address, mint)
        return Target(address, None)
    if at_address is not None and (
        at_address.executable or at_address.owner != str(SYSTEM_PROGRAM)
    ):
        raise InvalidRequest("the destination belongs to a program")
    if not address.is_on_curve():
        raise InvalidRequest("the destination is no person's key and holds no token account")
    if at_associated is None:
        return Target(associated, address)
    _check_token_account(at_associated, mint)
    return Target(associated, None)


def parse_address(text: str) -> Pubkey:
    """An address in base58.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise InvalidRequest(f"{text[:64]!r} is not a Solana address") from error


def _check_token_account(row: AccountRow, mint: Pubkey) -> None:
    data = row.bytes()
    if len(data) != TOKEN_ACCOUNT_BYTES or token_mint(data) != bytes(mint):
        raise InvalidRequest("the destination is not an account of this token")
    if is_frozen(data):
        raise InvalidRequest("the destination's token account is frozen by its issuer")
