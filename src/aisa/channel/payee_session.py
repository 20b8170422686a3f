"""Sessions at the payee, and the exchange keys that they are made with.

A key lives for two weeks and is replaced after one. All are derived from the payee's seed and a
number, so that a stored session finds the key of its time, and nothing but the seed is a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.channel.store import SessionRow
from aisa.identity import ExchangeKey, SessionKeys, Signer, derive_seed
from aisa.protocol.aip import Session, payee_exchange_bytes

EPOCH_S: Final = 7 * 24 * 3600
_CACHED_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class OfferedKey:
    """The X25519 key that new sessions use, until `expiry` (unix seconds), signed by the payee."""

    x25519: bytes
    expiry: int
    signature: bytes


class PayeeExchange:
    """The payee's exchange keys of all epochs."""

    def __init__(self, seed: bytes, signer: Signer) -> None:
        self._seed = seed
        self._signer = signer
        self._keys: dict[int, ExchangeKey] = {}
        self._offered: tuple[int, OfferedKey] | None = None

    def offered(self, now_s: int) -> OfferedKey:
        """The key to name in a challenge; it is good for at least one more week."""
        epoch = now_s // EPOCH_S
        if self._offered is None or self._offered[0] != epoch:
            public_key = self.key(epoch).public_key
            expiry = (epoch + 2) * EPOCH_S
            signature = self._signer.sign(payee_exchange_bytes(public_key, expiry))
            self._offered = (epoch, OfferedKey(public_key, expiry, signature))
        return self._offered[1]

    def epoch_of(self, x25519: bytes, now_s: int) -> int | None:
        """The epoch of a key that is offered now or was in the epoch before."""
        epoch = now_s // EPOCH_S
        return next(
            (number for number in (epoch, epoch - 1) if self.key(number).public_key == x25519),
            None,
        )

    def key(self, epoch: int) -> ExchangeKey:
        """The key of an epoch."""
        key = self._keys.get(epoch)
        if key is None:
            if len(self._keys) >= _CACHED_MAX:
                self._keys.clear()
            key = ExchangeKey(derive_seed(self._seed, "payee-exchange", str(epoch)))
            self._keys[epoch] = key
        return key


class PayeeSession:
    """A range of lanes under the payer's signature; its keys are derived when first needed."""

    __slots__ = ("_exchange", "_keys", "is_stored", "row")

    def __init__(self, row: SessionRow, exchange: PayeeExchange, *, is_stored: bool) -> None:
        self.row = row
        self.is_stored = is_stored
        self._exchange = exchange
        self._keys: SessionKeys | None = None

    @classmethod
    def new(
        cls, channel_number: int, session: Session, epoch: int, exchange: PayeeExchange
    ) -> PayeeSession:
        """A session that was just checked and is not stored yet."""
        row = SessionRow(
            channel_number,
            session.hash,
            session.payer_x25519,
            session.payee_x25519,
            epoch,
            session.lane_first,
            session.lane_count,
            session.expiry,
        )
        return cls(row, exchange, is_stored=False)

    @property
    def keys(self) -> SessionKeys:
        """The MAC keys shared with the payer.

        Raises:
            MalformedMessage: the payer's key is no point that gives a shared secret.
        """
        if self._keys is None:
            own = self._exchange.key(self.row.epoch)
            self._keys = own.session_keys(self.row.payer_x25519, self.row.hash)
        return self._keys

    @property
    def expiry(self) -> int:
        """When it ends, in unix seconds."""
        return self.row.expiry

    def has_lane(self, lane: int) -> bool:
        """Whether the lane lies in its range."""
        return 0 <= lane - self.row.lane_first < self.row.lane_count

    def overlaps(self, session: Session) -> bool:
        """Whether both ranges share a lane."""
        own_end = self.row.lane_first + self.row.lane_count
        end = session.lane_first + session.lane_count
        return self.row.lane_first < end and session.lane_first < own_end
