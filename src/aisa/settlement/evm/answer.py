"""The shapes of the JSON-RPC answers that the rail reads; members that it does not need are skipped."""

from __future__ import annotations

import re
from typing import Final, TypeVar, cast

import msgspec

from aisa.errors import RailUnavailable

T = TypeVar("T")

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)


class Block(msgspec.Struct, frozen=True, rename="camel"):
    """A block's head."""

    number: str
    hash: str
    timestamp: str
    gas_used: str
    gas_limit: str
    base_fee_per_gas: str | None = None

    @property
    def height(self) -> int:
        """Its number."""
        return quantity(self.number)

    @property
    def time_s(self) -> int:
        """When it was made, in unix seconds."""
        return quantity(self.timestamp)


class Log(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a chain tx."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool = False


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What a chain tx did; `l1_fee` is what some chains take besides."""

    transaction_hash: str
    status: str
    block_number: str
    block_hash: str
    gas_used: str
    logs: tuple[Log, ...]
    effective_gas_price: str = "0x0"
    l1_fee: str | None = None

    @property
    def height(self) -> int:
        """The number of its block."""
        return quantity(self.block_number)

    @property
    def is_success(self) -> bool:
        """Whether it was carried out; else all that it did was undone."""
        return quantity(self.status) == 1

    @property
    def fee_wei(self) -> int:
        """What its sender paid."""
        extra = quantity(self.l1_fee) if self.l1_fee else 0
        return quantity(self.gas_used) * quantity(self.effective_gas_price) + extra


class SentTx(msgspec.Struct, frozen=True):
    """A chain tx as it was sent."""

    input: str
    to: str | None = None

    def is_call(self, to: bytes, data: bytes) -> bool:
        """Whether it calls just this, with just these bytes."""
        return self.to is not None and data_bytes(self.to) == to and data_bytes(self.input) == data


class FeeHistory(msgspec.Struct, frozen=True, rename="camel"):
    """Fees of recent blocks; the last base fee is the next block's."""

    base_fee_per_gas: tuple[str, ...]
    gas_used_ratio: tuple[float, ...]
    reward: tuple[tuple[str, ...], ...] | None = None


MAYBE_RECEIPT = cast("type[Receipt | None]", Receipt | None)
"""The shape of an answer to `eth_getTransactionReceipt`."""

MAYBE_SENT_TX = cast("type[SentTx | None]", SentTx | None)
"""The shape of an answer to `eth_getTransactionByHash`."""

LOGS = tuple[Log, ...]
"""The shape of an answer to `eth_getLogs`."""


def quantity(text: str) -> int:
    """Read a hexadecimal number.

    Raises:
        RailUnavailable: it is none.
    """
    if _QUANTITY.fullmatch(text) is None:
        raise RailUnavailable("the RPC server sent a number that is none")
    return int(text, 16)


def data_bytes(text: str, size: int | None = None) -> bytes:
    """Read bytes in hexadecimal, of one size if it is given.

    Raises:
        RailUnavailable: they are none, or have another size.
    """
    if _DATA.fullmatch(text) is None:
        raise RailUnavailable("the RPC server sent bytes that are none")
    data = bytes.fromhex(text[2:])
    if size is not None and len(data) != size:
        raise RailUnavailable(f"the RPC server sent {len(data)} bytes instead of {size}")
    return data


def word(text: str) -> int:
    """Read one 32-byte number, such as a contract answers.

    Raises:
        RailUnavailable: it is none.
    """
    return int.from_bytes(data_bytes(text, 32))
