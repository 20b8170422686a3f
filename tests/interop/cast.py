"""Who takes part: every client and server, which schemes each speaks, and what is not built yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.interop.environment import OURS
from tests.interop.outcome import Outcome
from tests.interop.scheme import BATCH, CHARGE, EXACT, PERMIT2, SCHEMES, Scheme

Runtime = Literal["python", "javascript"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A client or a server: one script of ours over one implementation.

    `not_built` says of a scheme why it cannot be tried yet; such a cell is listed and never counted.
    """

    name: str
    runtime: Runtime
    environment: str
    script: str
    schemes: tuple[Scheme, ...]
    not_built: Mapping[Scheme, str] = field(default_factory=dict[Scheme, str])
    has_own_facilitator: bool = False
    """Whether its channels are carried out by the facilitator of its own SDK, not by the node."""

    def knows(self, scheme: Scheme) -> bool:
        """Whether it is meant to speak a scheme, now or later."""
        return scheme in self.schemes or scheme in self.not_built


_HASHES: Final = (
    "pympp 0.16.0 ties a payment to keccak256 of JSON [id, realm], mppx 0.11.0 to that of id and "
    "realm in one: neither takes the other's"
)
_AGENT_LACKS: Final = {
    BATCH: "AISA's agent pays x402 by `exact` only",
    CHARGE: "AISA's agent pays MPP by sessions of method `aisa` only",
}
_PAYWALL_LACKS: Final = {
    BATCH: "AISA's paywall takes x402 by `exact` only",
    CHARGE: "AISA's paywall takes MPP by sessions of method `aisa` only",
}
_OFFICIAL: Final = (EXACT, PERMIT2, BATCH)
_MPP: Final = (EXACT, CHARGE)

CLIENTS: Final = (
    Peer("x402 httpx", "python", "x402", "x402_httpx", _OFFICIAL),
    Peer("x402 requests", "python", "x402", "x402_requests", _OFFICIAL),
    Peer("@x402/fetch", "javascript", "x402", "x402_fetch", _OFFICIAL),
    Peer("AISA agent", "python", OURS, "aisa_agent", (EXACT, PERMIT2), _AGENT_LACKS),
    Peer("pympp", "python", "pympp", "mpp_httpx", (CHARGE,)),
    Peer("mppx", "javascript", "mppx", "mpp_fetch", (CHARGE,)),
)
SERVERS: Final = (
    Peer("x402 FastAPI", "python", "x402", "x402_fastapi", _OFFICIAL),
    Peer("x402 Flask", "python", "x402", "x402_flask", _OFFICIAL, has_own_facilitator=True),
    Peer("@x402/express", "javascript", "x402", "x402_express", _OFFICIAL),
    Peer("AISA paywall", "python", OURS, "aisa_seller", (EXACT, PERMIT2), _PAYWALL_LACKS),
    Peer("AISA proxy", "javascript", "x402", "aisa_proxy", (EXACT,)),
    Peer("pympp", "python", "pympp", "mpp_starlette", _MPP),
    Peer("mppx", "javascript", "mppx", "mpp_node", _MPP),
)
CHANNEL_FACILITATOR: Final = Peer(
    "x402 facilitator", "python", "x402", "x402_facilitator", (BATCH,)
)
"""Carries out channels on our contract, whatever our own node would do."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One client that pays one server by one scheme."""

    client: Peer
    server: Peer
    scheme: Scheme

    @property
    def title(self) -> str:
        """The cell in a line."""
        return f"{self.client.name} x {self.server.name} x {self.scheme.name}"

    def outcome(self) -> Outcome:
        """Its outcome before anything was tried."""
        names = (self.client.name, self.server.name, self.scheme.name)
        return Outcome(*names, self.scheme.refusals, self.not_built)

    @property
    def not_built(self) -> str:
        """Why it cannot be tried; empty if it can."""
        if self.scheme is CHARGE and {self.client.name, self.server.name} == {"pympp", "mppx"}:
            return _HASHES
        missing = (one.not_built.get(self.scheme, "") for one in (self.client, self.server))
        return "; ".join(dict.fromkeys(reason for reason in missing if reason))


def every_cell() -> Iterator[Cell]:
    """Every cell that makes sense, server by server, so that each starts once."""
    for server in SERVERS:
        for client in CLIENTS:
            for scheme in SCHEMES:
                if client.knows(scheme) and server.knows(scheme):
                    yield Cell(client, server, scheme)
