from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest

from aisa.channel.payer import ChannelState, PayerChannel
from aisa.channel.wallet import Wallet, WalletReceipt
from aisa.cli import receipt_check
from aisa.cli.progress import Progress
from aisa.cli.receipt_check import Checked, check_receipts, newest_receipts
from aisa.errors import NodeUnavailable, ReceiptInvalid
from aisa.identity import SigningKey
from aisa.protocol import base64url
from aisa.protocol.aip import ChannelTerms, DepositStatement, ReceiptLeaf, ReceiptProof
from aisa.protocol.aip.receipt import merkle_path

PAYEE = SigningKey(bytes([7]) * 32)
TERMS = ChannelTerms("aisa:x", bytes(32), bytes([1]) * 32, PAYEE.public_key, "aiUSD", bytes(16))
CHANNEL = bytes([9]) * 32
OPENED = PayerChannel(
    TERMS,
    CHANNEL,
    "http://node",
    bytes(32),
    "http://seller/aisa/session",
    ChannelState.OPEN,
    DepositStatement(CHANNEL, 1000, 0, 0, bytes(64)),
    0,
    0,
    0,
)
LEAVES = [ReceiptLeaf(CHANNEL, 0, seq, 100, bytes([seq]) * 32, 200) for seq in range(1, 6)]


class Kept:
    """A wallet that holds one receipt per leaf."""

    def receipts(self, *, after: int = 0, limit: int = 100) -> list[WalletReceipt]:
        kept = [
            WalletReceipt(leaf, bytes(16), "GET", "http://seller/x", 0, number)
            for number, leaf in enumerate(LEAVES, 1)
        ]
        return [one for one in kept if one.number > after][: min(limit, 2)]


WALLET = cast("Wallet", Kept())


def proof_of(leaf: ReceiptLeaf, signer: SigningKey = PAYEE) -> dict[str, Any]:
    index = LEAVES.index(leaf)
    path = merkle_path([one.hash() for one in LEAVES], index)
    proof = ReceiptProof(leaf, index, len(LEAVES), path, signer.public_key, 3, bytes(64))
    proof = replace(proof, signature=signer.sign(proof.signing_bytes()))
    return {
        "channel": base64url.encode(leaf.channel),
        "lane": leaf.lane,
        "seq": leaf.seq,
        "charged": str(leaf.units),
        "request": base64url.encode(leaf.request),
        "status": leaf.status,
        "answer": base64url.encode(leaf.answer),
        "index": proof.index,
        "count": proof.count,
        "path": [base64url.encode(one) for one in proof.path],
        "payee": base64url.encode(proof.payee),
        "batch": proof.batch,
        "signature": base64url.encode(proof.signature),
    }


def check(monkeypatch: pytest.MonkeyPatch, **change: Any) -> list[Checked]:
    """Check every receipt against a seller whose third proof is changed."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        leaf = LEAVES[int(request.url.params["seq"]) - 1]
        signer = change.get("signer", PAYEE) if leaf.seq == 3 else PAYEE
        proof = proof_of(leaf, signer)
        if leaf.seq == 3:
            if "status" in change:
                problem = {"type": "urn:aisa:problem:not-found", "title": "", "status": 404}
                return httpx2.Response(404, content=json.dumps(problem))
            proof.update({k: v for k, v in change.items() if k != "signer"})
        return httpx2.Response(200, content=json.dumps(proof))

    client = httpx2.Client

    def mocked(**options: Any) -> httpx2.Client:
        return client(transport=httpx2.MockTransport(answer))

    monkeypatch.setattr(receipt_check.httpx2, "Client", mocked)
    return check_receipts(WALLET, [OPENED], None, Progress(quiet=True))


def test_every_kept_receipt_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch) == [Checked(OPENED, 5, 500, 0)]


def test_one_that_the_seller_keeps_no_more_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, status=404) == [Checked(OPENED, 4, 400, 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"charged": "99"},
        {"seq": 4},
        {"index": 1},
        {"count": 4},
        {"path": []},
        {"signature": base64url.encode(bytes(64))},
        {"signature": "?"},
        {"signer": SigningKey(bytes([8]) * 32)},
    ],
)
def test_a_forged_one_is_an_error_that_names_the_call(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    with pytest.raises(ReceiptInvalid) as caught:
        check(monkeypatch, **change)
    assert caught.value.facts["seq"] == 3


def test_a_seller_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here = replace(OPENED, session_url="http://127.0.0.1:1/aisa/session")
    with pytest.raises(NodeUnavailable):
        check_receipts(WALLET, [here], None, Progress(quiet=True))


def test_the_newest_come_last_and_are_limited() -> None:
    assert [one.number for one in newest_receipts(WALLET, 2)] == [4, 5]
    assert len(newest_receipts(WALLET, None)) == 5
