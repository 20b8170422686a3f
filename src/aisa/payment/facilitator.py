"""The x402 facilitator: checks what a payer signed for a seller, and carries it out exactly once.

A payment is claimed by a record of the ledger before anything is sent, so of a thousand callers with
one payment one settles it. Whoever repeats with the same idempotency key gets the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from aisa.errors import (
    AisaError,
    IdempotencyMismatch,
    InvalidRequest,
    MalformedMessage,
    RailError,
)
from aisa.ledger.outcome import Reason, require_applied
from aisa.ledger.record import PutRecord
from aisa.ledger.store import Store
from aisa.money import Token
from aisa.payment import names
from aisa.payment.commit import commit
from aisa.payment.facilitated import (
    Facilitated,
    Found,
    Stage,
    decode_facilitated,
    identifier_id,
    payment_id,
)
from aisa.payment.pages import every_record
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.x402 import (
    PAYMENT_IDENTIFIER,
    FacilitatorRequest,
    PaymentIdentifier,
    SettlementResponse,
    Supported,
    SupportedKind,
    VerifyResponse,
)
from aisa.protocol.x402.exact import EXACT, Eip3009Payload, ExactPayload, read_exact_payload
from aisa.settlement.pull import Pull, PullProblem, SignedTransfer
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled

KEY_CHARS_MAX: Final = 128
DUPLICATE: Final = "duplicate_settlement"
PENDING: Final = "settlement_pending"

_log = logging.getLogger("aisa.payment")

# The words of x402 for what a pull says; Permit2 has words of its own for some of them.
_REASONS: Final = {
    PullProblem.UNSUPPORTED: "unsupported_scheme",
    PullProblem.MALFORMED: "invalid_payload",
    PullProblem.SIGNATURE: "invalid_exact_evm_payload_signature",
    PullProblem.TOO_EARLY: "invalid_exact_evm_payload_authorization_valid_after",
    PullProblem.EXPIRED: "invalid_exact_evm_payload_authorization_valid_before",
    PullProblem.NONCE_USED: "invalid_exact_evm_nonce_already_used",
    PullProblem.BALANCE: "insufficient_funds",
    PullProblem.ALLOWANCE: "permit2_allowance_required",
    PullProblem.REFUSED: "invalid_exact_evm_transaction_simulation_failed",
}
_PERMIT2_REASONS: Final = {
    PullProblem.SIGNATURE: "invalid_permit2_signature",
    PullProblem.TOO_EARLY: "permit2_not_yet_valid",
    PullProblem.EXPIRED: "permit2_deadline_expired",
    PullProblem.NONCE_USED: "permit2_invalid_nonce",
}


class PaymentRefused(Exception):
    """A payment that is not what the seller asked for; `reason` is x402's word for it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Facilitator:
    """Verifies and settles x402 `exact` payments on the networks of `pulls`, for `tokens`.

    `signers` are the addresses that send the chain txs, by network.
    """

    def __init__(
        self,
        store: Store,
        pulls: Mapping[str, Pull],
        tokens: Sequence[Token],
        signers: Mapping[str, str],
    ) -> None:
        self._store = store
        self._pulls = pulls
        self._tokens = {token.asset.lower(): token for token in tokens if token.network in pulls}
        self._signers = signers
        self._unfinished: set[str] | None = None

    def supported(self) -> Supported:
        """What can be settled here."""
        families: dict[str, tuple[str, ...]] = {}
        for network, address in self._signers.items():
            family = network.partition(":")[0] + ":*"
            families[family] = (*families.get(family, ()), address)
        return Supported(
            kinds=tuple(SupportedKind(EXACT, network) for network in self._pulls),
            extensions=(PAYMENT_IDENTIFIER,),
            signers={family: tuple(dict.fromkeys(names)) for family, names in families.items()},
        )

    async def verify(self, request: FacilitatorRequest) -> VerifyResponse:
        """Say whether a payment is what the seller asked for, and would go through now.

        Raises:
            RailUnavailable: the network does not answer.
        """
        try:
            transfer = self._transfer(request)
        except PaymentRefused as refused:
            return VerifyResponse(
                False, invalid_reason=refused.reason, invalid_message=str(refused)
            )
        payer = transfer.payer
        checked = await self._pulls[transfer.token.network].check(transfer)
        if checked.problem is None:
            return VerifyResponse(True, payer=payer)
        reason = _reason(checked.problem, transfer)
        return VerifyResponse(
            False, payer=payer, invalid_reason=reason, invalid_message=checked.detail
        )

    async def settle(self, request: FacilitatorRequest, key: str = "") -> SettlementResponse:
        """Carry a payment out, once; a repeat with the same key gets the same answer.

        Without a key the payment's own identifier is one, if it has one.

        Raises:
            IdempotencyMismatch: the key or identifier was used for another payment.
            RailUnavailable: nothing was sent; retry freely.
        """
        network = request.requirements.network
        try:
            transfer = self._transfer(request)
            identifier = PaymentIdentifier.read(request.payload.extensions)
        except (PaymentRefused, MalformedMessage) as refused:
            reason = refused.reason if isinstance(refused, PaymentRefused) else "invalid_payload"
            return _failed(network, reason, str(refused))
        named = identifier.id if identifier is not None and identifier.id is not None else ""
        name, found = await self._claim(request, transfer, key or named, named)
        row = found.row
        assert row is not None
        if row.stage is not Stage.CLAIMED:
            return _answer(row, transfer)
        return await self._carry_out(name, found.version, row, transfer)

    async def resume(self) -> int:
        """Carry out what is claimed and not finished, as a crash leaves it; returns how many."""
        if self._unfinished is None:
            self._unfinished = set()
            async for record in every_record(self._store, names.FACILITATED):
                if decode_facilitated(record.body).stage is Stage.CLAIMED:
                    self._unfinished.add(record.id)
        for name in list(self._unfinished):
            found = await self._find(name)
            if found.row is None or found.row.stage is not Stage.CLAIMED:
                self._unfinished.discard(name)
                continue
            try:
                transfer = self._transfer(FacilitatorRequest.parse(found.row.request))
            except (PaymentRefused, MalformedMessage) as error:
                self._unfinished.discard(name)  # the operator took its token or network away
                _log.error("a claimed payment cannot be settled here any more: %s", error)
                continue
            try:
                await self._carry_out(name, found.version, found.row, transfer)
            except AisaError as error:
                _log.warning("a payment is still to be settled: %s", error.detail)
        return len(self._unfinished)

    def _transfer(self, request: FacilitatorRequest) -> SignedTransfer:
        """The transfer that was signed, after a look that it is the one the seller asks for."""
        wanted, accepted = request.requirements, request.payload.accepted
        if wanted.network not in self._pulls:
            raise PaymentRefused("invalid_network", f"{wanted.network} is not settled here")
        if wanted.scheme != EXACT or accepted.scheme != EXACT:
            raise PaymentRefused("unsupported_scheme", f"{wanted.scheme} is not settled here")
        if accepted.network != wanted.network:
            raise PaymentRefused("network_mismatch", "the payment is for another network")
        try:
            asset = format_address(parse_address(wanted.asset, "asset"))
            payee = format_address(parse_address(wanted.pay_to, "payTo"))
            payload = read_exact_payload(request.payload.payload)
        except MalformedMessage as error:
            raise PaymentRefused("invalid_payload", error.detail) from error
        token = self._tokens.get(f"{wanted.network}/erc20:{asset}".lower())
        if token is None:
            raise PaymentRefused("unsupported_asset", f"{asset} is not a token of this node")
        transfer = _signed(payload, token)
        _check_asked(transfer, payload, payee, wanted.amount)
        return transfer

    async def _claim(
        self, request: FacilitatorRequest, transfer: SignedTransfer, key: str, identifier: str
    ) -> tuple[str, Found]:
        """Claim the payment for this caller, or find what an earlier claim with its key came to."""
        name, body = payment_id(transfer), request.encode()
        while True:
            found = await self._find(name)
            row = found.row
            if row is not None and row.stage is not Stage.OPEN:
                if not key or row.key != key:
                    return name, Found(Facilitated(Stage.FAILED, key, b"", detail=DUPLICATE), 0)
                if row.request != body:
                    raise IdempotencyMismatch("the key was used with another request")
                return name, found
            claimed = Facilitated(Stage.CLAIMED, key, body)
            puts = [PutRecord(names.FACILITATED, name, found.version, claimed.encode())]
            if identifier:
                puts += await self._tie(transfer.payee, identifier, name)
            outcome = await commit(self._store, "facilitation", tuple(puts))
            if outcome.reason is Reason.RECORD_CHANGED:
                continue  # another caller was faster: see what it claimed
            require_applied(outcome)
            if self._unfinished is not None:
                self._unfinished.add(name)
            return name, Found(claimed, found.version + 1)

    async def _tie(self, payee: str, identifier: str, name: str) -> list[PutRecord]:
        tied = identifier_id(payee, identifier)
        known = await self._store.record(names.PAYMENT_IDENTIFIER, tied)
        if known is None:
            return [PutRecord(names.PAYMENT_IDENTIFIER, tied, 0, name.encode())]
        if known.body.decode() != name:
            raise IdempotencyMismatch("the payment's identifier was used for another payment")
        return []

    async def _carry_out(
        self, name: str, version: int, row: Facilitated, transfer: SignedTransfer
    ) -> SettlementResponse:
        pull = self._pulls[transfer.token.network]
        try:
            outcome = await pull.settle(transfer)
        except (InvalidRequest, RailError) as error:
            if await self._was_sent(pull, transfer):
                raise
            # Whoever has the signature may try again.
            await self._finish(name, version, Facilitated(Stage.OPEN, "", b""))
            if isinstance(error, InvalidRequest):
                problem = PullProblem(str(error.facts.get("problem", PullProblem.REFUSED)))
                return _failed(
                    transfer.token.network,
                    _reason(problem, transfer),
                    error.detail,
                    payer=transfer.payer,
                )
            raise
        finished = _finished(row, outcome)
        if finished.stage is not Stage.CLAIMED:
            await self._finish(name, version, finished)
        return _answer(finished, transfer)

    async def _was_sent(self, pull: Pull, transfer: SignedTransfer) -> bool:
        """Whether an earlier try may have reached the chain: then its claim is nobody else's."""
        outcome = await pull.look_up_transfer(transfer)
        return not (isinstance(outcome, Failed) and outcome.reason is FailureReason.NEVER_SENT)

    async def _finish(self, name: str, version: int, row: Facilitated) -> None:
        put = PutRecord(names.FACILITATED, name, version, row.encode())
        outcome = await commit(self._store, "facilitated", (put,))
        if outcome.reason is not Reason.RECORD_CHANGED:  # else a caller with the same key was here
            require_applied(outcome)
        if self._unfinished is not None:
            self._unfinished.discard(name)

    async def _find(self, name: str) -> Found:
        record = await self._store.record(names.FACILITATED, name)
        if record is None:
            return Found(None, 0)
        return Found(decode_facilitated(record.body), record.version)


def _signed(payload: ExactPayload, token: Token) -> SignedTransfer:
    if isinstance(payload, Eip3009Payload):
        one = payload.authorization
        return SignedTransfer(
            token,
            format_address(one.payer),
            format_address(one.to),
            one.value,
            one.valid_after,
            one.valid_before,
            one.nonce,
            payload.signature,
        )
    return SignedTransfer(
        token,
        format_address(payload.payer),
        format_address(payload.witness.to),
        payload.permitted.amount,
        payload.witness.valid_after,
        payload.permit.deadline,
        payload.permit.nonce.to_bytes(32),
        payload.signature,
        spender=format_address(payload.permit.spender),
    )


def _check_asked(transfer: SignedTransfer, payload: ExactPayload, payee: str, amount: int) -> None:
    """Check that what was signed is what the seller asks for, in x402's words for each way."""
    by_token = isinstance(payload, Eip3009Payload)
    if not by_token and not _is_token(payload.permitted.token, transfer.token):
        raise PaymentRefused("permit2_token_mismatch", "the permit is for another token")
    if transfer.payee.lower() != payee.lower():
        way = "exact_evm_payload" if by_token else "permit2"
        raise PaymentRefused(
            f"invalid_{way}_recipient_mismatch",
            "the payment is to another address than the seller's",
        )
    if transfer.units != amount:
        reason = "invalid_exact_evm_payload_authorization_value_mismatch"
        raise PaymentRefused(
            reason if by_token else "permit2_amount_mismatch",
            f"{transfer.units} units are signed, {amount} are asked for",
        )


def _is_token(address: bytes, token: Token) -> bool:
    return token.asset.lower().endswith(format_address(address).lower())


def _reason(problem: PullProblem, transfer: SignedTransfer) -> str:
    if transfer.spender:
        return _PERMIT2_REASONS.get(problem, _REASONS[problem])
    return _REASONS[problem]


def _finished(row: Facilitated, outcome: Outcome) -> Facilitated:
    match outcome:
        case Settled(reference):
            return Facilitated(Stage.SETTLED, row.key, row.request, reference)
        case Failed(_, detail, reference):
            return Facilitated(Stage.FAILED, row.key, row.request, reference or "", detail)
        case _:
            return Facilitated(Stage.CLAIMED, row.key, row.request, outcome.reference or "")


def _answer(row: Facilitated, transfer: SignedTransfer) -> SettlementResponse:
    network = transfer.token.network
    match row.stage:
        case Stage.SETTLED:
            return SettlementResponse(
                True, row.reference, network, payer=transfer.payer, amount=transfer.units
            )
        case Stage.FAILED if row.detail == DUPLICATE:
            detail = "the payment was or is being settled for another caller"
            return _failed(network, DUPLICATE, detail, payer=transfer.payer)
        case Stage.FAILED:
            return _failed(
                network, "transaction_failed", row.detail, row.reference, payer=transfer.payer
            )
        case _:
            detail = "the chain has not decided yet; ask again with the same key"
            return _failed(network, PENDING, detail, row.reference, payer=transfer.payer)


def _failed(
    network: str, reason: str, detail: str, reference: str = "", *, payer: str | None = None
) -> SettlementResponse:
    return SettlementResponse(
        False, reference, network, payer=payer, error_reason=reason, error_message=detail
    )
