"""What must be right in a claim or refund before it is sent: one bad row would undo them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aisa.errors import InvalidRequest
from aisa.identity.evm_key import is_evm_signature
from aisa.money import Token
from aisa.protocol.escrow import ChannelConfig, voucher_digest
from aisa.protocol.evm_address import format_bytes
from aisa.protocol.x402.batch import Claim, claims_digest, refund_digest
from aisa.settlement.evm.escrow_contract import EscrowContract
from aisa.settlement.evm.escrow_deposit import unsound
from aisa.settlement.evm.escrow_settings import CLAIMS_MAX


class ClaimChecks:
    """Checks rows against their signatures, and against what the channels hold now."""

    def __init__(
        self, contract: EscrowContract, allowed: Mapping[bytes, Token], operator: bytes
    ) -> None:
        self._contract = contract
        self._allowed = allowed
        self._operator = operator

    async def check(self, claims: Sequence[Claim], signature: bytes | None) -> None:
        """See `Escrow.check_claims`."""
        if not 0 < len(claims) <= CLAIMS_MAX:
            raise InvalidRequest(f"a claim has 1 to {CLAIMS_MAX} rows")
        channels = [claim.config.channel_id(self._contract.domain) for claim in claims]
        if len(set(channels)) != len(channels):
            raise InvalidRequest("a claim has one row for each channel")
        for claim, channel in zip(claims, channels, strict=True):
            await self._check_row(claim, channel)
        if signature is None:
            self._check_caller([claim.config for claim in claims], channels)
        else:
            await self._check_signature(claims, signature)
        states = await self._contract.claimed_now([claim.config for claim in claims])
        for claim, channel, (balance, claimed) in zip(claims, channels, states, strict=True):
            if claimed < claim.claimed and balance < claim.claimed:
                raise _bad(channel, "deposit", f"the channel holds only {balance} units")

    async def unclaimed(self, claims: Sequence[Claim]) -> list[Claim]:
        """The rows of which something is left to claim, as far as that is final."""
        views = await self._contract.view([claim.config for claim in claims])
        return [
            claim
            for claim, view in zip(claims, views, strict=True)
            if claim.claimed > view.claimed_units
        ]

    async def check_refund(
        self, config: ChannelConfig, units: int, nonce: int, signature: bytes | None
    ) -> None:
        """Check that a refund may be made.

        Raises:
            InvalidRequest: it has no units, the operator may not, or the authorizer did not sign.
            RailUnavailable: the network does not answer.
        """
        if units < 1:
            raise InvalidRequest("a refund has at least one unit")
        channel = config.channel_id(self._contract.domain)
        if signature is None:
            self._check_caller([config], [channel])
            return
        if nonce != await self._contract.refund_nonce(channel):
            raise _bad(channel, "nonce", "the signed refund is not the channel's next one")
        digest = refund_digest(self._contract.domain, channel, nonce, units)
        if not await self._is_signed(config.receiver_authorizer, digest, signature):
            raise _bad(channel, "authorizer", "the receiver's authorizer did not sign this refund")

    async def is_signed(self, config: ChannelConfig, ceiling: int, signature: bytes) -> bool:
        """See `Escrow.is_signed`."""
        channel = config.channel_id(self._contract.domain)
        digest = voucher_digest(self._contract.domain, channel, ceiling)
        if is_evm_signature(config.voucher_key, digest, signature):
            return True
        # A payer without a voucher key may be a contract, which alone knows its signatures.
        return not any(config.payer_authorizer) and await self._contract.is_signed_by_contract(
            config.payer, digest, signature
        )

    async def _check_row(self, claim: Claim, channel: bytes) -> None:
        config = claim.config
        detail = unsound(config, self._contract.address)
        if detail or config.token not in self._allowed:
            raise _bad(channel, "channel", detail or "the token is not one of this escrow")
        if not 0 < claim.claimed <= claim.ceiling:
            raise _bad(channel, "ceiling", f"the voucher allows {claim.ceiling} units in total")
        if not await self.is_signed(config, claim.ceiling, claim.signature):
            raise _bad(channel, "voucher", "the voucher's signature is not the payer's")

    def _check_caller(self, configs: Sequence[ChannelConfig], channels: Sequence[bytes]) -> None:
        for config, channel in zip(configs, channels, strict=True):
            if self._operator not in {config.receiver, config.receiver_authorizer}:
                raise _bad(channel, "authorizer", "this node is not of the receiver's side")

    async def _check_signature(self, claims: Sequence[Claim], signature: bytes) -> None:
        authorizer = claims[0].config.receiver_authorizer
        if any(claim.config.receiver_authorizer != authorizer for claim in claims):
            raise InvalidRequest("the rows of a signed claim have one receiver's authorizer")
        digest = claims_digest(self._contract.domain, claims)
        if not await self._is_signed(authorizer, digest, signature):
            raise InvalidRequest(
                "the receiver's authorizer did not sign these rows", problem="authorizer"
            )

    async def _is_signed(self, signer: bytes, digest: bytes, signature: bytes) -> bool:
        if is_evm_signature(signer, digest, signature):
            return True
        return await self._contract.is_signed_by_contract(signer, digest, signature)


def _bad(channel: bytes, problem: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, problem=problem, channel=format_bytes(channel))
