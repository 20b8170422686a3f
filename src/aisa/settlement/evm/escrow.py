"""`EvmEscrow`: channels in an escrow contract, all through the treasury's one queue of chain txs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aisa import faults
from aisa.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    MalformedMessage,
    RailError,
    RailUnavailable,
)
from aisa.money import Token
from aisa.protocol.eip712 import Domain
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.keccak import keccak_256
from aisa.protocol.x402.batch import Claim
from aisa.settlement.escrow import ChannelView, Earnings, LeavingNotices, SignedDeposit
from aisa.settlement.evm.answer import word
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.escrow_abi import (
    allowance_data,
    approve_data,
    begin_withdrawal_data,
    claim_data,
    deposit_data,
    end_withdrawal_data,
    refund_data,
    settle_data,
    signed_claim_data,
    signed_refund_data,
)
from aisa.settlement.evm.escrow_claims import ClaimChecks
from aisa.settlement.evm.escrow_contract import EscrowContract
from aisa.settlement.evm.escrow_deposit import SignedDeposits, fingerprint, unsound
from aisa.settlement.evm.escrow_settings import EscrowSettings
from aisa.settlement.evm.escrow_watch import LeavingWatcher
from aisa.settlement.evm.purse import Purse
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.settings import EvmSettings
from aisa.settlement.evm.token_contract import TokenContracts, contract_of
from aisa.settlement.pull import PullCheck, PullProblem
from aisa.settlement.rail import Clock, Failed, FailureReason, Outcome, Settled

_ID_MAX: Final = 64
_CLAIM_GAS_FIRST: Final = 60_000
_CLAIM_GAS_EACH: Final = 20_000
_BLOCKS_BACK: Final = 1_000
_BLOCKS_ON: Final = 10_000


class EvmEscrow:
    """See `Escrow`; deposits are paid in for payers, claims and refunds made for receivers."""

    def __init__(  # noqa: PLR0913 - all by name; each is a part of the rail that this shares
        self,
        *,
        network: str,
        rpc: EvmRpc,
        chain: Chain,
        chain_id: int,
        sender: Sender,
        tokens: TokenContracts,
        allowed: Sequence[Token],
        purse: Purse,
        clock: Clock,
        settings: EvmSettings,
        escrow: EscrowSettings,
    ) -> None:
        self._network = network
        self._rpc = rpc
        self._chain = chain
        self._sender = sender
        self._tokens = {contract_of(token): token for token in allowed}
        self._purse = purse
        self._contract = contract = EscrowContract(rpc, chain, chain_id, escrow)
        self._deposits = SignedDeposits(
            rpc, chain_id, contract, escrow, tokens, self._tokens, clock=clock
        )
        self._claims = ClaimChecks(contract, self._tokens, sender.own)
        self._watcher = LeavingWatcher(rpc, chain, escrow.contract, settings)
        self._funding = asyncio.Lock()

    @property
    def network(self) -> str:
        """See `Escrow.network`."""
        return self._network

    @property
    def domain(self) -> Domain:
        """See `Escrow.domain`."""
        return self._contract.domain

    @property
    def tokens(self) -> tuple[Token, ...]:
        """See `Escrow.tokens`."""
        return tuple(self._tokens.values())

    @property
    def operator(self) -> bytes:
        """See `Escrow.operator`."""
        return self._sender.own

    async def check_contract(self) -> None:
        """See `Escrow.check_contract`."""
        await self._contract.check()

    async def check_deposit(self, deposit: SignedDeposit) -> PullCheck:
        """See `Escrow.check_deposit`."""
        try:
            call = self._deposits.call(deposit, "escrow-deposit")
            problem = await self._deposits.check(deposit)
        except MalformedMessage as error:
            return PullCheck(PullProblem.MALFORMED, error.detail)
        if problem is not None:
            return problem
        try:
            await self._sender.gas(call)
        except RailUnavailable:
            raise
        except RailError as error:
            return PullCheck(PullProblem.REFUSED, error.detail)
        return PullCheck(None)

    async def deposit(self, id: str, deposit: SignedDeposit) -> Outcome:  # noqa: A002
        """See `Escrow.deposit`."""
        try:
            call = self._deposits.call(deposit, "escrow-deposit")
        except MalformedMessage as error:
            raise InvalidRequest(error.detail, problem=str(PullProblem.MALFORMED)) from error
        if await self._known(id, call) is None:
            checked = await self.check_deposit(deposit)
            if checked.problem is not None:
                raise InvalidRequest(checked.detail, problem=str(checked.problem))
        outcome = await self._carry_out(id, call)
        return await self._or_elsewhere(id, deposit, outcome)

    async def fund(self, id: str, config: ChannelConfig, units: int) -> Outcome:  # noqa: A002
        """See `Escrow.fund`."""
        token = self._token_of(config)
        problem = unsound(config, self._contract.address)
        if config.payer != self.operator:
            problem = "the channel's payer is not this node's treasury"
        if problem or units < 1:
            raise InvalidRequest(problem or "a deposit has at least one unit")
        data = deposit_data(config, units, bytes(20), b"")
        moved = Move(config.token, self.operator, self._contract.address, str(units))
        call = self._call("escrow-fund", data, token, units, move=moved)
        async with self._funding:  # an approval is spent by whichever deposit comes first
            if await self._known(id, call) is None:
                await self._contract.check()
                await self._approve(id, token, units)
            return await self._carry_out(id, call)

    async def view(self, configs: Sequence[ChannelConfig]) -> list[ChannelView]:
        """See `Escrow.view`."""
        await self._contract.check()
        return await self._contract.view(configs)

    async def is_signed(self, config: ChannelConfig, ceiling: int, signature: bytes) -> bool:
        """See `Escrow.is_signed`."""
        await self._contract.check()
        return await self._claims.is_signed(config, ceiling, signature)

    async def check_claims(self, claims: Sequence[Claim], signature: bytes | None = None) -> None:
        """See `Escrow.check_claims`."""
        await self._contract.check()
        await self._claims.check(claims, signature)

    async def claim(
        self,
        id: str,  # noqa: A002
        claims: Sequence[Claim],
        signature: bytes | None = None,
    ) -> Outcome:
        """See `Escrow.claim`."""
        asked = self._claim_call(claims, claims, signature)
        if await self._known(id, asked) is not None:
            return await self._carry_out(id, asked)
        await self.check_claims(claims, signature)
        left = await self._claims.unclaimed(claims)
        if not left:
            raise InvalidRequest("all of this was claimed before", problem="claimed")
        # A signature is over all the rows; of others only those that claim something are sent.
        call = self._claim_call(claims, claims if signature else left, signature)
        gas = await self._sender.gas(call)
        limit = int((await self._chain.head()).gas_limit, 16)
        if gas > limit // 2:
            raise RailError(f"{len(left)} channels are more than half a block takes")
        return await self._carry_out(id, call, gas=gas)

    async def earnings(self, receiver: bytes, token: Token) -> Earnings:
        """See `Escrow.earnings`."""
        await self._contract.check()
        return Earnings(*await self._contract.receiver(receiver, contract_of(token)))

    async def settle(self, id: str, receiver: bytes, token: Token) -> Outcome:  # noqa: A002
        """See `Escrow.settle`."""
        if token not in self.tokens:
            raise InvalidRequest(f"{token.symbol} is not in this escrow")
        await self._contract.check()
        call = self._call("escrow-settle", settle_data(receiver, contract_of(token)), token)
        return await self._carry_out(id, call)

    async def refund_nonce(self, config: ChannelConfig) -> int:
        """See `Escrow.refund_nonce`."""
        await self._contract.check()
        return await self._contract.refund_nonce(config.channel_id(self.domain))

    async def refund(
        self,
        id: str,  # noqa: A002
        config: ChannelConfig,
        units: int,
        *,
        nonce: int = 0,
        signature: bytes | None = None,
    ) -> Outcome:
        """See `Escrow.refund`."""
        token = self._token_of(config)
        if signature is None:
            data = refund_data(config, units)
        else:
            data = signed_refund_data(config, units, nonce, signature)
        call = self._call("escrow-refund", data, token, units)
        if await self._known(id, call) is None:
            await self._contract.check()
            await self._claims.check_refund(config, units, nonce, signature)
        return await self._carry_out(id, call)

    async def begin_withdrawal(self, id: str, config: ChannelConfig, units: int) -> Outcome:  # noqa: A002
        """See `Escrow.begin_withdrawal`."""
        return await self._withdraw(id, config, begin_withdrawal_data(config, units))

    async def end_withdrawal(self, id: str, config: ChannelConfig) -> Outcome:  # noqa: A002
        """See `Escrow.end_withdrawal`."""
        return await self._withdraw(id, config, end_withdrawal_data(config))

    async def look_up(self, id: str) -> Outcome:  # noqa: A002
        """See `Escrow.look_up`."""
        async with self._sender.lock:
            entry = await self._sender.find(id)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "nothing of this id was ever written down")
        return await self._sender.look_up(id, entry)

    async def leaving(self, cursor: bytes) -> LeavingNotices:
        """See `Escrow.leaving`."""
        await self._contract.check()
        return await self._watcher.leaving(cursor)

    async def claim_fee(self, channels: int) -> int:
        """See `Escrow.claim_fee`; in wei."""
        market = await self._sender.fees.market()
        gas = _CLAIM_GAS_FIRST + channels * _CLAIM_GAS_EACH
        return gas * (market.base_wei + market.tip_wei)

    async def _withdraw(self, id_: str, config: ChannelConfig, data: bytes) -> Outcome:
        token = self._token_of(config)
        if self.operator not in {config.payer, config.payer_authorizer}:
            raise InvalidRequest("this node is not of the channel's payer's side")
        await self._contract.check()
        return await self._carry_out(id_, self._call("escrow-withdraw", data, token))

    async def _approve(self, id_: str, token: Token, units: int) -> None:
        """Let the escrow take what this deposit needs, and those before it that are not mined yet."""
        async with self._sender.lock:
            waiting = await self._sender.waiting_entries()
            free = await self._purse.treasury_units(token)
        if free < units:
            raise RailUnavailable(f"the treasury holds too little {token.symbol}")
        needed = units + sum(
            int(one.units)
            for one in waiting
            if one.purpose == "escrow-fund" and one.asset == token.asset
        )
        data = allowance_data(self.operator, self._contract.address)
        wish = {"to": token.reference, "data": format_bytes(data)}
        allowed = word(await self._rpc.call(str, "eth_call", wish, "latest"))
        if allowed >= needed:
            return
        # Some tokens refuse to change an approval that is not used up.
        for amount in [0, needed] if allowed else [needed]:
            call = Call(
                "escrow-approve",
                contract_of(token),
                approve_data(self._contract.address, amount),
                asset=token.asset,
                destination=f"{format_address(self._contract.address)} {amount}",
            )
            name = await self._fresh_id(id_)
            await self._carry_out(name, call, until_included=True)

    async def _fresh_id(self, id_: str) -> str:
        number = 0
        while True:
            text = f"{self._network} {id_} {number}"
            name = f"evm-approve:{keccak_256(text.encode()).hex()[:40]}"
            if await self._sender.find(name) is None:
                return name
            number += 1

    async def _known(self, id_: str, call: Call) -> Entry | None:
        """What was written down for an id, if it is for the same.

        Raises:
            InvalidRequest: not an id.
            IdempotencyMismatch: it is for something else.
        """
        if not 0 < len(id_) <= _ID_MAX or not id_.isascii():
            raise InvalidRequest(f"an id has 1 to {_ID_MAX} ASCII characters")
        entry = await self._sender.find(id_)
        if entry is not None and not entry.is_for(call):
            raise IdempotencyMismatch(f"{id_} was used for something else")
        return entry

    async def _carry_out(
        self,
        id_: str,
        call: Call,
        *,
        gas: int | None = None,
        until_included: bool = False,
    ) -> Outcome:
        """Write a call down unless it is, and send it; from then on there are outcomes only."""
        async with self._sender.lock:
            entry = await self._known(id_, call)
            if entry is None:
                faults.hit("node.escrow.write.before")
                entry = await self._sender.submit(id_, call, gas=gas)
                faults.hit("node.escrow.write.after")
        if not entry.is_open:
            return entry.outcome()
        faults.hit("node.escrow.send.before")
        outcome = await self._sender.carry_out(id_, until_included=until_included)
        faults.hit("node.escrow.send.after")
        return outcome

    async def _or_elsewhere(self, id_: str, deposit: SignedDeposit, outcome: Outcome) -> Outcome:
        """Settled also if somebody else carried the same signature out before us."""
        entry = await self._sender.find(id_)
        if entry is None or not isinstance(outcome, Failed):
            return outcome
        try:
            final = await self._chain.final_height()
            first = max(0, entry.signed_at_height - _BLOCKS_BACK)
            last = min(final, entry.signed_at_height + _BLOCKS_ON)
            found = await self._deposits.elsewhere(deposit, entry, first, last)
        except RailError:
            return outcome
        return outcome if found is None else Settled(found)

    def _call(
        self, purpose: str, data: bytes, token: Token, units: int = 0, *, move: Move | None = None
    ) -> Call:
        return Call(
            purpose,
            self._contract.address,
            data,
            asset=token.asset,
            units=units,
            destination=fingerprint(data),
            move=move,
        )

    def _claim_call(
        self, asked: Sequence[Claim], sent: Sequence[Claim], signature: bytes | None
    ) -> Call:
        """A call that sends some rows, known by all that were asked for."""
        if signature is None:
            data, whole = claim_data(sent), claim_data(asked)
        else:
            data = whole = signed_claim_data(asked, signature)
        return Call("escrow-claim", self._contract.address, data, destination=fingerprint(whole))

    def _token_of(self, config: ChannelConfig) -> Token:
        token = self._tokens.get(config.token)
        if token is None:
            raise InvalidRequest(f"{format_address(config.token)} is not in this escrow")
        return token
