"""What `extra` says of a token on an EVM network, and of the order in which a seller works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aisa.protocol.eip712 import Domain
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed, present

EIP3009: Final = "eip3009"
PERMIT2_METHOD: Final = "permit2"
AUTHORIZATION: Final = "authorization"
UPFRONT: Final = "upfront"
ESCROW: Final = "escrow"
FLOWS: Final = frozenset({AUTHORIZATION, UPFRONT, ESCROW})

_WORD: Final = re.compile(r"[A-Za-z0-9-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenExtra:
    """The name and version of the token's domain, how it is moved, and the seller's order of work.

    `method` is `eip3009` or `permit2`; others exist that we do not sign. `flow` is `authorization`
    (check, answer, settle), `upfront` (settle, answer) or `escrow` (lock, answer, capture).
    """

    name: str
    version: str
    method: str = EIP3009
    flow: str = AUTHORIZATION

    def domain(self, chain_id: int, token: bytes) -> Domain:
        """Return the domain of the token at this address."""
        return Domain(self.name, self.version, chain_id, token)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the members of `extra`; what is default is left out."""
        return present(
            {
                "name": self.name,
                "version": self.version,
                "assetTransferMethod": None if self.method == EIP3009 else self.method,
                "paymentFlow": None if self.flow == AUTHORIZATION else self.flow,
            },
        )

    @classmethod
    def read(cls, extra: JsonObject | None) -> TokenExtra:
        """Read the members of `extra`; others may stand beside them.

        Raises:
            MalformedMessage: the domain is missing, or a member breaks its bounds; names it.
        """
        fields = Fields("extra", extra or {})
        flow = fields.optional_text("paymentFlow", chars_max=32, pattern=_WORD) or AUTHORIZATION
        if flow not in FLOWS:
            raise malformed(fields.path("paymentFlow"), "is not an order of work that we know")
        return cls(
            name=fields.text("name", chars_max=128),
            version=fields.text("version", chars_max=32),
            method=fields.optional_text("assetTransferMethod", chars_max=32, pattern=_WORD)
            or EIP3009,
            flow=flow,
        )
