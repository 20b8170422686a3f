from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from aisa.devnet.solana import base58
from aisa.devnet.solana import instruction as ix
from aisa.devnet.solana.devnet import Devnet
from aisa.devnet.solana.params import RpcRefusal

OWNER = Keypair.from_seed(bytes(range(32))).pubkey()


@pytest.fixture(scope="module")
def devnet() -> Devnet:
    devnet = Devnet(clock=lambda: 1_800_000_000_000)
    devnet.call("requestAirdrop", str(OWNER), 1_000_000_000)
    for spec in devnet.genesis.mint_specs():
        devnet.call("aisa_mint", {"mint": spec.address, "owner": str(OWNER), "units": "1500000"})
    return devnet


def ask(devnet: Devnet, body: object) -> Any:
    return msgspec.json.decode(devnet.answer(json.dumps(body).encode()))


def call(method: str, *params: object, call_id: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(params)}


def mint_of(devnet: Devnet) -> str:
    return devnet.genesis.mint_specs()[0].address


def test_a_batch_is_answered_in_order_with_its_ids(devnet: Devnet) -> None:
    answers = ask(devnet, [call("getHealth", call_id="a"), call("nothing", call_id=7), "x"])
    assert [one["id"] for one in answers] == ["a", 7, None]
    assert answers[0]["result"] == "ok"
    assert answers[1]["error"]["code"] == -32601
    assert answers[2]["error"]["code"] == -32600


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff"])
def test_a_broken_body_is_answered_with_an_error(devnet: Devnet, body: bytes) -> None:
    assert b'"error"' in devnet.answer(body)


@pytest.mark.parametrize(
    "request_body",
    [
        call("getBalance"),
        call("getBalance", 5),
        call("getBalance", "not an address"),
        call("getAccountInfo", str(OWNER), {"encoding": "base64+zstd"}),
        call("getSlot", {"commitment": "sometime"}),
        call("getSlot", "finalized"),
        call("sendTransaction", "AAAA", {"encoding": "base64"}),
        call("sendTransaction", base64.b64encode(bytes(1300)).decode(), {"encoding": "base64"}),
        call("getMultipleAccounts", [str(OWNER)] * 101),
        call("getSignaturesForAddress", str(OWNER), {"before": "x"}),
        call("aisa_mint", {"mint": str(OWNER), "owner": str(OWNER), "units": "1"}),
        call("aisa_mint", {"mint": str(OWNER), "owner": str(OWNER), "units": "-1"}),
        call("aisa_fault", {"name": "earthquake"}),
        {"id": 1, "method": "getSlot", "params": {"a": 1}},
    ],
)
def test_wrong_parameters_are_answered_with_invalid_params(
    devnet: Devnet, request_body: object
) -> None:
    assert ask(devnet, request_body)["error"]["code"] == -32602


def test_a_token_account_is_shown_parsed_and_in_bytes(devnet: Devnet) -> None:
    account = str(ix.token_account(OWNER, Pubkey.from_string(mint_of(devnet))))
    parsed: Any = devnet.call("getAccountInfo", account, {"encoding": "jsonParsed"})
    info = parsed["value"]["data"]["parsed"]["info"]
    assert info["tokenAmount"]["amount"] == "1500000"
    assert (info["mint"], info["owner"]) == (mint_of(devnet), str(OWNER))
    options = {"encoding": "base64", "dataSlice": {"offset": 64, "length": 8}}
    sliced: Any = devnet.call("getAccountInfo", account, options)
    assert base64.b64decode(sliced["value"]["data"][0]) == (1_500_000).to_bytes(8, "little")
    with pytest.raises(RpcRefusal, match="128 bytes"):
        devnet.call("getAccountInfo", account)


def test_token_accounts_are_found_by_owner_by_program_and_by_filter(devnet: Devnet) -> None:
    by_mint: Any = devnet.call(
        "getTokenAccountsByOwner", str(OWNER), {"mint": mint_of(devnet)}, {"encoding": "base64"}
    )
    assert len(by_mint["value"]) == 1
    token_program = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
    by_program: Any = devnet.call(
        "getTokenAccountsByOwner", str(OWNER), {"programId": token_program}, {"encoding": "base64"}
    )
    assert len(by_program["value"]) == 2
    filters = [{"dataSize": 165}, {"memcmp": {"offset": 32, "bytes": str(OWNER)}}]
    options = {"encoding": "base64", "filters": filters}
    by_filter: Any = devnet.call("getProgramAccounts", token_program, options)
    assert len(by_filter) == 2


def test_the_mints_are_on_record_and_equal_the_supply(devnet: Devnet) -> None:
    answer: Any = devnet.call("aisa_mints")
    assert [one["symbol"] for one in answer["mints"]] == ["aiUSD", "test-USDC"]
    for mint in answer["mints"]:
        made = sum(int(one["units"]) for one in answer["minted"] if one["mint"] == mint["mint"])
        assert made == int(mint["supply"]) == 1_500_000
        supply: Any = devnet.call("getTokenSupply", mint["mint"])
        assert supply["value"]["amount"] == mint["supply"]
    assert answer["label"].startswith("SVM in process")


def test_a_missing_account_is_null(devnet: Devnet) -> None:
    nobody = str(Keypair().pubkey())
    missing: Any = devnet.call("getAccountInfo", nobody)
    assert missing["value"] is None
    several: Any = devnet.call("getMultipleAccounts", [nobody, str(OWNER)], {"encoding": "base64"})
    assert several["value"][0] is None
    assert several["value"][1]["lamports"] == 1_000_000_000


def test_every_method_without_parameters_answers(devnet: Devnet) -> None:
    names = (
        "getHealth getVersion getGenesisHash getIdentity getSlot getBlockHeight getEpochInfo "
        "getEpochSchedule getTransactionCount getFirstAvailableBlock minimumLedgerSlot "
        "getLatestBlockhash getRecentPrioritizationFees aisa_label aisa_mints"
    )
    for answer in ask(devnet, [call(name) for name in names.split()]):
        assert "result" in answer


def test_the_network_is_named_by_its_own_genesis_hash(devnet: Devnet) -> None:
    network = devnet.genesis.network
    assert network == f"solana:{devnet.call('getGenesisHash')}"[: len("solana:") + 32]
    assert network not in {
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
    }


def test_min_context_slot_ahead_of_the_chain_is_refused(devnet: Devnet) -> None:
    with pytest.raises(RpcRefusal, match="Minimum context slot"):
        devnet.call("getSlot", {"minContextSlot": 2**40})


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0abc", bytes(range(64)), b"\xff" * 9])
def test_base58_gives_back_what_it_wrote(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


def test_base58_agrees_with_addresses() -> None:
    assert base58.encode(bytes(OWNER)) == str(OWNER)
    with pytest.raises(ValueError, match="base58"):
        base58.decode("0OIl")


def signed(devnet: Devnet, *steps: Instruction, legacy: bool = False) -> VersionedTransaction:
    payer = Keypair.from_seed(bytes(range(32)))
    latest: Any = devnet.call("getLatestBlockhash", {"commitment": "processed"})
    blockhash = Hash.from_string(latest["value"]["blockhash"])
    if legacy:
        message = Message.new_with_blockhash(list(steps), payer.pubkey(), blockhash)
        return VersionedTransaction(message, [payer])
    return VersionedTransaction(
        MessageV0.try_compile(payer.pubkey(), list(steps), [], blockhash), [payer]
    )


def in_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_a_simulation_moves_nothing_and_shows_what_would_be(devnet: Devnet) -> None:
    mint = Pubkey.from_string(mint_of(devnet))
    account = ix.token_account(OWNER, mint)
    to = Keypair().pubkey()
    make = ix.create_token_account(OWNER, to, mint)
    move = ix.transfer_tokens(OWNER, mint, ix.token_account(to, mint), 5, 6)
    tx = signed(devnet, make, move)
    unsigned = VersionedTransaction.populate(tx.message, [Signature.default()])
    options = {
        "encoding": "base64",
        "innerInstructions": True,
        "accounts": {"addresses": [str(account)], "encoding": "base64"},
    }
    simulated: Any = devnet.call("simulateTransaction", in_base64(bytes(unsigned)), options)
    value = simulated["value"]
    assert value["err"] is None
    assert value["innerInstructions"][0]["index"] == 0
    after = base64.b64decode(value["accounts"][0]["data"][0])
    assert int.from_bytes(after[64:72], "little") == 1_499_995
    missing: Any = devnet.call("getAccountInfo", str(ix.token_account(to, mint)))
    assert missing["value"] is None
    with pytest.raises(RpcRefusal, match="verification"):
        devnet.call(
            "simulateTransaction", in_base64(bytes(unsigned)), options | {"sigVerify": True}
        )
    with pytest.raises(RpcRefusal, match="replaceRecentBlockhash"):
        devnet.call(
            "simulateTransaction",
            in_base64(bytes(tx)),
            {"encoding": "base64", "sigVerify": True, "replaceRecentBlockhash": True},
        )


def test_a_simulation_on_an_old_blockhash_says_so_or_replaces_it(devnet: Devnet) -> None:
    message = MessageV0.try_compile(OWNER, [ix.memo("x")], [], Hash.default())
    tx = VersionedTransaction.populate(message, [Signature.default()])
    old: Any = devnet.call("simulateTransaction", in_base64(bytes(tx)), {"encoding": "base64"})
    assert old["value"]["err"] == "BlockhashNotFound"
    options = {"encoding": "base64", "replaceRecentBlockhash": True}
    new: Any = devnet.call("simulateTransaction", in_base64(bytes(tx)), options)
    assert new["value"]["err"] is None
    assert "lastValidBlockHeight" in new["value"]["replacementBlockhash"]


def test_a_fee_is_told_before_it_is_paid(devnet: Devnet) -> None:
    steps = [set_compute_unit_limit(100_000), set_compute_unit_price(30_000), ix.memo("fee")]
    tx = signed(devnet, *steps)
    told: Any = devnet.call("getFeeForMessage", in_base64(to_bytes_versioned(tx.message)))
    assert told["value"] == 5_000 + 3_000
    before: Any = devnet.call("getBalance", str(OWNER))
    devnet.call("sendTransaction", in_base64(bytes(tx)), {"encoding": "base64"})
    after: Any = devnet.call("getBalance", str(OWNER))
    assert before["value"] - after["value"] == told["value"]


def test_a_legacy_chain_tx_lands_and_is_shown_in_every_encoding(devnet: Devnet) -> None:
    give = transfer(TransferParams(from_pubkey=OWNER, to_pubkey=OWNER, lamports=7))
    tx = signed(devnet, give, ix.memo("legacy"), legacy=True)
    signature = devnet.call("sendTransaction", base58.encode(bytes(tx)))
    for encoding in ("json", "jsonParsed", "base64", "base58"):
        options = {"encoding": encoding, "commitment": "confirmed"}
        shown: Any = devnet.call("getTransaction", signature, options)
        if encoding == "base64":
            assert base64.b64decode(shown["transaction"][0]) == bytes(tx)
        elif encoding == "base58":
            assert base58.decode(shown["transaction"][0]) == bytes(tx)
        elif encoding == "json":
            assert shown["transaction"]["message"]["header"]["numRequiredSignatures"] == 1
        else:
            parsed = shown["transaction"]["message"]["instructions"][0]["parsed"]
            assert parsed["info"]["lamports"] == 7
    with pytest.raises(RpcRefusal, match="not served"):
        devnet.call("getTransaction", signature, {"encoding": "x", "commitment": "confirmed"})
    assert devnet.call("getTransaction", "1" * 64) is None


def test_a_v0_chain_tx_needs_a_client_that_knows_versions(devnet: Devnet) -> None:
    tx = signed(devnet, ix.memo("v0"))
    signature = devnet.call("sendTransaction", in_base64(bytes(tx)), {"encoding": "base64"})
    with pytest.raises(RpcRefusal, match="version"):
        devnet.call("getTransaction", signature, {"commitment": "confirmed"})
