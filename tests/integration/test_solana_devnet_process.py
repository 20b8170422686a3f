"""The Solana devnet as a process: start, state over a restart, a wallet outside the node."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from aisa.devnet.solana.process import SolanaProcess
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.errors import InvalidRequest, OutcomeUnknown, RailError, RailUnavailable

pytestmark = pytest.mark.network


async def test_a_stopped_devnet_goes_on_with_equal_balances(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    payer, to = Keypair(), Keypair()
    with SolanaProcess(state=state) as devnet:
        mint = devnet.mints["aiUSD"]
        async with SolanaWallet(devnet.url, payer) as wallet:
            await wallet.request_airdrop(1_000_000_000)
            await wallet.request_tokens(mint, 5_000_000)
            signature = await wallet.send_token(mint, str(to.pubkey()), 2_000_000)
            left = (await wallet.lamports(), await wallet.token_units(mint))
        assert devnet.stop() == 0
    with SolanaProcess(state=state) as again:
        async with SolanaWallet(again.url, payer) as wallet:
            assert (await wallet.lamports(), await wallet.token_units(mint)) == left
            assert left[1] == 3_000_000
            seen = await wallet.call("getSignatureStatuses", [signature])
            assert seen["value"][0]["err"] is None  # type: ignore[index]
            await wallet.send_token(mint, str(to.pubkey()), 1)


async def test_a_wallet_says_what_went_wrong() -> None:
    with SolanaProcess() as devnet:
        mint, to = devnet.mints["aiUSD"], str(Keypair().pubkey())
        async with SolanaWallet(devnet.url, Keypair(), timeout_s=0.5) as wallet:
            assert await wallet.token_units(mint) == 0
            with pytest.raises(RailError):
                await wallet.send_token(mint, to, 1)
            with pytest.raises(InvalidRequest):
                await wallet.send_token(mint, "nowhere", 1)
            await wallet.request_airdrop(1_000_000_000)
            await wallet.request_tokens(mint, 10)
            await wallet.call("aisa_fault", {"name": "drop"})
            with pytest.raises(OutcomeUnknown):
                await wallet.send_token(mint, to, 1)
        url = devnet.url
    async with SolanaWallet(url, Keypair()) as wallet:
        with pytest.raises(RailUnavailable):
            await wallet.lamports()


def test_a_devnet_that_cannot_start_says_why(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    state.write_text("{}")
    with pytest.raises(RailUnavailable, match="not a saved devnet"):
        SolanaProcess(state=state)


def test_the_module_prints_a_line_of_json_and_stops_on_sigint(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    command = [sys.executable, "-m", "aisa.devnet.solana", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"url": "http://127.0.0.1:' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    assert state.exists()
