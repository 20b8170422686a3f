"""What the escrow contract is and says, checked before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.protocol.escrow import ChannelConfig, batch_domain, voucher_digest
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.keccak import keccak_256
from aisa.settlement.escrow import ChannelView, Leaving
from aisa.settlement.evm.answer import data_bytes, word
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.erc20 import call_data
from aisa.settlement.evm.escrow_abi import (
    channel_data,
    channel_id_data,
    pending_data,
    receiver_data,
    refund_nonce_data,
    valid_signature_data,
    voucher_digest_data,
)
from aisa.settlement.evm.escrow_settings import EscrowSettings, own_code_hash
from aisa.settlement.evm.rpc import EvmRpc

_PROBE: Final = ChannelConfig(
    payer=b"\x01" * 20,
    payer_authorizer=b"\x02" * 20,
    receiver=b"\x03" * 20,
    receiver_authorizer=b"\x04" * 20,
    token=b"\x05" * 20,
    withdraw_delay_s=86_400,
    salt=b"\x06" * 32,
)
_ERC1271_MAGIC: Final = bytes.fromhex("1626ba7e") + bytes(28)


class EscrowContract:
    """Reads one escrow contract; nothing is believed of it before its code and domain are known."""

    def __init__(self, rpc: EvmRpc, chain: Chain, chain_id: int, settings: EscrowSettings) -> None:
        self._rpc = rpc
        self._chain = chain
        self._settings = settings
        self.address = settings.contract
        self.domain = batch_domain(chain_id, settings.contract)
        self._is_checked = False
        self._checked_collectors: set[bytes] = set()

    async def check(self) -> None:
        """See `Escrow.check_contract`.

        That id and digest are the ones that we make proves name, version, chain and address of the
        contract's domain, and the types that it hashes.
        """
        if self._is_checked:
            return
        await self._check_code()
        channel = _PROBE.channel_id(self.domain)
        asked = {
            channel_id_data(_PROBE): channel,
            voucher_digest_data(channel, 7): voucher_digest(self.domain, channel, 7),
        }
        for data, expected in asked.items():
            try:
                found = data_bytes(await self._ask(self.address, data))
            except RailUnavailable:
                raise
            except RailError:
                found = b""
            if found != expected:
                raise ConfigInvalid(
                    f"the contract at {format_address(self.address)} is no escrow of this network: "
                    "it does not hash channels and vouchers as x402 batch settlement does"
                )
        self._is_checked = True

    async def check_collector(self, collector: bytes) -> None:
        """Look whether a collector is there and serves this escrow, once.

        Raises:
            ConfigInvalid: it does not.
            RailUnavailable: no server answers.
        """
        if collector in self._checked_collectors:
            return
        text = format_address(collector)
        if not await self.has_code(collector):
            raise ConfigInvalid(f"there is no deposit collector at {text}")
        if not self._settings.is_canonical:
            try:
                served = data_bytes(await self._ask(collector, call_data("escrow()")))
            except RailUnavailable:
                raise
            except RailError:
                served = b""
            if served[-20:] != self.address:
                raise ConfigInvalid(f"the deposit collector at {text} serves another escrow")
        self._checked_collectors.add(collector)

    async def has_code(self, address: bytes) -> bool:
        """Whether an address is a contract's."""
        where = format_bytes(address), "latest"
        return bool(data_bytes(await self._rpc.call(str, "eth_getCode", *where)))

    async def is_signed_by_contract(self, wallet: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether a contract wallet calls a signature its own now (ERC-1271)."""
        if not await self.has_code(wallet):
            return False
        try:
            found = data_bytes(await self._ask(wallet, valid_signature_data(digest, signature)))
        except RailUnavailable:
            raise
        except RailError:
            return False
        return found == _ERC1271_MAGIC

    async def view(self, configs: Sequence[ChannelConfig]) -> list[ChannelView]:
        """See `Escrow.view`."""
        if not configs:
            return []
        ids = [config.channel_id(self.domain) for config in configs]
        head, final = await self._chain.head(), await self._chain.final_height()
        at_end = await self._final_words([channel_data(one) for one in ids], final)
        newest = await self._newest_words([one for id_ in ids for one in _both(id_)])
        views: list[ChannelView] = []
        for place, (id_, config) in enumerate(zip(ids, configs, strict=True)):
            balances = [words[2 * place][0] for words in newest]
            exits = [words[2 * place + 1] for words in newest]
            balance, claimed = at_end[place]
            views.append(
                ChannelView(
                    channel=id_,
                    deposit_units=min(balance, *balances),
                    claimed_units=claimed,
                    leaving=_leaving(exits, config.withdraw_delay_s),
                    now_s=head.time_s,
                )
            )
        return views

    async def claimed_now(self, configs: Sequence[ChannelConfig]) -> list[tuple[int, int]]:
        """Balance and claimed total of channels in the newest block, as one server knows it."""
        ids = [config.channel_id(self.domain) for config in configs]
        asked = [[self._wish(channel_data(one)), "latest"] for one in ids]
        return [_pair(one) for one in await self._rpc.call_many(str, "eth_call", asked)]

    async def receiver(self, receiver: bytes, token: bytes) -> tuple[int, int]:
        """What was claimed for a receiver in all, and what of it was paid out; final."""
        final = await self._chain.final_height()
        return (await self._final_words([receiver_data(receiver, token)], final))[0]

    async def refund_nonce(self, channel: bytes) -> int:
        """The nonce of the next signed refund, as the servers agree on it now."""
        wish = [self._wish(refund_nonce_data(channel)), "latest"]
        return word((await self._rpc.agreed(str, "eth_call", [wish]))[0])

    async def _check_code(self) -> None:
        text = format_address(self.address)
        found = await self._rpc.call(str, "eth_getCode", format_bytes(self.address), "latest")
        code = data_bytes(found)
        if not code:
            raise ConfigInvalid(f"there is no escrow contract at {text}")
        wanted = self._settings.code_hash
        if wanted is None and not self._settings.is_canonical:
            wanted = own_code_hash()
        if wanted is not None and keccak_256(code) != wanted:
            raise ConfigInvalid(
                f"the code at {text} is not that of the escrow",
                hint=f"if you know that code, set escrow_code_hash = {format_bytes(keccak_256(code))!r}",
            )

    async def _final_words(self, data: Sequence[bytes], height: int) -> list[tuple[int, int]]:
        if height < 0:
            return [(0, 0)] * len(data)
        asked = [[self._wish(one), hex(height)] for one in data]
        answers = await self._rpc.agreed(str, "eth_call", asked, having=height)
        return [_pair(one) for one in answers]

    async def _newest_words(self, data: Sequence[bytes]) -> list[list[tuple[int, int]]]:
        """What each server says of the newest block that it has."""
        asked = [[self._wish(one), "latest"] for one in data]
        answers = await self._rpc.ask_enough(str, "eth_call", asked)
        return [[_pair(one) for one in answer] for answer in answers]

    async def _ask(self, to: bytes, data: bytes) -> str:
        wish = {"to": format_bytes(to), "data": format_bytes(data)}
        return await self._rpc.call(str, "eth_call", wish, "latest")

    def _wish(self, data: bytes) -> dict[str, str]:
        return {"to": format_bytes(self.address), "data": format_bytes(data)}


def _both(channel: bytes) -> tuple[bytes, bytes]:
    return channel_data(channel), pending_data(channel)


def _pair(answer: str) -> tuple[int, int]:
    data = data_bytes(answer, 64)
    return int.from_bytes(data[:32]), int.from_bytes(data[32:])


def _leaving(exits: Sequence[tuple[int, int]], delay_s: int) -> Leaving | None:
    """The withdrawal that ends first, of those that the servers show."""
    begun = [(at_s + delay_s, units) for units, at_s in exits if at_s]
    if not begun:
        return None
    ends_at_s, units = min(begun)
    return Leaving(units, ends_at_s)
