"""A node process over a Solana devnet: money in, through a channel, and out; and SIGKILL on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from aisa.client import (
    RedemptionClaim,
    RedemptionStatus,
    WithdrawalState,
)
from aisa.devnet.solana.genesis import Genesis
from aisa.devnet.solana.process import SolanaProcess
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.errors import NodeUnavailable
from aisa.identity import SigningKey
from aisa.ledger.sqlite_backup import verify_file
from aisa.protocol.aip import ChannelTerms, Voucher, key_of_hub_network, open_bytes
from tests.integration.node_process import NodeProcess, eventually, give_fees, make_folder

pytestmark = [pytest.mark.network, pytest.mark.slow]

M = 1_000_000
ALICE = SigningKey(b"\x21" * 32)
BOB = SigningKey(b"\x22" * 32)
PAYER = SigningKey(b"\x23" * 32)


@pytest.fixture(scope="module")
def devnet() -> Iterator[SolanaProcess]:
    with SolanaProcess(genesis=Genesis(slot_ms=100)) as running:
        yield running


@pytest.fixture
async def folder(tmp_path: Path, devnet: SolanaProcess) -> Path:
    folder = tmp_path / "node"
    make_folder(folder, devnet)
    await give_fees(folder, devnet)
    return folder


@pytest.fixture
async def wallet(devnet: SolanaProcess) -> AsyncIterator[SolanaWallet]:
    async with SolanaWallet(devnet.url, Keypair()) as opened:
        await opened.request_airdrop(1_000_000_000)
        await opened.request_tokens(devnet.mints["aiUSD"], 20 * M)
        yield opened


def asset_of(node: NodeProcess) -> str:
    with node.client(ALICE) as client:
        return next(one.asset for one in client.info().tokens if one.symbol == "aiUSD")


def terms_at(network: str, salt: int) -> ChannelTerms:
    holder = key_of_hub_network(network)
    return ChannelTerms(
        network, holder, PAYER.public_key, BOB.public_key, "aiUSD", salt.to_bytes(16)
    )


def claim(terms: ChannelTerms, units: int) -> RedemptionClaim:
    unsigned = Voucher(terms.channel_id, units)
    voucher = Voucher(terms.channel_id, units, 0, PAYER.sign(unsigned.message()))
    return RedemptionClaim(terms.channel_id, units, voucher)


async def pay_in(
    node: NodeProcess, wallet: SolanaWallet, devnet: SolanaProcess, units: int
) -> None:
    with node.client(ALICE) as client:
        address = client.deposit_address(asset_of(node)).address
    await wallet.send_token(devnet.mints["aiUSD"], address, units)


def has(node: NodeProcess, key: SigningKey, units: int) -> bool:
    with node.client(key) as client:
        return client.account().available("aiUSD") == units


async def test_money_goes_in_through_a_channel_and_out(
    folder: Path, wallet: SolanaWallet, devnet: SolanaProcess
) -> None:
    mint, there = devnet.mints["aiUSD"], str(Keypair().pubkey())
    with NodeProcess(folder) as node:
        await pay_in(node, wallet, devnet, 10 * M)
        await asyncio.to_thread(eventually, lambda: has(node, ALICE, 10 * M))
        with node.client(ALICE) as alice, node.client(BOB) as bob:
            terms = terms_at(alice.info().network, 1)
            alice.open_channel(
                "o", terms, M, PAYER.sign(open_bytes(terms.channel_id, ALICE.public_key))
            )
            (result,) = bob.redeem([claim(terms, M)])
            assert result.status is RedemptionStatus.APPLIED
            asset = asset_of(node)
            bob.withdraw("w", asset, M - 1000, there, 0)
            settled = eventually(
                lambda: (
                    found
                    if (found := bob.withdrawal("w")).state is WithdrawalState.SETTLED
                    else None
                )
            )
            assert settled.reference
            (solvency, accounts) = (alice.solvency(), alice.account().available("aiUSD"))
            assert solvency.solvent
            assert accounts == 9 * M
        assert node.stop() == 0
        assert not (folder / "ready.json").exists()
    probe = SolanaWallet(devnet.url, Keypair())
    async with probe:
        account = await probe.call(
            "getTokenAccountsByOwner", there, {"mint": mint}, {"encoding": "jsonParsed"}
        )
    (row,) = account["value"]  # type: ignore[index]
    assert row["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"] == str(M - 1000)
    assert verify_file(folder / "ledger.sqlite").ok


def test_a_second_node_on_the_files_is_refused(folder: Path) -> None:
    refused = pytest.raises(NodeUnavailable, match="in use")
    with NodeProcess(folder), refused, NodeProcess(folder):
        pass


def test_a_head_of_ten_megabytes_is_a_431(folder: Path) -> None:
    with NodeProcess(folder) as node:
        host, port = node.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(b"GET /v1/node HTTP/1.1\r\nhost: x\r\nx-long: ")
            try:
                for _ in range(160):
                    sock.sendall(b"a" * 65536)
            except OSError:
                pass  # the node has answered and closed
            answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 431")
        with node.client(ALICE) as client:
            assert client.info().withdrawals_open


POINTS = [
    "node.opening.after",
    "node.redemption.after",
    "node.withdrawal.after",
    "node.send.before",
    "node.journal.after",
    "node.send.after",
    "node.outcome.after",
]


@pytest.mark.timeout(400)
async def test_a_kill_at_any_point_loses_and_doubles_nothing(
    folder: Path, wallet: SolanaWallet, devnet: SolanaProcess
) -> None:
    mint, target = devnet.mints["aiUSD"], Keypair()
    there = str(target.pubkey())
    with NodeProcess(folder) as node:
        await pay_in(node, wallet, devnet, 10 * M)
        await asyncio.to_thread(eventually, lambda: has(node, ALICE, 10 * M))
        asset = asset_of(node)
        assert node.stop() == 0

    def everything(node: NodeProcess, salt: int) -> None:
        with node.client(ALICE) as alice, node.client(BOB) as bob:
            terms = terms_at(alice.info().network, salt)
            signature = PAYER.sign(open_bytes(terms.channel_id, ALICE.public_key))
            alice.open_channel(f"o-{salt}", terms, 5000, signature)
            alice.top_up(terms.channel_id, f"t-{salt}", 5000)
            bob.redeem([claim(terms, 8000)])
            alice.withdraw(f"w-{salt}", asset, 1000, there, 0)
            eventually(lambda: alice.withdrawal(f"w-{salt}").state is WithdrawalState.SETTLED)

    for salt, point in enumerate(POINTS, 1):
        with NodeProcess(folder, faults=f"{point}:1=kill") as node:
            with pytest.raises(NodeUnavailable):
                await asyncio.to_thread(everything, node, salt)
            assert node.was_killed(), point
        with NodeProcess(folder) as node:
            await asyncio.to_thread(everything, node, salt)
            assert await asyncio.to_thread(
                eventually, lambda salt=salt: has(node, ALICE, 10 * M - salt * 11_000)
            )
            with node.client(BOB) as bob:
                assert bob.account().available("aiUSD") == salt * (8000 - 8)
                assert bob.solvency().solvent
            assert node.stop() == 0
        assert verify_file(folder / "ledger.sqlite").ok, point
    async with SolanaWallet(devnet.url, target) as probe:
        assert await probe.token_units(mint) == len(POINTS) * 1000


async def test_a_kill_around_a_deposit_credits_it_once(
    folder: Path, wallet: SolanaWallet, devnet: SolanaProcess
) -> None:
    for number, point in enumerate(["node.deposit.before", "node.deposit.after"], 1):
        with NodeProcess(folder, faults=f"{point}:1=kill") as node:
            await pay_in(node, wallet, devnet, M)
            assert await asyncio.to_thread(node.was_killed), point
        with NodeProcess(folder) as node:
            await asyncio.to_thread(eventually, lambda number=number: has(node, ALICE, number * M))
            assert node.stop() == 0
