from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from aisa.devnet.solana import instruction as ix
from aisa.devnet.solana.devnet import Devnet
from aisa.devnet.solana.params import RpcRefusal
from aisa.errors import ConfigInvalid

UNITS = 5_000_000


class Watch:
    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def devnet(watch: Watch) -> Devnet:
    return Devnet(clock=watch)


def mint_of(devnet: Devnet) -> str:
    return devnet.genesis.mint_specs()[0].address


def funded(devnet: Devnet, units: int = UNITS) -> Keypair:
    owner = Keypair()
    devnet.call("requestAirdrop", str(owner.pubkey()), 1_000_000_000)
    if units:
        devnet.call(
            "aisa_mint",
            {"mint": mint_of(devnet), "owner": str(owner.pubkey()), "units": str(units)},
        )
    return owner


def blockhash(devnet: Devnet) -> Hash:
    answer: Any = devnet.call("getLatestBlockhash", {"commitment": "processed"})
    return Hash.from_string(answer["value"]["blockhash"])


def payment(
    devnet: Devnet, owner: Keypair, to: Pubkey, units: int, at: Hash | None = None
) -> VersionedTransaction:
    mint = Pubkey.from_string(mint_of(devnet))
    payer = owner.pubkey()
    steps = [
        ix.create_token_account(payer, to, mint),
        ix.transfer_tokens(payer, mint, ix.token_account(to, mint), units, 6),
        ix.memo("hello"),
    ]
    message = MessageV0.try_compile(payer, steps, [], at or blockhash(devnet))
    return VersionedTransaction(message, [owner])


def send(devnet: Devnet, tx: VersionedTransaction, **options: object) -> str:
    text = base64.b64encode(bytes(tx)).decode()
    return str(devnet.call("sendTransaction", text, {"encoding": "base64", **options}))


def status(devnet: Devnet, signature: str) -> Any:
    answer: Any = devnet.call("getSignatureStatuses", [signature])
    return answer["value"][0]


def units_of(devnet: Devnet, owner: Pubkey) -> int:
    account = ix.token_account(owner, Pubkey.from_string(mint_of(devnet)))
    answer: Any = devnet.call("getTokenAccountBalance", str(account))
    return int(answer["value"]["amount"])


def test_tokens_move_by_a_chain_tx_and_its_record_says_so(devnet: Devnet, watch: Watch) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    signature = send(devnet, payment(devnet, owner, to, 1_234_567))
    assert (units_of(devnet, owner.pubkey()), units_of(devnet, to)) == (3_765_433, 1_234_567)
    assert status(devnet, signature)["confirmationStatus"] == "confirmed"
    options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
    assert devnet.call("getTransaction", signature, options) is None, "not final yet"
    watch.now_ms += 800
    assert status(devnet, signature)["confirmationStatus"] == "finalized"
    landed: Any = devnet.call("getTransaction", signature, options)
    assert landed["meta"]["err"] is None
    assert landed["meta"]["fee"] == 5_000
    kinds = [one["parsed"] for one in landed["transaction"]["message"]["instructions"]]
    assert kinds[0]["type"] == "createIdempotent"
    assert kinds[1]["type"] == "transferChecked"
    assert kinds[1]["info"]["tokenAmount"]["uiAmountString"] == "1.234567"
    assert kinds[2] == "hello"
    after = {one["owner"]: one for one in landed["meta"]["postTokenBalances"]}
    assert after[str(to)]["uiTokenAmount"]["amount"] == "1234567"


def test_a_signature_lands_once(devnet: Devnet) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    tx = payment(devnet, owner, to, 1)
    first = send(devnet, tx)
    assert send(devnet, tx, skipPreflight=True) == first
    with pytest.raises(RpcRefusal, match="AlreadyProcessed"):
        send(devnet, tx)
    assert units_of(devnet, to) == 1


def test_a_blockhash_lives_150_slots(devnet: Devnet, watch: Watch) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    latest: Any = devnet.call("getLatestBlockhash", {"commitment": "processed"})
    at = Hash.from_string(latest["value"]["blockhash"])
    young, old = payment(devnet, owner, to, 1, at), payment(devnet, owner, to, 2, at)
    watch.now_ms += 150 * 400
    height = devnet.call("getBlockHeight", {"commitment": "processed"})
    assert height == latest["value"]["lastValidBlockHeight"]
    send(devnet, young)
    watch.now_ms += 400
    with pytest.raises(RpcRefusal, match="BlockhashNotFound"):
        send(devnet, old)
    assert status(devnet, send(devnet, old, skipPreflight=True)) is None
    assert units_of(devnet, to) == 1


def test_preflight_refuses_what_would_fail_and_charges_nothing(devnet: Devnet) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    before = devnet.call("getBalance", str(owner.pubkey()))
    with pytest.raises(RpcRefusal, match="InstructionError") as caught:
        send(devnet, payment(devnet, owner, to, UNITS + 1))
    assert caught.value.code == -32002
    assert devnet.call("getBalance", str(owner.pubkey())) == before


def test_without_preflight_it_lands_with_its_error_and_pays_its_fee(devnet: Devnet) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    signature = send(devnet, payment(devnet, owner, to, UNITS + 1), skipPreflight=True)
    assert status(devnet, signature)["err"] == {"InstructionError": [1, {"Custom": 1}]}
    balance: Any = devnet.call("getBalance", str(owner.pubkey()))
    assert balance["value"] == 1_000_000_000 - 5_000


def test_a_forged_signature_is_refused(devnet: Devnet) -> None:
    owner = funded(devnet)
    tx = payment(devnet, owner, Keypair().pubkey(), 1)
    forged = VersionedTransaction.populate(tx.message, [Keypair().sign_message(b"other")])
    with pytest.raises(RpcRefusal, match="signature verification"):
        send(devnet, forged, skipPreflight=True)


@pytest.mark.parametrize(
    ("fault", "lands", "answers"),
    [
        ("drop", False, True),
        ("refuse", False, False),
        ("lose_answer", True, False),
        ("land_with_error", True, True),
    ],
)
def test_a_fault_disturbs_one_send(devnet: Devnet, fault: str, lands: bool, answers: bool) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    devnet.call("aisa_fault", {"name": fault})
    tx = payment(devnet, owner, to, 7)
    if answers:
        send(devnet, tx)
    else:
        with pytest.raises(RpcRefusal, match="Internal error"):
            send(devnet, tx)
    seen = status(devnet, str(tx.signatures[0]))
    assert (seen is not None) == lands
    if fault == "land_with_error":
        assert seen["err"] is not None
        assert units_of(devnet, owner.pubkey()) == UNITS
    again = payment(devnet, owner, to, 9)
    send(devnet, again)
    assert status(devnet, str(again.signatures[0]))["err"] is None


def test_a_delayed_send_lands_later_and_once(devnet: Devnet, watch: Watch) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    devnet.call("aisa_fault", {"name": "delay", "slots": 5})
    tx = payment(devnet, owner, to, 7)
    signature = send(devnet, tx)
    assert status(devnet, signature) is None
    send(devnet, tx, skipPreflight=True)
    assert units_of(devnet, to) == 7
    watch.now_ms += 5 * 400
    assert status(devnet, signature)["err"] is None
    assert units_of(devnet, to) == 7


def test_a_stale_blockhash_is_given_out_once(devnet: Devnet) -> None:
    owner = funded(devnet)
    devnet.call("aisa_fault", {"name": "stale_blockhash"})
    stale = blockhash(devnet)
    with pytest.raises(RpcRefusal, match="BlockhashNotFound"):
        send(devnet, payment(devnet, owner, Keypair().pubkey(), 1, stale))
    send(devnet, payment(devnet, owner, Keypair().pubkey(), 1))


def test_warping_moves_slots_and_time(devnet: Devnet) -> None:
    slot: Any = devnet.call("getSlot")
    devnet.call("aisa_warp", {"seconds": 60})
    later: Any = devnet.call("getSlot")
    assert later - slot == 148, "finality is two slots behind"
    times = [devnet.call("getBlockTime", one) for one in (slot, later)]
    assert times == [1_800_000_000, 1_800_000_059]


def test_the_chain_goes_on_past_every_table_of_slots(devnet: Devnet) -> None:
    for slots in (511, 1, 1, 5_000):
        devnet.call("aisa_warp", {"slots": slots})
        owner, to = funded(devnet), Keypair().pubkey()
        send(devnet, payment(devnet, owner, to, 3))
        assert units_of(devnet, to) == 3


def test_signatures_of_an_address_are_paged_newest_first(devnet: Devnet, watch: Watch) -> None:
    owner, to = funded(devnet), Keypair().pubkey()
    sent = [send(devnet, payment(devnet, owner, to, 1 + n)) for n in range(5)]
    watch.now_ms += 10_000
    account = str(ix.token_account(to, Pubkey.from_string(mint_of(devnet))))

    def page(**options: object) -> list[str]:
        rows: Any = devnet.call("getSignaturesForAddress", account, options)
        return [row["signature"] for row in rows]

    assert page() == sent[::-1]
    assert page(limit=2) == [sent[4], sent[3]]
    assert page(limit=2, before=sent[3]) == [sent[2], sent[1]]
    assert page(until=sent[2]) == [sent[4], sent[3]]


def test_balances_and_history_survive_a_restart_and_nothing_replays(
    watch: Watch, tmp_path: Path
) -> None:
    path = tmp_path / "chain.json"
    devnet = Devnet(path=path, clock=watch)
    owner, to = funded(devnet), Keypair().pubkey()
    tx = payment(devnet, owner, to, 1_000)
    signature = send(devnet, tx)
    accounts = [str(owner.pubkey()), str(ix.token_account(to, Pubkey.from_string(mint_of(devnet))))]
    before = [devnet.call("getAccountInfo", one, {"encoding": "base64"}) for one in accounts]
    mints = devnet.call("aisa_mints")
    devnet.save()
    again = Devnet(path=path, clock=watch)
    assert [again.call("getAccountInfo", one, {"encoding": "base64"}) for one in accounts] == before
    assert again.call("aisa_mints") == mints
    assert status(again, signature)["err"] is None
    with pytest.raises(RpcRefusal, match="AlreadyProcessed"):
        send(again, tx)
    send(again, payment(again, owner, to, 1))
    assert units_of(again, to) == 1_001


def test_a_chain_tx_of_an_earlier_devnet_is_not_accepted(devnet: Devnet, watch: Watch) -> None:
    owner = funded(devnet)
    tx = payment(devnet, owner, Keypair().pubkey(), 1)
    other = Devnet(clock=watch)
    other.call("requestAirdrop", str(owner.pubkey()), 1_000_000_000)
    with pytest.raises(RpcRefusal, match="BlockhashNotFound"):
        send(other, tx)


def test_a_foreign_state_file_is_refused(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "chain.json"
    path.write_text("{}")
    with pytest.raises(ConfigInvalid, match="not a saved devnet"):
        Devnet(path=path, clock=watch)


def test_system_transfers_and_rent_rules_are_real(devnet: Devnet) -> None:
    owner, to = funded(devnet, units=0), Keypair().pubkey()
    give = transfer(TransferParams(from_pubkey=owner.pubkey(), to_pubkey=to, lamports=1))
    message = MessageV0.try_compile(owner.pubkey(), [give], [], blockhash(devnet))
    with pytest.raises(RpcRefusal, match="InsufficientFundsForRent"):
        send(devnet, VersionedTransaction(message, [owner]))
