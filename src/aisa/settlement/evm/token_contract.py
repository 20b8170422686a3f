"""What a token's contract says of itself, checked before the token is used."""

from __future__ import annotations

from collections.abc import Sequence

from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.money import Token
from aisa.protocol.eip712 import Domain
from aisa.protocol.evm_address import parse_address
from aisa.settlement.evm.answer import data_bytes, word
from aisa.settlement.evm.erc20 import (
    authorization_state_data,
    balance_data,
    call_data,
    text_in,
)
from aisa.settlement.evm.rpc import EvmRpc

_NOBODY = bytes(20)


class TokenContracts:
    """Code, digits and signing domain of each token, asked once; balances, asked each time."""

    def __init__(self, rpc: EvmRpc, chain_id: int) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._checked: set[str] = set()
        self._domains: dict[str, Domain] = {}

    async def check(self, token: Token) -> None:
        """Compare a token with its contract, once.

        Raises:
            ConfigInvalid: there is no contract at its address, or it has other digits.
            RailUnavailable: no server answers.
        """
        if token.asset in self._checked:
            return
        code = await self._rpc.call(str, "eth_getCode", token.reference, "latest")
        if not data_bytes(code):
            raise ConfigInvalid(f"there is no contract at {token.symbol}'s address")
        scale = word(await self.view(token, call_data("decimals()")))
        if scale != token.scale:
            raise ConfigInvalid(
                f"{token.symbol} has {scale} digits after the point on {token.network}, "
                f"not {token.scale}"
            )
        self._checked.add(token.asset)

    async def domain(self, token: Token) -> Domain | None:
        """The domain of the token's EIP-3009 signatures, if it has any.

        What the contract says its name and version are must hash, with this chain and this
        address, to the separator that it uses.
        """
        known = self._domains.get(token.asset)
        if known is None:
            known = await self._find_domain(token)
            if known is not None:
                self._domains[token.asset] = known
        return known

    async def is_used(self, token: Token, payer: bytes, nonce: bytes) -> bool:
        """Whether an authorisation was carried out or cancelled, as the servers agree.

        Raises:
            RailUnavailable: they do not.
        """
        wish = _wish(token, authorization_state_data(payer, nonce))
        return word((await self._rpc.agreed(str, "eth_call", [[wish, "latest"]]))[0]) != 0

    async def balances(
        self, token: Token, owners: Sequence[bytes], height: int | str, *, is_agreed: bool = False
    ) -> list[int]:
        """What owners hold at a block.

        Raises:
            RailUnavailable: no server answers, or they disagree where they must not.
        """
        at = height if isinstance(height, str) else hex(height)
        asked = [[_wish(token, balance_data(owner)), at] for owner in owners]
        if is_agreed:
            answers = await self._rpc.agreed(str, "eth_call", asked)
        else:
            answers = await self._rpc.call_many(str, "eth_call", asked)
        return [word(one) for one in answers]

    async def view(self, token: Token, data: bytes) -> str:
        """Call a function that changes nothing.

        Raises:
            RailError: the contract refuses.
            RailUnavailable: no server answers.
        """
        return await self._rpc.call(str, "eth_call", _wish(token, data), "latest")

    async def _find_domain(self, token: Token) -> Domain | None:
        try:
            separator = data_bytes(await self.view(token, call_data("DOMAIN_SEPARATOR()")))
            state = data_bytes(await self.view(token, authorization_state_data(_NOBODY, bytes(32))))
            if len(separator) != 32 or len(state) != 32:  # a contract that answers to any name
                return None
            names = await self._names(token)
        except RailUnavailable:
            raise
        except RailError:
            return None
        for name, version in names:
            domain = Domain(name, version, self._chain_id, contract_of(token))
            if domain.separator == separator:
                return domain
        return None

    async def _names(self, token: Token) -> list[tuple[str, str]]:
        """What name and version may be: as ERC-5267 tells them, or as older tokens do."""
        try:
            told = data_bytes(await self.view(token, call_data("eip712Domain()")))
            return [(text_in(told, 1), text_in(told, 2))]
        except RailUnavailable:
            raise
        except RailError:
            name = text_in(data_bytes(await self.view(token, call_data("name()"))), 0)
        try:
            version = text_in(data_bytes(await self.view(token, call_data("version()"))), 0)
        except RailUnavailable:
            raise
        except RailError:
            return [(name, "1"), (name, "2")]
        return [(name, version)]


def contract_of(token: Token) -> bytes:
    """The address of a token's contract."""
    return parse_address(token.reference)


def _wish(token: Token, data: bytes) -> dict[str, str]:
    return {"to": token.reference, "data": "0x" + data.hex()}
