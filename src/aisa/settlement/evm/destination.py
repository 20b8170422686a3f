"""Where a payment out may go."""

from __future__ import annotations

from collections.abc import Iterable, Set

from aisa.errors import InvalidRequest
from aisa.money import Token
from aisa.protocol.evm_address import parse_address
from aisa.settlement.evm.token_contract import contract_of

_PRECOMPILED_MAX = 0xFFFF


def check_destination(text: str, *, own: Set[bytes], tokens: Iterable[Token]) -> bytes:
    """Return the address of a destination.

    Tokens sent to nobody's address, to a built-in contract or to a token's own contract are lost;
    so those are refused here, where nothing has been sent.

    Raises:
        InvalidRequest: it is not an address, not one that can spend tokens, or our own.
    """
    address = parse_address(text, "destination")
    if int.from_bytes(address) <= _PRECOMPILED_MAX:
        raise InvalidRequest("the destination is nobody's address")
    if address in own:
        raise InvalidRequest(
            "the destination is this node's own", hint="name an address outside of the node"
        )
    for token in tokens:
        if address == contract_of(token):
            raise InvalidRequest(f"the destination is the contract of {token.symbol} itself")
    return address
