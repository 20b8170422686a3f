"""Bringing deposits together in the treasury: for no gas of theirs where the token allows it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from aisa.errors import RailUnavailable
from aisa.money import Token
from aisa.protocol.eip712 import UINT256_MAX, Domain
from aisa.protocol.evm_authorization import Authorization
from aisa.settlement.evm.answer import MAYBE_RECEIPT, quantity
from aisa.settlement.evm.chain_tx import ChainTx
from aisa.settlement.evm.entry import Call, Move
from aisa.settlement.evm.erc20 import authorized_transfer_data, transfer_data
from aisa.settlement.evm.keys import RailKeys
from aisa.settlement.evm.purse import Purse, Source
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.settings import EvmSettings
from aisa.settlement.evm.token_contract import TokenContracts, contract_of

SOURCES_MAX = 10
_TRANSFER_GAS = 120_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one round began: entries of the treasury, and chain txs that deposit keys signed."""

    ids: tuple[str, ...]
    sent: tuple[str, ...]


class Sweeper:
    """Moves the fullest deposits; whatever it does moves our tokens to ourselves.

    With EIP-3009 the deposit's key signs an authorisation that the treasury sends. Without it the
    treasury sends the address native coin for gas first, and its key then sends the tokens.
    """

    def __init__(
        self,
        *,
        rpc: EvmRpc,
        chain_id: int,
        keys: RailKeys,
        sender: Sender,
        tokens: TokenContracts,
        purse: Purse,
        settings: EvmSettings,
    ) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._keys = keys
        self._sender = sender
        self._tokens = tokens
        self._purse = purse
        self._settings = settings

    async def begin(self, token: Token, missing_units: int) -> Sweep:
        """Start to move at least the missing units, if ten deposits have them. Under the lock.

        Raises:
            RailUnavailable: the deposits hold less, or no answer, or too little gas money.
        """
        sources = await self._purse.sources(token)
        if sum(one.units for one in sources) < missing_units:
            raise RailUnavailable(f"the rail holds too little {token.symbol}")
        busy = {one.destination for one in await self._sender.waiting_entries()}
        domain = await self._tokens.domain(token)
        ids: list[str] = []
        sent: list[str] = []
        for source in sources[:SOURCES_MAX]:
            missing_units -= source.units
            if _label(token, source) not in busy:
                if domain is not None:
                    ids.append(await self._take(token, source, domain))
                elif (top_up := await self._top_up(token, source)) is not None:
                    ids.append(top_up)
                else:
                    sent.append(await self._push(token, source))
            if missing_units <= 0:
                break
        return Sweep(tuple(ids), tuple(sent))

    async def finish(self, sweep: Sweep) -> None:
        """Send, and wait a bounded time until all is in blocks."""
        waiting = [self._sender.carry_out(one, until_included=True) for one in sweep.ids]
        await asyncio.gather(*waiting, *(self._included(one) for one in sweep.sent))
        if not sweep.ids and not sweep.sent:  # another payment's sweep is under way
            await asyncio.sleep(self._settings.poll_s)

    async def _take(self, token: Token, source: Source, domain: Domain) -> str:
        """Write down the treasury's call that carries out a deposit key's authorisation."""
        id_ = await self._fresh_id("sweep", token, source)
        own = self._sender.own
        authorization = Authorization(
            source.address, own, source.units, 0, UINT256_MAX, hashlib.sha256(id_.encode()).digest()
        )
        digest = domain.digest(authorization.transfer_hash())
        signature = self._keys.deposit(source.account).sign(digest)
        call = Call(
            "sweep",
            contract_of(token),
            authorized_transfer_data(authorization, signature),
            asset=token.asset,
            units=source.units,
            destination=_label(token, source),
            move=Move(contract_of(token), source.address, own, str(source.units)),
        )
        await self._sender.submit(id_, call)
        return id_

    async def _top_up(self, token: Token, source: Source) -> str | None:
        """Write down a payment of gas money to a deposit address, unless it has enough."""
        price = await self._sender.fees.price()
        text = "0x" + source.address.hex()
        held_wei = quantity(await self._rpc.call(str, "eth_getBalance", text, "latest"))
        if held_wei >= _TRANSFER_GAS * price.fee_wei:
            return None
        id_ = await self._fresh_id("top-up", token, source)
        call = Call(
            "top-up",
            source.address,
            # Half as much again: gas may get dearer until the address sends.
            value_wei=_TRANSFER_GAS * price.fee_wei * 3 // 2 - held_wei,
            destination=_label(token, source),
        )
        await self._sender.submit(id_, call)
        return id_

    async def _push(self, token: Token, source: Source) -> str:
        """Send a deposit with its own key; not written down, since repeated it moves what is there."""
        signer = self._keys.deposit(source.account)
        text = "0x" + source.address.hex()
        nonce = quantity(await self._rpc.call(str, "eth_getTransactionCount", text, "latest"))
        data = transfer_data(self._sender.own, source.units)
        price = await self._sender.fees.price()
        tx = ChainTx(self._chain_id, nonce, contract_of(token), data, 0, _TRANSFER_GAS, price)
        raw, hash_ = tx.sign(signer)
        await self._rpc.broadcast(raw)
        return hash_

    async def _included(self, hash_: str) -> None:
        now = asyncio.get_running_loop().time  # only the pace of repeats hangs on it
        deadline = now() + self._settings.send_timeout_s
        while now() < deadline:
            if await self._rpc.call(MAYBE_RECEIPT, "eth_getTransactionReceipt", hash_) is not None:
                return
            await asyncio.sleep(self._settings.poll_s)

    async def _fresh_id(self, purpose: str, token: Token, source: Source) -> str:
        number = 0
        while True:
            text = f"{token.asset} {source.address.hex()} {number}"
            id_ = f"evm-{purpose}:{hashlib.sha256(text.encode()).hexdigest()[:40]}"
            if await self._sender.find(id_) is None:
                return id_
            number += 1


def _label(token: Token, source: Source) -> str:
    return f"{token.asset} from 0x{source.address.hex()}"
