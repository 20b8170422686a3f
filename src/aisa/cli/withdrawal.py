"""Sending money out of an account at a node, and following it until it is settled or failed."""

from __future__ import annotations

import secrets
import time
from typing import Final

from aisa.cli.account import Account
from aisa.cli.amount_text import read_amount, show_units
from aisa.cli.command import Session
from aisa.cli.report import Report
from aisa.client import WithdrawalInfo, WithdrawalState
from aisa.errors import InsufficientFunds, NodeUnavailable, OutcomeUnknown, RailError

ALL: Final = "all"
_POLL_S: Final = 0.2
_WAIT_S_MAX: Final = 300.0


def withdraw_and_wait(
    session: Session,
    account: Account,
    amount_text: str,
    *,
    destination: str,
    asset: str | None,
    fee_max: str | None,
    request_id: str | None,
) -> Report:
    """Withdraw, wait until the outcome is final, and report it.

    Raises:
        OutcomeUnknown: it was sent and cannot be followed; the hint says how to ask again.
        RailError: it failed for good; the money is back in the account.
    """
    token = account.token(asset)
    is_all = amount_text == ALL
    if is_all:
        units = account.client.account().available(token.currency)
        if not units:
            raise InsufficientFunds("there is nothing to withdraw")
    else:
        units = read_amount(amount_text, account.info).units
    if fee_max is None:
        fee_units_max = account.client.withdrawal_quote(token.asset, units, destination).fee_units
    else:
        fee_units_max = 0 if fee_max == "0" else read_amount(fee_max, account.info).units
    if is_all:
        units -= fee_units_max
    request = request_id or f"wd_{secrets.token_hex(12)}"
    session.say(f"withdrawal {request}")
    found = account.client.withdraw(request, token.asset, units, destination, fee_units_max)
    found = _follow(session, account, found)
    return Report(
        {
            "id": found.id,
            "state": found.state.value,
            "asset": found.asset,
            "currency": found.currency,
            "units": str(found.units),
            "fee_units": str(found.fee_units),
            "destination": found.destination,
            "reference": found.reference,
        },
        [
            f"{show_units(found.units, found.currency, account.info)} sent to {found.destination}, "
            f"fee {show_units(found.fee_units, found.currency, account.info)}",
            f"chain tx {found.reference}",
        ],
    )


def _follow(session: Session, account: Account, found: WithdrawalInfo) -> WithdrawalInfo:
    deadline = time.monotonic() + _WAIT_S_MAX
    again = f"aisa wallet withdraw … --id {found.id} asks again without sending twice"
    with session.progress() as progress:
        while found.state in {WithdrawalState.PENDING, WithdrawalState.UNKNOWN}:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(f"withdrawal {found.id} is {found.state.value}", hint=again)
            progress(f"withdrawal {found.id} is {found.state.value}")
            time.sleep(_POLL_S)
            try:
                found = account.client.withdrawal(found.id)
            except NodeUnavailable as error:
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(error.detail, hint=again) from error
    if found.state is WithdrawalState.FAILED:
        raise RailError(f"withdrawal {found.id} failed: {found.reason or 'the network refused it'}")
    return found
