"""Signed transfers that the token itself takes: EIP-3009."""

from __future__ import annotations

import hashlib

from aisa.errors import MalformedMessage
from aisa.identity.evm_key import is_evm_signature
from aisa.protocol.evm_address import format_bytes, parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.settlement.evm.answer import LOGS, MAYBE_RECEIPT
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.erc20 import (
    AUTHORIZATION_USED_TOPIC,
    authorized_transfer_data,
    topic_address,
)
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.token_contract import TokenContracts, contract_of
from aisa.settlement.pull import PullCheck, PullProblem, SignedTransfer


class Eip3009:
    """What is peculiar to transfers that the token itself takes."""

    def __init__(self, rpc: EvmRpc, tokens: TokenContracts) -> None:
        self._rpc = rpc
        self._tokens = tokens

    def id(self, transfer: SignedTransfer) -> str:
        """The journal's id: one for each token, payer and nonce."""
        payer = parse_address(transfer.payer)
        text = f"{transfer.token.asset} {payer.hex()} {transfer.nonce.hex()}"
        return f"evm-pull:{hashlib.sha256(text.encode()).hexdigest()[:40]}"

    def call(self, transfer: SignedTransfer) -> Call:
        """The chain tx that carries it out.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        authorization = _authorization(transfer)
        authorization.transfer_hash()  # every member in its bounds
        if len(transfer.signature) != 65:
            raise MalformedMessage("a signature has 65 bytes")
        contract = contract_of(transfer.token)
        return Call(
            "pull",
            contract,
            authorized_transfer_data(authorization, transfer.signature),
            asset=transfer.token.asset,
            units=transfer.units,
            destination=" ".join(
                (transfer.payer.lower(), transfer.payee.lower(), format_bytes(transfer.nonce))
            ),
            move=Move(contract, authorization.payer, authorization.to, str(transfer.units)),
        )

    async def check(self, transfer: SignedTransfer) -> PullCheck | None:
        """The first problem with signature or nonce.

        Raises:
            RailUnavailable: the network does not answer.
        """
        domain = await self._tokens.domain(transfer.token)
        if domain is None:
            return PullCheck(
                PullProblem.UNSUPPORTED,
                f"{transfer.token.symbol} has no EIP-3009 that we can check",
            )
        authorization = _authorization(transfer)
        digest = domain.digest(authorization.transfer_hash())
        if not is_evm_signature(authorization.payer, digest, transfer.signature):
            return PullCheck(PullProblem.SIGNATURE, "the payer did not sign this transfer")
        if await self._tokens.is_used(transfer.token, authorization.payer, transfer.nonce):
            return PullCheck(PullProblem.NONCE_USED, "the signed transfer's nonce is used")
        return None

    async def elsewhere(
        self, transfer: SignedTransfer, entry: Entry, first: int, last: int
    ) -> str | None:
        """The final chain tx of another sender that carried the same authorisation out.

        Raises:
            RailUnavailable: the servers do not answer, or disagree.
        """
        payer = topic_address(parse_address(transfer.payer))
        wish = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": format_bytes(contract_of(transfer.token)),
            "topics": [AUTHORIZATION_USED_TOPIC, payer, format_bytes(transfer.nonce)],
        }
        (logs,) = await self._rpc.agreed(LOGS, "eth_getLogs", [[wish]])
        for log in logs:
            hash_ = log.transaction_hash
            (receipt,) = await self._rpc.agreed(
                MAYBE_RECEIPT, "eth_getTransactionReceipt", [[hash_]]
            )
            if receipt is not None and receipt.is_success and entry.is_done_by(receipt):
                return hash_
        return None


def _authorization(transfer: SignedTransfer) -> Authorization:
    return Authorization(
        payer=parse_address(transfer.payer, "payer"),
        to=parse_address(transfer.payee, "payee"),
        value=transfer.units,
        valid_after=transfer.valid_after_s,
        valid_before=transfer.valid_before_s,
        nonce=transfer.nonce,
    )
