"""One cell for real: it is paid, and what must be refused is refused, by the chain's own figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from tests.interop.cast import Cell
from tests.interop.dialect import DIALECTS, Dialect, Headers
from tests.interop.outcome import Outcome, Refusal
from tests.interop.process import PeerFailed, PeerProcess
from tests.interop.scheme import UNITS
from tests.interop.world import World

OK: Final = 200
PAYMENT_REQUIRED: Final = 402
OTHER_PAYEE: Final = "0x" + "66" * 20
SHORT_S: Final = 2
"""For how long a payment is good that is then sent too late."""

_TIMEOUT_S: Final = 60.0


class NotPaid(Exception):
    """A payment did not do what it was to do."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One client before one server, with the accounts of both."""

    world: World
    cell: Cell
    client: PeerProcess
    server: PeerProcess
    payer: str
    seller: str

    def run(self) -> Outcome:
        """Try everything; whatever goes wrong is in the outcome."""
        return self._tried()

    def _tried(self) -> Outcome:
        outcome = self.cell.outcome()
        try:
            self._pay(outcome)
            self._refuse(outcome)
        except (
            PeerFailed,
            NotPaid,
            httpx2.HTTPError,
            AssertionError,
            LookupError,
            ValueError,
        ) as error:
            outcome.failure = f"{type(error).__name__}: {error}"
        return outcome

    def _pay(self, outcome: Outcome) -> None:
        """The client does all by itself."""
        earned, spent = self._earned, self._left
        told = self._paid()
        outcome.transaction = self._dialect.transaction(told["receipt"])
        if not self.world.landed(outcome.transaction):
            raise NotPaid(f"the receipt names {outcome.transaction!r}, which is not on the chain")
        outcome.paid_units = self._earned - earned
        if (outcome.paid_units, spent - self._left) != (UNITS, UNITS):
            raise NotPaid(f"{outcome.paid_units} units came and {spent - self._left} went")

    def _paid(self) -> dict[str, Any]:
        told = self.client.ask(do="pay", url=self.server.url + self.cell.scheme.path)
        if told["status"] != OK or "sold" not in told["body"] or not told["receipt"]:
            raise NotPaid(f"{told['status']}: {told['body'][:300]}")
        return told

    def _refuse_changes(self, outcome: Outcome) -> None:
        dialect, scheme = self._dialect, self.cell.scheme
        offer = self._offer()
        for name, other in (
            ("amount", dialect.changed(offer, units=UNITS - 1)),
            ("payee", dialect.changed(offer, pay_to=OTHER_PAYEE)),
        ):
            signed = dialect.as_answer_to(offer, self._signed(other))
            outcome.refusals[name] = self._sent(signed, scheme.path)
        elsewhere = self._signed(self._offer())
        outcome.refusals["url"] = self._sent(elsewhere, scheme.dear_path)

    def _refuse(self, outcome: Outcome) -> None:
        """The client signs; what it signed is sent as something else than it is."""
        scheme, dialect = self.cell.scheme, self._dialect
        late_offer = self._offer()
        late = self._signed(dialect.changed(late_offer, seconds=SHORT_S))
        late_at = time.monotonic() + SHORT_S + 1

        self._refuse_changes(outcome)
        offer = self._offer()
        once = dialect.as_answer_to(offer, self._signed(offer))
        before, answer = self._earned, self._get(scheme.path, once)
        if (answer.status_code, self._earned - before) != (OK, UNITS):
            raise NotPaid(f"a payment to be repeated: {answer.status_code} {answer.text[:300]}")
        outcome.refusals["replay"] = self._sent(once, scheme.path, sold=answer.text)
        outcome.refusals["twin"] = self._sent(once, scheme.twin_path)

        time.sleep(max(0.0, late_at - time.monotonic()))
        outcome.refusals["expired"] = self._sent(
            dialect.as_answer_to(late_offer, late), scheme.path
        )

    def _offer(self) -> str:
        answer = self._get(self.cell.scheme.path, {})
        if answer.status_code != PAYMENT_REQUIRED:
            raise NotPaid(f"nobody asked for money: {answer.status_code} {answer.text[:300]}")
        return self._dialect.offer(answer, self.cell.scheme)

    def _signed(self, offer: str) -> Headers:
        headers: Headers = self.client.ask(do="sign", offer=offer)["headers"]
        return headers

    def _sent(self, headers: Headers, path: str, sold: str = "") -> Refusal:
        """Send a payment; `sold` is what it bought before, of which every sale has a number."""
        before = self._earned
        answer = self._get(path, headers)
        reason = "" if answer.status_code == OK else self._dialect.reason(answer)
        earned = self._earned - before
        return Refusal(answer.status_code, earned, reason, bool(sold) and answer.text == sold)

    def _get(self, path: str, headers: Headers) -> httpx2.Response:
        url = self.server.url + path
        return httpx2.get(url, headers=headers, trust_env=False, timeout=_TIMEOUT_S)

    @property
    def _dialect(self) -> Dialect:
        return DIALECTS[self.cell.scheme.dialect]

    @property
    def _earned(self) -> int:
        return self.world.units(self.cell.scheme.token, self.seller)

    @property
    def _left(self) -> int:
        return self.world.units(self.cell.scheme.token, self.payer)
