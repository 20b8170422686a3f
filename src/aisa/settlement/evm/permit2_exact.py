"""Signed transfers of any token, through Permit2 and x402's contract for exact amounts."""

from __future__ import annotations

import hashlib

from aisa.errors import MalformedMessage
from aisa.identity.evm_key import is_evm_signature
from aisa.protocol.eip712 import address_word, uint_word
from aisa.protocol.evm_address import format_bytes, parse_address
from aisa.protocol.permit2 import PERMIT2, Permit, TokenPermission, permit2_domain
from aisa.protocol.x402.exact import EXACT_PROXY, Permit2Payload, TransferWitness
from aisa.settlement.evm.answer import LOGS, MAYBE_SENT_TX, data_bytes, word
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.erc20 import TRANSFER_TOPIC, call_data, topic_address
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.token_contract import contract_of
from aisa.settlement.pull import PullCheck, PullProblem, SignedTransfer

_SETTLE = "settle(((address,uint256),uint256,uint256),address,(address,uint256),bytes)"
_HEAD_SIZE = 8 * 32


class Permit2Exact:
    """What is peculiar to transfers through Permit2; the payer has approved it once."""

    def __init__(self, rpc: EvmRpc, chain_id: int) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._is_checked = False

    def id(self, transfer: SignedTransfer) -> str:
        """The journal's id: Permit2 counts a payer's nonces over all tokens."""
        payer = parse_address(transfer.payer)
        text = f"eip155:{self._chain_id} permit2 {payer.hex()} {transfer.nonce.hex()}"
        return f"evm-pull:{hashlib.sha256(text.encode()).hexdigest()[:40]}"

    def call(self, transfer: SignedTransfer) -> Call:
        """The chain tx that carries it out.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        payload = _payload(transfer)
        payload.digest(self._chain_id)  # every member in its bounds
        if len(transfer.signature) != 65:
            raise MalformedMessage("a signature has 65 bytes")
        contract = contract_of(transfer.token)
        return Call(
            "pull",
            payload.permit.spender,
            _settle_data(payload),
            asset=transfer.token.asset,
            units=transfer.units,
            destination=" ".join(
                (transfer.payer.lower(), transfer.payee.lower(), format_bytes(transfer.nonce))
            ),
            move=Move(contract, payload.payer, payload.witness.to, str(transfer.units)),
        )

    async def check(self, transfer: SignedTransfer) -> PullCheck | None:
        """The first problem with contract, signature, nonce or approval.

        Raises:
            RailUnavailable: the network does not answer.
        """
        payload = _payload(transfer)
        if payload.permit.spender != EXACT_PROXY:
            return PullCheck(PullProblem.UNSUPPORTED, "the spender is not x402's exact contract")
        if not await self._is_here():
            return PullCheck(
                PullProblem.UNSUPPORTED, "Permit2 and x402's contract are not on this chain"
            )
        if not is_evm_signature(payload.payer, payload.digest(self._chain_id), transfer.signature):
            return PullCheck(PullProblem.SIGNATURE, "the payer did not sign this transfer")
        if await self._is_used(payload):
            return PullCheck(PullProblem.NONCE_USED, "the signed transfer's nonce is used")
        owner = address_word(payload.payer), address_word(PERMIT2)
        allowance = call_data("allowance(address,address)", *owner)
        if await self._number(payload.permitted.token, allowance) < transfer.units:
            return PullCheck(PullProblem.ALLOWANCE, "the payer has not approved Permit2")
        return None

    async def elsewhere(
        self, transfer: SignedTransfer, entry: Entry, first: int, last: int
    ) -> str | None:
        """The final chain tx of another sender that made the very same call.

        Permit2 has no event with the nonce, so the call's own bytes must be ours. A call through a
        further contract is not believed: its maker could only pretend to make ours inside.

        Raises:
            RailUnavailable: the servers do not answer, or disagree.
        """
        wish = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": format_bytes(contract_of(transfer.token)),
            "topics": [
                TRANSFER_TOPIC,
                topic_address(parse_address(transfer.payer)),
                topic_address(parse_address(transfer.payee)),
            ],
        }
        (logs,) = await self._rpc.agreed(LOGS, "eth_getLogs", [[wish]])
        for log in logs:
            hash_ = log.transaction_hash
            (sent,) = await self._rpc.agreed(MAYBE_SENT_TX, "eth_getTransactionByHash", [[hash_]])
            if sent is not None and sent.is_call(entry.to, entry.data):
                return hash_
        return None

    async def _is_here(self) -> bool:
        """Whether both contracts are there, and Permit2 has the domain that we sign in; asked once."""
        if self._is_checked:
            return True
        for address in (PERMIT2, EXACT_PROXY):
            where = format_bytes(address), "latest"
            if not data_bytes(await self._rpc.call(str, "eth_getCode", *where)):
                return False
        separator = await self._number(PERMIT2, call_data("DOMAIN_SEPARATOR()"))
        ours = int.from_bytes(permit2_domain(self._chain_id).separator)
        self._is_checked = separator == ours
        return self._is_checked

    async def _is_used(self, payload: Permit2Payload) -> bool:
        place, bit = divmod(payload.permit.nonce, 256)
        data = call_data(
            "nonceBitmap(address,uint256)", address_word(payload.payer), uint_word(place)
        )
        wish = {"to": format_bytes(PERMIT2), "data": format_bytes(data)}
        (found,) = await self._rpc.agreed(str, "eth_call", [[wish, "latest"]])
        return bool(word(found) >> bit & 1)

    async def _number(self, to: bytes, data: bytes) -> int:
        wish = {"to": format_bytes(to), "data": format_bytes(data)}
        return word(await self._rpc.call(str, "eth_call", wish, "latest"))


def _payload(transfer: SignedTransfer) -> Permit2Payload:
    return Permit2Payload(
        payer=parse_address(transfer.payer, "payer"),
        permitted=TokenPermission(contract_of(transfer.token), transfer.units),
        permit=Permit(
            spender=parse_address(transfer.spender, "spender"),
            nonce=int.from_bytes(transfer.nonce),
            deadline=transfer.valid_before_s,
        ),
        witness=TransferWitness(
            to=parse_address(transfer.payee, "payee"), valid_after=transfer.valid_after_s
        ),
        signature=transfer.signature,
    )


def _settle_data(payload: Permit2Payload) -> bytes:
    signature = payload.signature
    return call_data(
        _SETTLE,
        address_word(payload.permitted.token),
        uint_word(payload.permitted.amount),
        uint_word(payload.permit.nonce),
        uint_word(payload.permit.deadline),
        address_word(payload.payer),
        address_word(payload.witness.to),
        uint_word(payload.witness.valid_after),
        uint_word(_HEAD_SIZE),
        uint_word(len(signature)),
        signature + bytes(-len(signature) % 32),
    )
