"""Keeping receipts and unknown calls: in batches, beside the calls."""

from __future__ import annotations

from contextlib import suppress

from aisa.errors import AisaError
from aisa.sdk.purse import Purse
from aisa.sdk.step import Dance, exclusively, run, run_short


def keep_receipts(purse: Purse) -> Dance[None]:
    """Write what was gathered, in one commit."""
    return (yield from exclusively("receipts", _keep(purse)))


def _keep(purse: Purse) -> Dance[None]:
    receipts = purse.take_receipts()
    rows, purse.unknown = purse.unknown, []
    if not receipts and not rows:
        return
    try:
        if receipts:
            yield from run_short(lambda: purse.wallet.add_receipts(receipts))
        if rows:
            yield from run(lambda: purse.wallet.note_unknown(rows))
    except BaseException:
        purse.put_back(receipts)
        purse.unknown = rows + purse.unknown
        raise


def keep_receipts_aside(purse: Purse) -> Dance[None]:
    """Write what was gathered, beside the calls; what fails is tried again with the next batch."""
    with suppress(AisaError):
        yield from keep_receipts(purse)
