"""The faucet and the issuer: lamports and tokens that come from outside, each by a chain tx."""

from __future__ import annotations

import os

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from aisa.devnet.solana.chain import Chain, Minted
from aisa.devnet.solana.instruction import create_token_account, memo, mint_tokens, token_account
from aisa.devnet.solana.params import INTERNAL_ERROR, INVALID_PARAMS, RpcRefusal
from aisa.devnet.solana.run import Refused


def airdrop(chain: Chain, address: Pubkey, lamports: int) -> str:
    """Give lamports from the faucet; returns the signature.

    Raises:
        RpcRefusal: the transfer cannot be carried out, for example below the rent minimum.
    """
    faucet = chain.genesis.keypair("faucet")
    give = transfer(
        TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=address, lamports=lamports)
    )
    return _carry_out(chain, [give], [faucet])


def mint(chain: Chain, mint_address: Pubkey, owner: Pubkey, units: int) -> Minted:
    """Make tokens in an owner's associated account and put it on record.

    Raises:
        RpcRefusal: the mint is not one of this devnet's, or the units exceed what it can hold.
    """
    spec = chain.genesis.mint_by_address(mint_address)
    if spec is None or not 0 < units < 2**63:
        raise RpcRefusal(INVALID_PARAMS, "Invalid params: unknown mint, or units not in 1 to 2^63")
    faucet, issuer = chain.genesis.keypair("faucet"), chain.genesis.keypair("issuer")
    account = token_account(owner, mint_address)
    steps = [
        create_token_account(faucet.pubkey(), owner, mint_address),
        mint_tokens(issuer.pubkey(), mint_address, account, units, spec.scale),
    ]
    signature = _carry_out(chain, steps, [faucet, issuer])
    minted = Minted(str(mint_address), str(owner), str(account), units, signature)
    chain.minted.append(minted)
    return minted


def _carry_out(chain: Chain, steps: list[Instruction], signers: list[Keypair]) -> str:
    # The memo makes two equal gifts in one slot two different chain txs.
    steps = [*steps, memo(os.urandom(8).hex())]
    blockhash = Hash.from_string(chain.blocks.hash_at(chain.blocks.slot))
    message = MessageV0.try_compile(signers[0].pubkey(), steps, [], blockhash)
    tx = VersionedTransaction(message, signers)
    landed = chain.land(tx, bytes(tx))
    if isinstance(landed, Refused) or landed.err:
        raise RpcRefusal(INTERNAL_ERROR, f"the faucet's chain tx failed: {landed.err.decode()}")
    return landed.signature
