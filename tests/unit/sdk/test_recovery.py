"""What an agent does when something was lost between it, the seller and the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from aisa.channel.payer import ChannelState
from aisa.errors import (
    BudgetExceeded,
    InsufficientFunds,
    MalformedMessage,
    NodeUnavailable,
    NotFound,
    PaymentRequired,
    RailUnavailable,
    ReceiptInvalid,
    StateConflict,
    StatementRefused,
    VoucherRefused,
)
from aisa.identity import SigningKey
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptProof
from aisa.sdk import Agent, Budget, Receipt
from aisa.sdk.proof import read_proof, verify_proof
from aisa.sdk.step import Lost, Reply, Send
from tests.integration.hub_stub import HubBook
from tests.unit.sdk.market import ORIGIN, Clock, SellerSim
from tests.unit.sdk.play import STEP, URL, Make, die, lose, refuse_with


def test_a_lane_that_the_seller_never_saw_is_shown_and_closed(
    make_agent: Make, seller: SellerSim
) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    seller.ledgers.clear()
    second = make_agent()
    assert second.return_lanes() == STEP
    assert len(seller.ledger.sessions) == 1


def test_a_lane_is_kept_for_later_when_nobody_answers(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    seller.ledgers.clear()
    hub.down = True
    second = make_agent()
    assert second.return_lanes() == 0
    hub.down = False
    assert second.return_lanes() == STEP


def test_a_get_is_asked_again_until_the_seller_answers(make_agent: Make, seller: SellerSim) -> None:
    seller.tricks = [lambda _: Lost(is_sent=True, reason="cut"), lose]
    assert make_agent().get(URL).status == 200


def test_a_post_that_may_have_arrived_is_not_sent_twice_unpaid(
    make_agent: Make, seller: SellerSim
) -> None:
    seller.tricks = [lambda _: Lost(is_sent=True, reason="cut")]
    with pytest.raises(RailUnavailable, match="nothing was paid"):
        make_agent().post(URL, content="x")
    assert len(seller.seen) == 1


def test_a_deposit_that_the_seller_has_not_seen_is_shown_again(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent()
    agent.get(URL)
    seller.ledger.deposit = 0
    seller.tricks = [refuse_with(seller, VoucherRefused("above the deposit"))]
    assert agent.get(URL).status == 200
    assert seller.ledger.deposit == 1_000_000


def test_a_stale_statement_is_fetched_anew(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.quote(URL)
    stale = Reply(402, {}, seller.refuse(StatementRefused("stale")).content)
    seen: list[str] = []

    def refuse_first_action(request: Send) -> Reply | None:
        seen.append(request.url)
        return stale if request.url.endswith("/aisa/session") else None

    seller.tricks = [refuse_first_action] * 2
    assert agent.get(URL).status == 200
    assert any(url.endswith("/aisa/session") for url in seen)


def test_a_budget_that_is_spent_leaves_no_session_behind(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent(budget=Budget(None, None, "0.00009 aiUSD"))
    with pytest.raises(BudgetExceeded):
        agent.get(URL)
    (channel,) = agent.channels()
    assert (channel.sent, channel.signed, seller.ledgers) == (0, 0, {})


def test_a_dearer_call_than_a_channel_may_hold_is_refused(
    make_agent: Make, seller: SellerSim
) -> None:
    agent = make_agent(deposit_max="0.02 aiUSD", budget=Budget(None, None, None))
    agent.get(URL)
    seller.price = 20_001
    with pytest.raises(BudgetExceeded, match="deposit_max"):
        agent.get(URL)


def test_an_account_that_is_empty_at_a_top_up_says_so(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    hub.funds = 20_000
    agent = make_agent(deposit_max="0.02 aiUSD", budget=Budget(None, None, None))
    for _ in range(200):
        agent.get(URL)
    with pytest.raises(InsufficientFunds):
        agent.get(URL)
    hub.funds = 30_000
    assert agent.get(URL).status == 200


def test_a_top_up_on_a_channel_that_the_node_closes_opens_another(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    agent = make_agent(deposit_max="0.02 aiUSD", budget=Budget(None, None, None))
    agent.get(URL)
    for channel in hub.channels.values():
        channel.state = "closing"
    for _ in range(260):
        assert agent.get(URL).status == 200
    assert len(hub.channels) == 2


def test_a_channel_closed_by_another_process_is_left(
    make_agent: Make, seller: SellerSim, hub: HubBook
) -> None:
    one, two = make_agent(), make_agent()
    one.get(URL)
    two.get(URL)
    two.close_channels()
    for _ in range(120):
        assert one.get(URL).status == 200
    assert len(hub.channels) == 2
    states = [channel.state for channel in one._purse.wallet.channels()]
    assert states.count(ChannelState.OPEN) == 1


def test_a_channel_whose_opening_was_cut_off_is_closed_too(
    make_agent: Make, seller: SellerSim, hub: HubBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_agent()
    wallet = first._purse.wallet
    monkeypatch.setattr(wallet, "open_channel", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        first.get(URL)
    assert [channel.state for channel in hub.channels.values()] == ["open"]
    seller.tricks = [lose] * 100
    (closed,) = make_agent().close_channels(wait_s=0)
    assert closed.state == "closing"
    assert [channel.state for channel in hub.channels.values()] == ["closing"]


def test_a_channel_that_was_only_planned_is_not_opened_to_be_closed(
    make_agent: Make, seller: SellerSim, hub: HubBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_agent()
    monkeypatch.setattr(hub, "open", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        first.get(URL)
    monkeypatch.undo()
    second = make_agent()
    assert second.close_channels(wait_s=0) == ()
    assert not hub.channels
    assert second.get(URL).status == 200


def test_a_402_in_another_dialect_is_told_as_such(make_agent: Make, seller: SellerSim) -> None:
    seller.tricks = [lambda _: Reply(402, {}, b"pay!")]
    with pytest.raises(PaymentRequired, match="does not know"):
        make_agent().get(URL)
    seller.tricks = [lambda _: Reply(402, {}, b"", ('Payment id="x"',))]
    with pytest.raises(MalformedMessage):
        make_agent().get(URL)


def test_a_node_that_names_anothers_network_is_refused(make_agent: Make, hub: HubBook) -> None:
    hub.network = "aisa:another"
    with pytest.raises(Exception, match="not its key's"):
        make_agent().get(URL)


def test_one_node_of_several_is_enough(make_agent: Make, hub: HubBook) -> None:
    down = HubBook(seed=bytes([4]) * 32, down=True)
    from tests.unit.sdk.market import SyncHub

    agent = make_agent(node=["http://down.test", "http://node.test"])
    agent._driver._hub = lambda url, signer: SyncHub(down if "down" in url else hub, signer)
    assert agent.get(URL).status == 200
    hub.down = True
    other = make_agent(node=["http://down.test"])
    with pytest.raises(NodeUnavailable):
        other.get(ORIGIN + "/elsewhere")


def test_a_closed_agent_says_that_it_is_closed(make_agent: Make) -> None:
    agent = make_agent()
    agent.close()
    with pytest.raises(StateConflict, match="closed"):
        agent.get(URL)


def test_statements_of_old_sessions_are_made_fresh(
    make_agent: Make, seller: SellerSim, clock: Clock
) -> None:
    first = make_agent()
    first.get(URL)
    die(first)
    clock.now_ms += 3_600_000
    second = make_agent()
    assert second.get(URL).status == 200
    assert len(seller.ledger.sessions) == 2


Prove = Callable[[Agent], Receipt]


def proof_of(receipt: Receipt, signer: SigningKey) -> ReceiptProof:
    plain = ReceiptProof(receipt.leaf, 0, 1, (), signer.public_key, 5, b"")
    return replace(plain, signature=signer.sign(plain.signing_bytes()))


def written(proof: ReceiptProof) -> bytes:
    leaf = proof.leaf
    return msgspec.json.encode(
        {
            "channel": base64url.encode(leaf.channel),
            "lane": leaf.lane,
            "seq": leaf.seq,
            "charged": str(leaf.units),
            "request": base64url.encode(leaf.request),
            "status": leaf.status,
            "answer": base64url.encode(leaf.answer),
            "index": proof.index,
            "count": proof.count,
            "path": [base64url.encode(node) for node in proof.path],
            "payee": base64url.encode(proof.payee),
            "batch": proof.batch,
            "signature": base64url.encode(proof.signature),
        }
    )


def test_a_proof_convinces_only_of_its_own_leaf(make_agent: Make, seller: SellerSim) -> None:
    agent = make_agent()
    agent.get(URL)
    (receipt,) = agent.receipts()
    proof = proof_of(receipt, seller.signer)
    assert read_proof(written(proof)) == proof
    seller.tricks = [lambda _: Reply(200, {}, written(proof))]
    assert agent.prove(receipt) == proof
    assert seller.seen[-1].url.startswith(ORIGIN + "/aisa/session/receipts?channel=")
    payee = seller.signer.public_key
    thief = SigningKey(bytes([5]) * 32)
    for forged in (
        replace(proof, leaf=msgspec.structs.replace(proof.leaf, units=1)),
        replace(proof, batch=6),
        replace(proof, signature=bytes(64)),
        proof_of(receipt, thief),
    ):
        with pytest.raises(ReceiptInvalid):
            verify_proof(forged, receipt.leaf, payee)
    seller.tricks = [lambda _: Reply(404, {}, b"")]
    with pytest.raises(NotFound):
        agent.prove(receipt)
    seller.tricks = [lose]
    with pytest.raises(RailUnavailable):
        agent.prove(receipt)
