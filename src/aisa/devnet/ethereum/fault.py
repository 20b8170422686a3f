"""Ways in which an RPC endpoint fails, as a test arms them on `RpcProxy`. Nothing is random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

ANY: Final = "*"
"""Every method."""

Change: TypeAlias = Callable[[object], object]


class Kind(Enum):
    """What happens to a call.

    - `DROP`: the connection is closed, the chain hears nothing.
    - `LOSE_ANSWER`: the chain carries it out, and the connection is closed without an answer.
    - `CUT_ANSWER`: the chain carries it out, and the connection is closed in mid answer.
    - `HANG`: neither carried out nor answered, until the proxy lets go or ends.
    - `HANG_AFTER`: carried out, and not answered, until the proxy lets go or ends.
    - `LATE`: carried out and answered after `delay_s`.
    - `REFUSE`: answered with an error, the chain hears nothing.
    - `STATUS`: answered with an HTTP status such as 429 or 503, the chain hears nothing.
    - `LIE`: carried out, and another result answered.
    """

    DROP = "drop"
    LOSE_ANSWER = "lose_answer"
    CUT_ANSWER = "cut_answer"
    HANG = "hang"
    HANG_AFTER = "hang_after"
    LATE = "late"
    REFUSE = "refuse"
    STATUS = "status"
    LIE = "lie"


@dataclass(slots=True)
class Fault:
    """One armed fault: for calls of `method`, the next `count` of them, or all (None)."""

    kind: Kind
    method: str = ANY
    count: int | None = 1
    delay_s: float = 0.0
    http_status: int = 503
    code: int = -32603
    message: str = "internal error"
    change: Change | None = None
    passed: int = field(default=0, init=False)

    def take(self, methods: Sequence[str]) -> bool:
        """Whether it strikes a request of these methods; counts it."""
        if self.is_spent or not (self.method == ANY or self.method in methods):
            return False
        self.passed += 1
        return True

    @property
    def is_spent(self) -> bool:
        """Whether it will strike no more."""
        return self.count is not None and self.passed >= self.count

    def changed(self, result: object) -> object:
        """What is answered in place of a result."""
        return self.change(result) if self.change else result
