"""Deposits that payers signed: checked against the chain, and found if somebody else sent them."""

from __future__ import annotations

from collections.abc import Mapping

from aisa.errors import MalformedMessage, RailError, RailUnavailable
from aisa.identity.evm_key import is_evm_signature
from aisa.money import Token
from aisa.protocol.eip712 import address_word, uint_word
from aisa.protocol.escrow import WITHDRAW_DELAY_S_MAX, WITHDRAW_DELAY_S_MIN, ChannelConfig
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.keccak import keccak_256
from aisa.protocol.permit2 import PERMIT2
from aisa.protocol.x402.batch import deposit_nonce
from aisa.protocol.x402.batch_payload import Permit2Deposit
from aisa.settlement.escrow import SignedDeposit
from aisa.settlement.evm.answer import LOGS, MAYBE_RECEIPT, MAYBE_SENT_TX, word
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.erc20 import (
    AUTHORIZATION_USED_TOPIC,
    TRANSFER_TOPIC,
    call_data,
    topic_address,
)
from aisa.settlement.evm.escrow_abi import (
    allowance_data,
    deposit_data,
    eip3009_piece,
    permit2_piece,
)
from aisa.settlement.evm.escrow_contract import EscrowContract
from aisa.settlement.evm.escrow_settings import EscrowSettings
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.token_contract import TokenContracts, contract_of
from aisa.settlement.pull import PullCheck, PullProblem
from aisa.settlement.rail import Clock

_MARGIN_S = 6


class SignedDeposits:
    """Says what is wrong with a signed deposit, and which call carries it out."""

    def __init__(
        self,
        rpc: EvmRpc,
        chain_id: int,
        contract: EscrowContract,
        settings: EscrowSettings,
        tokens: TokenContracts,
        allowed: Mapping[bytes, Token],
        *,
        clock: Clock,
    ) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._contract = contract
        self._settings = settings
        self._tokens = tokens
        self._allowed = allowed
        self._clock = clock

    def call(self, deposit: SignedDeposit, purpose: str) -> Call:
        """The chain tx that carries a deposit out.

        Raises:
            MalformedMessage: a member has another size or is out of range, or there is no collector.
        """
        collector, config = self._collector(deposit), deposit.config
        if deposit.units < 1:
            raise MalformedMessage("a deposit has at least one unit")
        signed = deposit.signed
        if len(signed.signature) != 65:
            raise MalformedMessage("a signature has 65 bytes")
        is_permit2 = isinstance(signed, Permit2Deposit)
        piece = permit2_piece(signed) if is_permit2 else eip3009_piece(signed)
        data = deposit_data(config, deposit.units, collector, piece)
        # By EIP-3009 the tokens come by way of the collector. By Permit2 their way is not fixed; the
        # contract itself refuses a deposit that does not arrive.
        units = str(deposit.units)
        way = Move(config.token, collector, self._contract.address, units)
        token = self._allowed.get(config.token)
        return Call(
            purpose,
            self._contract.address,
            data,
            asset="" if token is None else token.asset,
            units=deposit.units,
            destination=fingerprint(data),
            move=None if is_permit2 else way,
        )

    async def check(self, deposit: SignedDeposit) -> PullCheck | None:
        """The first problem with channel, time, signature, nonce or balance.

        Raises:
            RailUnavailable: the network does not answer.
            ConfigInvalid: escrow or collector are not what they should be.
        """
        token = self._allowed.get(deposit.config.token)
        if token is None:
            return PullCheck(PullProblem.UNSUPPORTED, "the token is not one of this node's")
        detail = unsound(deposit.config, self._contract.address)
        if detail:
            return PullCheck(PullProblem.MALFORMED, detail)
        await self._contract.check()
        await self._contract.check_collector(self._collector(deposit))
        await self._tokens.check(token)
        if isinstance(deposit.signed, Permit2Deposit):
            return await self._check_permit2(deposit, deposit.signed, token)
        return await self._check_eip3009(deposit, token)

    async def elsewhere(
        self, deposit: SignedDeposit, entry: Entry, first: int, last: int
    ) -> str | None:
        """The final chain tx of somebody else that carried the same signature out.

        Raises:
            RailUnavailable: the servers do not answer, or disagree.
        """
        payer = topic_address(deposit.config.payer)
        if isinstance(deposit.signed, Permit2Deposit):
            topics = [TRANSFER_TOPIC, payer, topic_address(self._contract.address)]
        else:
            nonce = deposit_nonce(self._channel(deposit), deposit.signed.salt)
            topics = [AUTHORIZATION_USED_TOPIC, payer, format_bytes(nonce)]
        where = {"fromBlock": hex(first), "toBlock": hex(last)}
        wish = {**where, "address": format_bytes(deposit.config.token), "topics": topics}
        (logs,) = await self._rpc.agreed(LOGS, "eth_getLogs", [[wish]])
        for log in logs:
            if await self._is_same(deposit, entry, log.transaction_hash):
                return log.transaction_hash
        return None

    async def _is_same(self, deposit: SignedDeposit, entry: Entry, hash_: str) -> bool:
        (receipt,) = await self._rpc.agreed(MAYBE_RECEIPT, "eth_getTransactionReceipt", [[hash_]])
        if receipt is None or not receipt.is_success or not entry.is_done_by(receipt):
            return False
        if not isinstance(deposit.signed, Permit2Deposit):
            return True  # the nonce is of this channel, so the collector brought it here
        # Permit2 has no event with its nonce: the call must be the very same.
        (sent,) = await self._rpc.agreed(MAYBE_SENT_TX, "eth_getTransactionByHash", [[hash_]])
        return sent is not None and sent.is_call(entry.to, entry.data)

    async def _check_eip3009(self, deposit: SignedDeposit, token: Token) -> PullCheck | None:
        signed = deposit.signed
        assert not isinstance(signed, Permit2Deposit)
        problem = self._check_time(signed.valid_after, signed.valid_before)
        if problem is not None:
            return problem
        domain = await self._tokens.domain(token)
        if domain is None:
            return PullCheck(
                PullProblem.UNSUPPORTED, f"{token.symbol} has no EIP-3009 that we can check"
            )
        channel, collector = self._channel(deposit), self._collector(deposit)
        digest = signed.digest(domain, deposit.config, channel, deposit.units, collector)
        if not is_evm_signature(deposit.config.payer, digest, signed.signature):
            return _UNSIGNED
        nonce = deposit_nonce(channel, signed.salt)
        if await self._tokens.is_used(token, deposit.config.payer, nonce):
            return _USED
        return await self._check_balance(deposit, token)

    async def _check_permit2(
        self, deposit: SignedDeposit, signed: Permit2Deposit, token: Token
    ) -> PullCheck | None:
        problem = self._check_time(-1, signed.permit.deadline)
        if problem is not None:
            return problem
        if signed.payer != deposit.config.payer or signed.permitted.amount != deposit.units:
            return PullCheck(PullProblem.SIGNATURE, "the permit is for another payer or amount")
        if signed.permitted.token != contract_of(token):
            return PullCheck(PullProblem.SIGNATURE, "the permit is for another token")
        if signed.witness.channel != self._channel(deposit):
            return PullCheck(PullProblem.SIGNATURE, "the permit is for another channel")
        if not is_evm_signature(signed.payer, signed.digest(self._chain_id), signed.signature):
            return _UNSIGNED
        place, bit = divmod(signed.permit.nonce, 256)
        used = call_data(
            "nonceBitmap(address,uint256)", address_word(signed.payer), uint_word(place)
        )
        if await self._number(PERMIT2, used) >> bit & 1:
            return _USED
        allowance = allowance_data(signed.payer, PERMIT2)
        if await self._number(deposit.config.token, allowance) < deposit.units:
            return PullCheck(PullProblem.ALLOWANCE, "the payer has not approved Permit2")
        return await self._check_balance(deposit, token)

    def _check_time(self, after_s: int, before_s: int) -> PullCheck | None:
        now_s = self._clock() // 1000
        if now_s + _MARGIN_S >= before_s:
            return PullCheck(PullProblem.EXPIRED, "the signed deposit has ended, or is about to")
        if now_s <= after_s:
            return PullCheck(PullProblem.TOO_EARLY, "the signed deposit does not count yet")
        return None

    async def _check_balance(self, deposit: SignedDeposit, token: Token) -> PullCheck | None:
        (held,) = await self._tokens.balances(token, [deposit.config.payer], "latest")
        if held < deposit.units:
            return PullCheck(PullProblem.BALANCE, f"the payer holds {held} units")
        return None

    async def _number(self, to: bytes, data: bytes) -> int:
        wish = {"to": format_bytes(to), "data": format_bytes(data)}
        try:
            return word(await self._rpc.call(str, "eth_call", wish, "latest"))
        except RailUnavailable:
            raise
        except RailError:
            return 0

    def _collector(self, deposit: SignedDeposit) -> bytes:
        is_permit2 = isinstance(deposit.signed, Permit2Deposit)
        collector = self._settings.permit2 if is_permit2 else self._settings.eip3009
        if collector is None:
            raise MalformedMessage("this escrow takes no such deposits: it has no collector")
        if (
            isinstance(deposit.signed, Permit2Deposit)
            and deposit.signed.permit.spender != collector
        ):
            raise MalformedMessage(f"the permit's spender is not {format_address(collector)}")
        return collector

    def _channel(self, deposit: SignedDeposit) -> bytes:
        return deposit.config.channel_id(self._contract.domain)


def unsound(config: ChannelConfig, escrow: bytes) -> str:
    """Why the contract would refuse a channel; empty for a sound one."""
    named = config.payer, config.receiver, config.receiver_authorizer, config.token
    if not all(map(any, named)):
        return "the channel lacks a payer, receiver, receiver's authorizer or token"
    if escrow in {config.payer, config.receiver}:
        return "the escrow is no party of a channel"
    if not WITHDRAW_DELAY_S_MIN <= config.withdraw_delay_s <= WITHDRAW_DELAY_S_MAX:
        return "the channel's delay is not between 15 minutes and 30 days"
    return ""


def fingerprint(data: bytes) -> str:
    """What tells apart the contents of two calls under one id."""
    return format_bytes(keccak_256(data))


_UNSIGNED = PullCheck(PullProblem.SIGNATURE, "the payer did not sign this deposit")
_USED = PullCheck(PullProblem.NONCE_USED, "the signed deposit's nonce is used")
