"""Paying an x402 seller: one signed transfer for one call, and what became of it.

A seller that says no may still carry the transfer out. So it is written down before it is signed,
the same call sends the same one again, and its units stay counted until it is proved dead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NoReturn

from aisa import faults
from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.errors import (
    AisaError,
    AnswerGone,
    BudgetExceeded,
    ConfigInvalid,
    IdempotencyMismatch,
    MalformedMessage,
    NoCommonNode,
    NodeUnavailable,
    OriginRefused,
    OutcomeUnknown,
    PaymentRequired,
    RailUnavailable,
    RedirectRefused,
    UnknownCurrency,
)
from aisa.money import Amount, currency_by_code
from aisa.protocol.evm_address import format_address
from aisa.protocol.x402 import (
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    SettlementResponse,
    parse_required,
    parse_settlement,
)
from aisa.sdk.answer import Answer, Outcome, Payment
from aisa.sdk.call import Call
from aisa.sdk.exchange import DELAY_S_FIRST, DELAY_S_MAX, answer_of
from aisa.sdk.purse import Purse
from aisa.sdk.step import Dance, Lost, Pause, Reply, exclusively, run, send
from aisa.sdk.x402_asset import PayableAsset
from aisa.sdk.x402_chain import FINAL_S, ask_state
from aisa.sdk.x402_offer import TransferOffer, find_offer, makes_offer
from aisa.sdk.x402_signing import signed_header

_NO_CHANNEL: Final = (PaymentRequired, NoCommonNode, NodeUnavailable, UnknownCurrency)
_GATEWAY: Final = frozenset({502, 504})
_REFUSALS: Final = frozenset({402, 412})
"""412 is x402's word for an allowance that Permit2 has not."""
_SAFE: Final = frozenset({"GET", "HEAD"})
_REVIEWED_MAX: Final = 16


def may_pay_otherwise(error: AisaError) -> bool:
    """Whether no channel can pay the seller, and a transfer might: not one that breaks a rule."""
    if isinstance(error, BudgetExceeded):
        return error.facts.get("limit") == "currency"
    return isinstance(error, _NO_CHANNEL)


def pay_by_transfer(purse: Purse, call: Call, reply: Reply, error: AisaError) -> Dance[Answer]:
    """Pay a 402 that no channel can pay; `error` says why none can.

    Raises:
        OutcomeUnknown: the seller refused or went silent; the transfer can still be carried out.
        AnswerGone: the transfer was carried out, and the seller gives no answer.
        AisaError: `error`, or why the seller is not paid.
    """
    is_only_way = isinstance(error, PaymentRequired)
    if not makes_offer(reply) or not (purse.x402 or is_only_way):
        raise error
    try:
        offer = find_offer(purse, call, reply)
    except (PaymentRequired, MalformedMessage):
        if is_only_way:
            raise
        raise error from None
    yield from _pin(purse, call, offer)
    while True:
        plan = _plan(purse, call, offer)
        purse.flying.add(plan.nonce)
        transfer = plan
        try:
            work = _begin(purse, plan, offer.asset)
            # Alone, so that two calls for the same thing do not take over the same transfer.
            transfer = yield from exclusively(("transfer", call.digest), work)
            return (yield from _play(purse, call, transfer, is_new=transfer.nonce == plan.nonce))
        except AnswerGone:
            # A former call was paid for with the transfer that was taken over; this one is not.
            if transfer.nonce == plan.nonce or call.call_id:
                raise
        finally:
            purse.flying -= {plan.nonce, transfer.nonce}


def repeat_transfer(purse: Purse, call: Call, known: WalletTransfer) -> Dance[Answer | None]:
    """Send a known call's transfer again; None if it is proved that nobody carried it out.

    Raises:
        IdempotencyMismatch: the id was used for another request.
        AnswerGone: it was paid, and the seller gives no answer.
        OutcomeUnknown: whether it was paid cannot be found out, or not yet.
    """
    if (known.method, known.digest) != (call.method, call.digest):
        raise IdempotencyMismatch(
            f"call_id {known.call_id!r} was used for another request: {known.method} {known.url}",
            hint="use another call_id",
        )
    is_usable = purse.clock() // 1000 < known.expiry
    if not is_usable and known.state is not TransferState.SETTLED:
        state = yield from _review(purse, known)
        if state is TransferState.FAILED:
            return None
        if state is not TransferState.SETTLED:
            raise _unknown(call, known, "it has expired, and nothing proves that it was not used")
        known = replace(known, state=state)
    purse.flying.add(known.nonce)
    try:
        return (yield from _play(purse, call, known, is_new=False))
    finally:
        purse.flying.discard(known.nonce)


def _asset_of(purse: Purse, transfer: WalletTransfer) -> PayableAsset:
    for asset in purse.x402:
        if asset.id == transfer.asset:
            return asset
    raise ConfigInvalid(
        f"call {transfer.call_id!r} was paid for with {transfer.asset}, which is not allowed now",
        hint="allow it in [agent.x402] of config.toml again, or use another call_id",
    )


def pin_name(call: Call, network: str) -> str:
    """Return the name that a seller's address is pinned under."""
    return f"{call.place.origin} {network}"


def _pin(purse: Purse, call: Call, offer: TransferOffer) -> Dance[None]:
    name = pin_name(call, offer.asset.network)
    pinned = yield from run(lambda: purse.wallet.pin_payee(name, offer.pay_to))
    if pinned != offer.pay_to:
        raise OriginRefused(
            f"{call.place.origin} is paid at another address than before",
            hint="if the seller has told you so, accept it with agent.accept_payee(url)",
            pinned=format_address(pinned),
            offered=format_address(offer.pay_to),
        )


def _plan(purse: Purse, call: Call, offer: TransferOffer) -> WalletTransfer:
    now_ms, nonce = purse.clock(), purse.random_bytes(32)
    expiry = offer.expiry(now_ms // 1000)
    payment = offer.payment(purse.evm_key(offer.asset.network).address, nonce, expiry)
    transfer = WalletTransfer(
        nonce,
        call.call_id,
        call.method,
        call.place.url,
        call.digest,
        offer.asset.id,
        offer.pay_to,
        offer.asset.currency.code,
        offer.units,
        expiry,
        payment.encode(),
        now_ms,
    )
    # Whatever does not fit into a header is found before anything is counted.
    _sign(purse, transfer, offer.asset)
    return transfer


def _begin(purse: Purse, plan: WalletTransfer, asset: PayableAsset) -> Dance[WalletTransfer]:
    def begin() -> WalletTransfer:
        return purse.wallet.begin_transfer(plan, asset.limits, flying=purse.flying)

    try:
        begun = yield from run(begin)
    except BudgetExceeded:
        if not (yield from _review_expired(purse)):
            raise
        begun = yield from run(begin)
    purse.flying.add(begun.nonce)
    return begun


def _review_expired(purse: Purse) -> Dance[bool]:
    """Ask the chains of transfers that should be dead by now; True if one is."""
    found = yield from run(purse.wallet.open_transfers)
    asked = {asset.id for asset in purse.x402 if asset.rpc_url}
    before_s = purse.clock() // 1000 - FINAL_S
    due = [one for one in found if one.expiry < before_s and one.asset in asked]
    is_one_dead = False
    for one in due[:_REVIEWED_MAX]:
        state = yield from _review(purse, one)
        is_one_dead = is_one_dead or state is TransferState.FAILED
    return is_one_dead


def _review(purse: Purse, transfer: WalletTransfer) -> Dance[TransferState]:
    """Note what the chain proves, and return the state."""
    asset = _asset_of(purse, transfer)
    state = yield from ask_state(purse.evm_key(asset.network).address, asset, transfer)
    if state is not transfer.state:
        yield from _finish(purse, transfer, state)
    return state


def _finish(
    purse: Purse, transfer: WalletTransfer, state: TransferState, chain_tx: str = ""
) -> Dance[None]:
    wallet = purse.wallet
    yield from run(lambda: wallet.finish_transfer(transfer.nonce, state, chain_tx=chain_tx))


def _sign(purse: Purse, transfer: WalletTransfer, asset: PayableAsset) -> str:
    return signed_header(asset, purse.evm_key(asset.network), transfer.body)


def _play(purse: Purse, call: Call, transfer: WalletTransfer, *, is_new: bool) -> Dance[Answer]:
    header = _sign(purse, transfer, _asset_of(purse, transfer))
    reply = yield from _send(purse, call, transfer, header, is_new=is_new)
    return (yield from _judge(purse, call, transfer, reply))


def _send(
    purse: Purse, call: Call, transfer: WalletTransfer, header: str, *, is_new: bool
) -> Dance[Reply]:
    """Send the request with its payment; again while no answer comes, if that is safe.

    A seller carries a transfer out once, but may do the work twice.
    """
    delay, is_sent = DELAY_S_FIRST, not is_new
    while True:
        faults.hit("agent.send.before")
        reply = yield from send(call.request({PAYMENT_SIGNATURE: header}, purse.clock()))
        if isinstance(reply, Reply):
            faults.hit("agent.send.after")
            return reply
        is_sent = is_sent or reply.is_sent
        may_repeat = not reply.is_sent or call.method in _SAFE
        if not may_repeat or purse.clock() + delay * 1000 > call.deadline_ms:
            yield from _give_up(purse, call, transfer, reply, is_sent=is_sent)
        yield Pause(delay)
        delay = min(delay * 2, DELAY_S_MAX)


def _give_up(
    purse: Purse, call: Call, transfer: WalletTransfer, lost: Lost, *, is_sent: bool
) -> Dance[NoReturn]:
    origin = call.place.origin
    if transfer.state is TransferState.SETTLED:
        raise RailUnavailable(f"{origin} does not answer ({lost.reason}); the call is paid for")
    if not is_sent:
        yield from _finish(purse, transfer, TransferState.FAILED)
        purse.tell(_payment(call, transfer, Outcome.FAILED, purse.clock()))
        raise RailUnavailable(f"{origin} cannot be reached ({lost.reason}); nothing was paid")
    yield from _hold(purse, call, transfer)
    raise _unknown(call, transfer, f"{origin} did not answer in time ({lost.reason})")


def _hold(
    purse: Purse, call: Call, transfer: WalletTransfer, state: TransferState = TransferState.HELD
) -> Dance[Payment]:
    """Note that the transfer is out and nothing proves what became of it."""
    yield from _finish(purse, transfer, state)
    payment = _payment(call, transfer, Outcome.UNKNOWN, purse.clock(), problem=OutcomeUnknown.slug)
    purse.tell(payment)
    return payment


def _judge(purse: Purse, call: Call, transfer: WalletTransfer, reply: Reply) -> Dance[Answer]:
    status, said = reply.status, _settlement_in(reply, transfer)
    was_settled = transfer.state is TransferState.SETTLED
    if said is not None and said.success:
        yield from _finish(purse, transfer, TransferState.SETTLED, said.transaction)
        payment = _payment(call, transfer, Outcome.SETTLED, purse.clock(), said.transaction)
        if not was_settled:
            purse.tell(payment)
    elif was_settled and status < 300:
        # A seller that keeps its answers gave the one that was paid for.
        payment = _payment(call, transfer, Outcome.SETTLED, transfer.at_ms, transfer.chain_tx)
    elif was_settled or status in _REFUSALS or (said is not None and status >= 400):
        return (yield from _refuse(purse, call, transfer, _reason(reply, said)))
    else:
        state = TransferState.UNKNOWN if status < 300 else TransferState.HELD
        payment = yield from _hold(purse, call, transfer, state)
        if status in _GATEWAY and call.call_id:
            raise _unknown(call, transfer, f"a gateway answered {status}")
    if 300 <= status < 400 and status != 304:
        raise RedirectRefused(
            f"{call.place.url} answered {status}; a payment is not carried on",
            hint="call the new address itself, if you trust it",
        )
    return answer_of(call, reply, payment)


def _refuse(purse: Purse, call: Call, transfer: WalletTransfer, reason: str) -> Dance[NoReturn]:
    """Raise what is true after a refusal: it was paid all the same, or may be until it expires."""
    state = transfer.state
    if state is not TransferState.SETTLED:
        yield from _hold(purse, call, transfer)
        state = yield from _review(purse, replace(transfer, state=TransferState.HELD))
    if state is TransferState.SETTLED:
        raise AnswerGone(
            f"the call was paid for with {_amount(transfer)}, and {call.place.origin} gives no"
            f" answer ({reason})",
            transaction=transfer.chain_tx,
        )
    payer = format_address(purse.evm_key(transfer.network).address)
    why = f"{call.place.origin} refused the payment ({reason})"
    raise _unknown(call, transfer, why, _way_out(reason, payer))


def _way_out(reason: str, payer: str) -> str:
    """Return what to do first, where the reason says what is missing."""
    if "allowance" in reason:
        return "run aisa wallet approve, then "
    if "insufficient" in reason:
        return f"send tokens to {payer}, then "
    return ""


def _reason(reply: Reply, said: SettlementResponse | None) -> str:
    if said is not None and (said.error_reason or said.error_message):
        return (said.error_reason or said.error_message or "")[:200]
    if makes_offer(reply):
        try:
            return (parse_required(reply.headers["payment-required"]).error or "no reason")[:200]
        except MalformedMessage:
            pass
    return f"status {reply.status}"


def _settlement_in(reply: Reply, transfer: WalletTransfer) -> SettlementResponse | None:
    """Return what the seller says of the payment; None if nothing that can be read."""
    header = reply.headers.get(PAYMENT_RESPONSE.lower())
    if header is None:
        return None
    try:
        said = parse_settlement(header)
    except MalformedMessage:
        return None
    return said if said.network == transfer.network else None


def _unknown(call: Call, transfer: WalletTransfer, why: str, first: str = "") -> OutcomeUnknown:
    repeat = "the same call" if not call.call_id else f"it with call_id {call.call_id!r}"
    return OutcomeUnknown(
        f"{why}; {_amount(transfer)} may still be taken",
        hint=f"{first}repeat {repeat}: until the transfer expires, it is the same one that is sent",
        asset=transfer.asset,
        amount_units=transfer.units,
        expiry=transfer.expiry,
    )


def _amount(transfer: WalletTransfer) -> Amount:
    return Amount(transfer.units, currency_by_code(transfer.currency))


def _payment(
    call: Call,
    transfer: WalletTransfer,
    outcome: Outcome,
    now_ms: int,
    chain_tx: str = "",
    *,
    problem: str = "",
) -> Payment:
    amount = _amount(transfer)
    return Payment(
        outcome,
        call.method,
        call.place.url,
        transfer.payee,
        b"",
        0,
        0,
        amount,
        Amount(0, amount.currency) if outcome is Outcome.FAILED else amount,
        now_ms,
        call.call_id,
        problem,
        transfer.network,
        transfer.asset,
        chain_tx,
    )
