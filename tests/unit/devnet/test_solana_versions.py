"""Chain txs that outlive blockhashes, and ones that load accounts from lookup tables."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    InitializeNonceAccountParams,
    TransferParams,
    advance_nonce_account,
    create_account,
    initialize_nonce_account,
    transfer,
)
from solders.transaction import VersionedTransaction

from aisa.devnet.solana.devnet import Devnet
from aisa.devnet.solana.params import RpcRefusal

NONCE_BYTES = 80
TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")


@pytest.fixture
def payer() -> Keypair:
    return Keypair()


@pytest.fixture
def devnet(payer: Keypair) -> Devnet:
    devnet = Devnet(clock=lambda: 1_800_000_000_000)
    devnet.call("requestAirdrop", str(payer.pubkey()), 10_000_000_000)
    devnet.call("aisa_warp", {"slots": 600})
    return devnet


def send(devnet: Devnet, tx: VersionedTransaction, **options: object) -> str:
    text = base64.b64encode(bytes(tx)).decode()
    return str(devnet.call("sendTransaction", text, {"encoding": "base64", **options}))


def carry_out(devnet: Devnet, signers: list[Keypair], *steps: Instruction) -> str:
    latest: Any = devnet.call("getLatestBlockhash", {"commitment": "processed"})
    blockhash = Hash.from_string(latest["value"]["blockhash"])
    message = MessageV0.try_compile(signers[0].pubkey(), list(steps), [], blockhash)
    return send(devnet, VersionedTransaction(message, signers))


def test_a_durable_nonce_outlives_blockhashes_and_is_used_once(
    devnet: Devnet, payer: Keypair
) -> None:
    nonce, to = Keypair(), Keypair().pubkey()
    make = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(),
            to_pubkey=nonce.pubkey(),
            lamports=10_000_000,
            space=NONCE_BYTES,
            owner=SYSTEM_PROGRAM,
        )
    )
    start = initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=nonce.pubkey(), authority=payer.pubkey())
    )
    carry_out(devnet, [payer, nonce], make, start)
    held: Any = devnet.call("getAccountInfo", str(nonce.pubkey()), {"encoding": "base64"})
    value = Hash.from_bytes(base64.b64decode(held["value"]["data"][0])[40:72])
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer.pubkey())
    )

    def payment(lamports: int) -> VersionedTransaction:
        give = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))
        message = Message.new_with_blockhash([advance, give], payer.pubkey(), value)
        return VersionedTransaction(message, [payer])

    devnet.call("aisa_warp", {"slots": 1_000})
    first, second = payment(2_000_000), payment(3_000_000)
    send(devnet, first, skipPreflight=True)
    balance: Any = devnet.call("getBalance", str(to))
    assert balance["value"] == 2_000_000
    send(devnet, second, skipPreflight=True)
    after: Any = devnet.call("getBalance", str(to))
    assert after["value"] == 2_000_000, "the nonce has moved on"
    with pytest.raises(RpcRefusal, match="AlreadyProcessed"):
        send(devnet, first)


def test_accounts_from_a_lookup_table_are_indexed_and_shown(devnet: Devnet, payer: Keypair) -> None:
    to = Keypair().pubkey()
    devnet.call("requestAirdrop", str(to), 1_000_000)
    slot: Any = devnet.call("getSlot", {"commitment": "processed"})
    table, bump = Pubkey.find_program_address(
        [bytes(payer.pubkey()), (slot - 1).to_bytes(8, "little")], TABLES
    )
    accounts = [
        AccountMeta(table, is_signer=False, is_writable=True),
        AccountMeta(payer.pubkey(), is_signer=True, is_writable=False),
        AccountMeta(payer.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
    ]
    recent = (slot - 1).to_bytes(8, "little")
    make = Instruction(TABLES, bytes(4) + recent + bytes([bump]), accounts)
    one = (2).to_bytes(4, "little") + (1).to_bytes(8, "little")
    extend = Instruction(TABLES, one + bytes(to), accounts)
    carry_out(devnet, [payer], make, extend)
    devnet.call("aisa_warp", {"slots": 2})
    latest: Any = devnet.call("getLatestBlockhash", {"commitment": "processed"})
    give = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=5))
    message = MessageV0.try_compile(
        payer.pubkey(),
        [give],
        [AddressLookupTableAccount(table, [to])],
        Hash.from_string(latest["value"]["blockhash"]),
    )
    assert to not in message.account_keys
    signature = send(devnet, VersionedTransaction(message, [payer]))
    balance: Any = devnet.call("getBalance", str(to))
    assert balance["value"] == 1_000_005
    options = {
        "commitment": "confirmed",
        "encoding": "jsonParsed",
        "maxSupportedTransactionVersion": 0,
    }
    shown: Any = devnet.call("getTransaction", signature, options)
    assert shown["meta"]["loadedAddresses"] == {"writable": [str(to)], "readonly": []}
    keys = {row["pubkey"]: row for row in shown["transaction"]["message"]["accountKeys"]}
    assert keys[str(to)]["source"] == "lookupTable"
    rows: Any = devnet.call("getSignaturesForAddress", str(to), {"commitment": "confirmed"})
    assert rows[0]["signature"] == signature
