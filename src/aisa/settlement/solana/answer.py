"""The shapes of the RPC answers that the rail reads; members that it does not need are skipped."""

from __future__ import annotations

import base64
import binascii
from typing import Generic, TypeVar, cast

import msgspec

from aisa.errors import RailUnavailable

T = TypeVar("T")

TOKEN_ACCOUNT_BYTES = 165
_FROZEN = 2


class InContext(msgspec.Struct, Generic[T], frozen=True):
    """An answer that names the slot it speaks of."""

    value: T


class LatestBlockhash(msgspec.Struct, frozen=True, rename="camel"):
    """A blockhash, and the last block height at which a chain tx with it can land."""

    blockhash: str
    last_valid_block_height: int


class SignatureStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What a node knows of a chain tx; `err` is null where its instructions succeeded."""

    slot: int
    err: object = None
    confirmation_status: str | None = None


class SignatureRow(msgspec.Struct, frozen=True):
    """One chain tx that names an address."""

    signature: str
    slot: int
    err: object = None


class UiTokenAmount(msgspec.Struct, frozen=True):
    """Units as digits."""

    amount: str


class TokenBalanceRow(msgspec.Struct, frozen=True, rename="camel"):
    """The tokens of one account of a chain tx."""

    account_index: int
    mint: str
    ui_token_amount: UiTokenAmount


class LoadedAddresses(msgspec.Struct, frozen=True):
    """Accounts that came from lookup tables."""

    writable: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()


class LandedMeta(msgspec.Struct, frozen=True, rename="camel"):
    """What a chain tx did."""

    fee: int
    err: object = None
    pre_token_balances: tuple[TokenBalanceRow, ...] | None = None
    post_token_balances: tuple[TokenBalanceRow, ...] | None = None
    loaded_addresses: LoadedAddresses | None = None


class LandedMessage(msgspec.Struct, frozen=True, rename="camel"):
    """A chain tx's own accounts."""

    account_keys: tuple[str, ...]


class LandedBody(msgspec.Struct, frozen=True):
    """A chain tx as it was signed."""

    message: LandedMessage


class LandedTx(msgspec.Struct, frozen=True):
    """A landed chain tx."""

    slot: int
    meta: LandedMeta
    transaction: LandedBody

    def accounts(self) -> tuple[str, ...]:
        """Its accounts in the order that balances count them."""
        loaded = self.meta.loaded_addresses or LoadedAddresses()
        return self.transaction.message.account_keys + loaded.writable + loaded.readonly

    def credits(self) -> dict[int, tuple[str, int]]:
        """For each account that gained tokens: its place → (mint, units gained)."""
        before = {row.account_index: _units(row) for row in self.meta.pre_token_balances or ()}
        gained = {
            row.account_index: (row.mint, _units(row) - before.get(row.account_index, 0))
            for row in self.meta.post_token_balances or ()
        }
        return {at: (mint, units) for at, (mint, units) in gained.items() if units > 0}


class AccountRow(msgspec.Struct, frozen=True):
    """An account with its data in base64."""

    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool = False

    def bytes(self) -> bytes:
        """The account's data.

        Raises:
            RailUnavailable: it is not base64.
        """
        try:
            return base64.b64decode(self.data[0], validate=True)
        except binascii.Error as error:
            raise RailUnavailable("the RPC node sent an account that is not base64") from error


class Simulated(msgspec.Struct, frozen=True):
    """What a chain tx would do."""

    err: object = None
    logs: tuple[str, ...] | None = None


class PriorityFeeRow(msgspec.Struct, frozen=True, rename="camel"):
    """What a recent slot's chain txs paid per compute unit, in millionths of a lamport."""

    slot: int
    prioritization_fee: int


STATUSES = InContext[tuple[SignatureStatus | None, ...]]
"""The shape of an answer to `getSignatureStatuses`."""

MAYBE_LANDED = cast("type[LandedTx | None]", LandedTx | None)
"""The shape of an answer to `getTransaction`."""


def token_units(data: bytes) -> int:
    """The units in a token account's data."""
    return int.from_bytes(data[64:72], "little")


def token_mint(data: bytes) -> bytes:
    """The mint in a token account's data."""
    return data[:32]


def is_frozen(data: bytes) -> bool:
    """Whether a token account's data says that its issuer froze it."""
    return data[108] == _FROZEN


def _units(row: TokenBalanceRow) -> int:
    text = row.ui_token_amount.amount
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise RailUnavailable("the RPC node sent a token balance that is not a number")
    return int(text)
