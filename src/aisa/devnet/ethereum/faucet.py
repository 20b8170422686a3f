"""Money from nowhere: native coins and tokens for an address, each on record before it is sent.

The record is kept beside the chain and not in it, so that sums over the chain can be held against
something else than the chain's own word.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from aisa.devnet.ethereum.card import ChainCard
from aisa.devnet.ethereum.deployer import call_data
from aisa.devnet.ethereum.rpc import Rpc, quantity
from aisa.errors import ConfigInvalid, InvalidAmount, InvalidRequest, OutcomeUnknown, RailError

RECORD_FILE: Final = "gifts.jsonl"
_UNITS_MAX: Final = 2**127


class Gift(msgspec.Struct, frozen=True, tag="gift"):
    """One gift, written down before it is sent: its sender and nonce tell it from every other.

    `asset` is a CAIP-19 name; native coins (`slip44:…`) are not made but moved from the faucet.
    """

    asset: str
    to: str
    units: str
    sender: str
    nonce: int
    after_block: int

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from every other."""
        return self.sender, self.nonce


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """The chain tx that carries a gift, written down after it was sent."""

    sender: str
    nonce: int
    tx: str


@dataclass(frozen=True, slots=True)
class Landed:
    """A gift that is on the chain, and by which chain tx."""

    gift: Gift
    tx: str


class Faucet:
    """Gives on one chain; any number of processes may, on the same folder."""

    def __init__(self, card: ChainCard, rpc: Rpc) -> None:
        self._card = card
        self._rpc = rpc
        self._record = Path(card.folder, RECORD_FILE)

    def give_native(self, to: str, wei: int) -> str:
        """Move native coins from the faucet to an address; returns the chain tx.

        Raises:
            InvalidAmount: it is not a whole number above zero.
            InvalidRequest: it is not an address.
            RailError: the chain refused.
        """
        _check(to, wei)
        sender = self._card.roles["faucet"]

        def gift(nonce: int, block: int) -> Gift:
            return Gift(self._card.native_asset, to, str(wei), sender, nonce, block)

        return self._give(gift, {"from": sender, "to": to, "value": hex(wei)})

    def give_token(self, symbol: str, to: str, units: int) -> str:
        """Make tokens for an address; returns the chain tx.

        Raises:
            ConfigInvalid: the chain has no such token.
            InvalidAmount: it is not a whole number above zero.
            InvalidRequest: it is not an address.
            RailError: the chain refused.
        """
        _check(to, units)
        token = self._card.token(symbol)
        data = call_data(self._rpc, "mint(address,uint256)", [to, units])

        def gift(nonce: int, block: int) -> Gift:
            return Gift(token.asset, to, str(units), token.minter, nonce, block)

        return self._give(gift, {"from": token.minter, "to": token.address, "data": data})

    def landed(self) -> list[Landed]:
        """Every gift that reached the chain, in order.

        A gift whose sender died before it sent it is left out, and so is one that a re-org took back.

        Raises:
            ConfigInvalid: the record is damaged.
        """
        gifts, sent = self._read()
        found: list[Landed] = []
        for gift in gifts:
            tx = sent.get(gift.key) or self._look_for(gift)
            receipt = self._rpc.receipt(tx) if tx else None
            if tx and receipt is not None and quantity(receipt["status"]) == 1:
                found.append(Landed(gift, tx))
        return found

    def minted_units(self, symbol: str) -> int:
        """How much of a token was ever made, by the record."""
        asset = self._card.token(symbol).asset
        return sum(int(one.gift.units) for one in self.landed() if one.gift.asset == asset)

    def _give(self, gift_of: Callable[[int, int], Gift], tx: Mapping[str, str]) -> str:
        sender = tx["from"]
        with self._alone() as record:
            # A chain tx that still waits for its block must be counted too.
            nonce = self._rpc.number("eth_getTransactionCount", sender, "pending")
            _write(record, gift_of(nonce, self._rpc.number("eth_blockNumber")))
            try:
                answer = self._rpc.call("eth_sendTransaction", {**tx, "nonce": hex(nonce)})
            except RailError as error:
                raise type(error)(f"the faucet could not give: {error.detail}") from error
            tx_hash = str(answer)
            _write(record, Sent(sender, nonce, tx_hash))
        try:
            self._rpc.wait_for(tx_hash)
        except OutcomeUnknown as error:
            hint = "it waits for the next block; the gift is on record and will arrive"
            raise OutcomeUnknown(error.detail, hint=hint) from error
        return tx_hash

    def _look_for(self, gift: Gift) -> str | None:
        """The chain tx of a gift whose sender died before it could write it down."""
        newest = self._rpc.number("eth_blockNumber")
        for number in range(gift.after_block, newest + 1):
            block = self._rpc.call("eth_getBlockByNumber", hex(number), True)
            if not isinstance(block, dict):
                continue
            for tx in cast("dict[str, list[dict[str, str]]]", block)["transactions"]:
                if (tx["from"].lower(), quantity(tx["nonce"])) == (gift.sender, gift.nonce):
                    return tx["hash"]
        return None

    def _read(self) -> tuple[list[Gift], dict[tuple[str, int], str]]:
        """The gifts, and the chain txs of those that were sent.

        Of two gifts with one nonce the later counts: the chain has lost the earlier.
        """
        gifts: dict[tuple[str, int], Gift] = {}
        sent: dict[tuple[str, int], str] = {}
        try:
            lines = self._record.read_bytes().splitlines()
            rows = [msgspec.json.decode(line, type=Gift | Sent) for line in lines]
        except FileNotFoundError:
            return [], {}
        except msgspec.MsgspecError as error:
            raise ConfigInvalid(f"{self._record} is damaged: {error}") from error
        for row in rows:
            if isinstance(row, Gift):
                gifts.pop(row.key, None)
                sent.pop(row.key, None)
                gifts[row.key] = row
            else:
                sent[row.sender, row.nonce] = row.tx
        return list(gifts.values()), sent

    @contextmanager
    def _alone(self) -> Generator[IO[bytes]]:
        """The record, opened to be written, by one process and thread at a time."""
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self._record.open("ab") as record:
            fcntl.flock(record, fcntl.LOCK_EX)
            yield record


def _write(record: IO[bytes], row: Gift | Sent) -> None:
    record.write(msgspec.json.encode(row) + b"\n")
    record.flush()
    os.fsync(record.fileno())


def _check(to: str, units: int) -> None:
    if not 0 < units < _UNITS_MAX:
        raise InvalidAmount(f"{units} is not something that can be given")
    digits = to.removeprefix("0x")
    if (
        len(to) != 42
        or len(digits) != 40
        or not all(one in "0123456789abcdefABCDEF" for one in digits)
    ):
        raise InvalidRequest(f"{to[:64]!r} is not an EVM address", hint="0x and 40 hex digits")
