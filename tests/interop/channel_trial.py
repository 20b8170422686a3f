"""A cell whose payer deposits once and then signs vouchers; the seller claims what they add up to."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interop.outcome import Outcome
from tests.interop.scheme import UNITS
from tests.interop.trial import OK, NotPaid, Trial

CLAIM_PATH = "/claim"


@dataclass(frozen=True, slots=True)
class ChannelTrial(Trial):
    """As a `Trial`, but money moves at the deposit and at the claim: what is refused must not be in it."""

    def run(self) -> Outcome:
        """Try everything, then claim."""
        outcome = self._tried()
        if not outcome.failure:
            self._claim(outcome)
        return outcome

    def _pay(self, outcome: Outcome) -> None:
        before = self._left
        told = self._paid()
        outcome.transaction = self._dialect.transaction(told["receipt"])
        if not self.world.landed(outcome.transaction):
            raise NotPaid(f"the deposit is {outcome.transaction!r}, which is not on the chain")
        if self._left >= before:
            raise NotPaid("nothing was deposited")

    def _refuse(self, outcome: Outcome) -> None:
        """A voucher has no end of its own, so that nothing is sent too late."""
        self._refuse_changes(outcome)
        scheme, offer = self.cell.scheme, self._offer()
        once = self._dialect.as_answer_to(offer, self._signed(offer))
        answer = self._get(scheme.path, once)
        if answer.status_code != OK:
            raise NotPaid(f"a voucher to be repeated: {self._dialect.reason(answer)}")
        outcome.refusals["replay"] = self._sent(once, scheme.path, sold=answer.text)
        outcome.refusals["twin"] = self._sent(once, scheme.twin_path)

    def _claim(self, outcome: Outcome) -> None:
        """Two calls were taken: the seller gets the price of two, whatever else was sent to it."""
        before = self._earned
        answer = self._get(CLAIM_PATH, {})
        outcome.paid_units = self._earned - before
        if (answer.status_code, outcome.paid_units) != (OK, 2 * UNITS):
            outcome.failure = f"claimed {outcome.paid_units} units: {answer.text[:300]}"
