"""What came of a cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

REFUSALS: Final = ("amount", "payee", "replay", "twin", "expired", "url")
"""What a seller must refuse: another amount, another payee, the same payment twice, the same payment
at another address of that price, one whose time is over, and one that was made for another price."""

REPEATED: Final = 200
"""The status of an answer that is given again, and not sold again, to whoever paid for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a seller answered to a payment that it must refuse, and what it earned by it."""

    status: int
    earned_units: int
    reason: str = ""
    is_repeated: bool = False

    @property
    def holds(self) -> bool:
        """Nothing was sold and nothing was taken."""
        return self.earned_units == 0 and (
            400 <= self.status < 500 or (self.status == REPEATED and self.is_repeated)
        )


@dataclass(slots=True)
class Outcome:
    """A cell that was tried, or one that cannot be (`not_built` says why)."""

    client: str
    server: str
    scheme: str
    wanted: tuple[str, ...] = REFUSALS
    not_built: str = ""
    paid_units: int = 0
    transaction: str = ""
    failure: str = ""
    refusals: dict[str, Refusal] = field(default_factory=dict[str, Refusal])

    @property
    def holds(self) -> bool:
        """Paid, and everything refused that must be."""
        return (
            not self.failure
            and not self.not_built
            and self.paid_units > 0
            and set(self.refusals) == set(self.wanted)
            and all(one.holds for one in self.refusals.values())
        )

    @property
    def state(self) -> str:
        """`ok`, `failed` or `not built`."""
        return "not built" if self.not_built else "ok" if self.holds else "failed"

    def to_json(self) -> dict[str, Any]:
        """The same for build/interop.json."""
        refused = {name: one.holds for name, one in self.refusals.items()}
        return {**asdict(self), "refused": refused, "state": self.state}
