"""Building, rehearsing and signing one chain tx that moves tokens of ours."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from aisa.errors import RailError, RailUnavailable
from aisa.settlement.solana.answer import InContext, LatestBlockhash, Simulated
from aisa.settlement.solana.destination import Target
from aisa.settlement.solana.instruction import (
    compute_budget,
    create_token_account,
    memo,
    transfer_checked,
)
from aisa.settlement.solana.purse import Source
from aisa.settlement.solana.rpc import SolanaRpc

_TX_BYTES_MAX = 1232
_REHEARSALS = 3


@dataclass(frozen=True, slots=True)
class Draft:
    """A movement of tokens that is not signed yet: takes from sources, gives to one target."""

    payer: Keypair
    sources: Sequence[tuple[Source, int]]
    target: Target
    mint: Pubkey
    scale: int
    memo: str
    priority_price: int

    def instructions(self) -> list[Instruction]:
        """The steps in order."""
        steps = compute_budget(len(self.sources), self.priority_price)
        payer = self.payer.pubkey()
        if self.target.owner is not None:
            steps.append(create_token_account(payer, self.target.owner, self.mint))
        for source, units in self.sources:
            owner = source.owner.pubkey()
            steps.append(transfer_checked(owner, self.mint, self.target.account, units, self.scale))
        return [*steps, memo(self.memo)]

    def debits(self) -> dict[str, int]:
        """The units taken from each token account."""
        return {str(source.account): units for source, units in self.sources}


@dataclass(frozen=True, slots=True)
class Signed:
    """A chain tx ready to be sent, and how long it can land."""

    raw: bytes
    signature: str
    last_valid_block_height: int


async def sign(rpc: SolanaRpc, draft: Draft) -> Signed:
    """Rehearse a draft, then sign it.

    What is rehearsed has no signature, so a node that refuses it has nothing that could land.

    Raises:
        RailUnavailable: the node is behind, or does not answer.
        RailError: the network would refuse it.
    """
    for _ in range(_REHEARSALS):
        latest = await rpc.call(
            InContext[LatestBlockhash], "getLatestBlockhash", {"commitment": "confirmed"}
        )
        blockhash = Hash.from_string(latest.value.blockhash)
        message = MessageV0.try_compile(draft.payer.pubkey(), draft.instructions(), [], blockhash)
        err = await _rehearse(rpc, message)
        if err is None:
            return _signed(draft, message, latest.value.last_valid_block_height)
        if err != "BlockhashNotFound":
            text = msgspec.json.encode(err).decode()
            raise RailError(f"Solana would refuse the chain tx: {text}")
    raise RailUnavailable("the Solana RPC node gives out expired blockhashes")


async def _rehearse(rpc: SolanaRpc, message: MessageV0) -> object:
    blanks = [Signature.default()] * message.header.num_required_signatures
    unsigned = bytes(VersionedTransaction.populate(message, blanks))
    if len(unsigned) > _TX_BYTES_MAX:
        raise RailError(f"the chain tx would have {len(unsigned)} bytes")
    options = {"encoding": "base64", "sigVerify": False, "commitment": "confirmed"}
    text = base64.b64encode(unsigned).decode()
    simulated = await rpc.call(InContext[Simulated], "simulateTransaction", text, options)
    return simulated.value.err


def _signed(draft: Draft, message: MessageV0, last_valid_block_height: int) -> Signed:
    signers = {draft.payer.pubkey(): draft.payer}
    signers |= {source.owner.pubkey(): source.owner for source, _ in draft.sources}
    required = message.account_keys[: message.header.num_required_signatures]
    tx = VersionedTransaction(message, [signers[key] for key in required])
    return Signed(bytes(tx), str(tx.signatures[0]), last_valid_block_height)
