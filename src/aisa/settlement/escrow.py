"""The optional port of a rail whose network has a contract that holds the deposits of channels.

Whoever pays in, claims or refunds names an id, and that id is its idempotency key for ever: the same
id and content give the same outcome, other content is refused. The outcomes are those of a rail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from aisa.money import Token
from aisa.protocol.eip712 import Domain
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.x402.batch import Claim
from aisa.protocol.x402.batch_payload import Eip3009Deposit, Permit2Deposit
from aisa.settlement.pull import PullCheck
from aisa.settlement.rail import Outcome

PayerSignature: TypeAlias = "Eip3009Deposit | Permit2Deposit"
"""What lets somebody else pay a deposit in: the payer's signature, which names the channel."""


@dataclass(frozen=True, slots=True)
class SignedDeposit:
    """`units` into a channel, signed by its payer: the first ones open it, others top it up."""

    config: ChannelConfig
    units: int
    signed: PayerSignature


@dataclass(frozen=True, slots=True)
class Leaving:
    """A payer's withdrawal of `units`, which it may end from `ends_at_s` (unix seconds) on."""

    units: int
    ends_at_s: int


@dataclass(frozen=True, slots=True)
class ChannelView:
    """What stands behind a channel: `deposit_units` went in and not back to the payer.

    Deposit and claimed total are final. A withdrawal counts as soon as any server shows it, and a
    deposit counts no longer once it is on its way back: both only ever err to the payee's safety.
    `now_s` is the newest block's time.
    """

    channel: bytes
    deposit_units: int
    claimed_units: int
    leaving: Leaving | None
    now_s: int

    @property
    def time_left_s(self) -> int | None:
        """How long vouchers can surely be claimed; None as long as the payer stays."""
        return None if self.leaving is None else max(0, self.leaving.ends_at_s - self.now_s)


@dataclass(frozen=True, slots=True)
class Earnings:
    """A receiver's totals over all its channels in one token."""

    claimed_units: int
    settled_units: int

    @property
    def unsettled_units(self) -> int:
        """What was claimed and not paid out yet."""
        return self.claimed_units - self.settled_units


@dataclass(frozen=True, slots=True)
class LeavingNotice:
    """A payer began to withdraw; one that is not final may still be taken back by the chain."""

    channel: bytes
    leaving: Leaving
    is_final: bool
    reference: str


@dataclass(frozen=True, slots=True)
class LeavingNotices:
    """Withdrawals begun after a cursor, oldest first, and the cursor to go on from."""

    notices: tuple[LeavingNotice, ...]
    cursor: bytes


class Escrow(Protocol):
    """Channels whose deposits a contract of one network holds."""

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        ...

    @property
    def domain(self) -> Domain:
        """The contract's signing domain: channel ids and vouchers are made in it."""
        ...

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens that channels may be in."""
        ...

    @property
    def operator(self) -> bytes:
        """The address that sends: a receiver authorizer that is this one needs to sign nothing."""
        ...

    async def check_contract(self) -> None:
        """Look at the contract's code and domain, once; every other method does so first.

        Raises:
            ConfigInvalid: it is not the contract that it should be.
            RailUnavailable: the network does not answer.
        """
        ...

    async def check_deposit(self, deposit: SignedDeposit) -> PullCheck:
        """Whether a signed deposit would go through now; changes nothing.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def deposit(self, id: str, deposit: SignedDeposit) -> Outcome:  # noqa: A002 - see `Rail`
        """Open or top up a channel by the payer's signature, and wait a bounded time.

        Settled, too, if somebody else carried the same signature out.

        Raises:
            InvalidRequest: it would not go through; the fact `problem` says why.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def fund(self, id: str, config: ChannelConfig, units: int) -> Outcome:  # noqa: A002
        """Open or top up a channel whose payer is the operator, out of its treasury.

        Raises:
            InvalidRequest: another payer, or a config that the contract refuses.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now, or too little money; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def view(self, configs: Sequence[ChannelConfig]) -> list[ChannelView]:
        """What stands behind channels, in their order.

        Raises:
            RailUnavailable: the network does not answer, or its servers disagree.
        """
        ...

    async def is_signed(self, config: ChannelConfig, ceiling: int, signature: bytes) -> bool:
        """Whether a channel's payer signed a voucher; a payer that is a contract is asked.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def check_claims(self, claims: Sequence[Claim], signature: bytes | None = None) -> None:
        """Look at the rows of a claim before anything is sent.

        Raises:
            InvalidRequest: a row is forged, exceeds its voucher or deposit, or may not be claimed
                by this caller; the fact `channel` names it.
            RailUnavailable: the network does not answer.
        """
        ...

    async def claim(
        self,
        id: str,  # noqa: A002
        claims: Sequence[Claim],
        signature: bytes | None = None,
    ) -> Outcome:
        """Make vouchers the receiver's money, for many channels in one chain tx.

        The operator must be receiver or authorizer of each row, unless the authorizer's signature
        over all rows is given. Settled means that every row's total is claimed.

        Raises:
            InvalidRequest: see `check_claims`; or nothing in it is left to claim.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it, or it is more than a block takes.
        """
        ...

    async def earnings(self, receiver: bytes, token: Token) -> Earnings:
        """What was ever claimed for a receiver, and what of it was paid out; final.

        Raises:
            RailUnavailable: the network does not answer, or its servers disagree.
        """
        ...

    async def settle(self, id: str, receiver: bytes, token: Token) -> Outcome:  # noqa: A002
        """Pay a receiver all that was claimed for it; anyone may have that done.

        Raises:
            InvalidRequest: not a token of this escrow.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def refund_nonce(self, config: ChannelConfig) -> int:
        """The nonce that a channel's next signed refund has to carry.

        Raises:
            RailUnavailable: the network does not answer, or its servers disagree.
        """
        ...

    async def refund(
        self,
        id: str,  # noqa: A002
        config: ChannelConfig,
        units: int,
        *,
        nonce: int = 0,
        signature: bytes | None = None,
    ) -> Outcome:
        """Give a payer back at most `units` of what is not claimed.

        As for `claim`, the operator must be of the receiver's side, unless the authorizer signed.

        Raises:
            InvalidRequest: the operator may not, or the authorizer did not sign.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def begin_withdrawal(self, id: str, config: ChannelConfig, units: int) -> Outcome:  # noqa: A002
        """Begin to take units back as the payer, without the receiver.

        Raises:
            InvalidRequest: the operator is not of the payer's side.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def end_withdrawal(self, id: str, config: ChannelConfig) -> Outcome:  # noqa: A002
        """Take back what a withdrawal whose delay is over was begun for.

        Raises:
            InvalidRequest: the operator is not of the payer's side.
            IdempotencyMismatch: the id was used for something else.
            RailUnavailable: not possible now; retry freely.
            RailError: the network would refuse it, as before the delay is over.
        """
        ...

    async def look_up(self, id: str) -> Outcome:  # noqa: A002
        """What became of anything that was to be done under an id; never sends anything new."""
        ...

    async def leaving(self, cursor: bytes) -> LeavingNotices:
        """Withdrawals that payers began after a cursor, those in unfinal blocks included.

        `b""` is now: what began before is in `view`. A notice of an unfinal block comes again, as
        the chain then has it.

        Raises:
            MalformedMessage: not a cursor of this escrow.
            RailUnavailable: the network does not answer; the cursor stays valid.
        """
        ...

    async def claim_fee(self, channels: int) -> int:
        """What claiming so many channels at once would cost now, in the native coin's least units.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...
