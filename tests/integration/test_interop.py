"""Three cells of `make interop`: the official client pays the official server and ours; our node settles."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from tests.interop.cast import Cell, every_cell
from tests.interop.stage import Stage
from tests.interop.world import open_world


def cell(client: str, server: str, scheme: str) -> Cell:
    names = (client, server, scheme)
    return next(
        one for one in every_cell() if (one.client.name, one.server.name, one.scheme.name) == names
    )


# An empty cache is filled first: the timeout is that of an installation.
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_official_client_pays_the_official_server_and_ours(
    tmp_path: Path, ethereum: EthereumDevnet
) -> None:
    cells = [
        cell("x402 httpx", "x402 FastAPI", "exact"),
        cell("x402 httpx", "x402 FastAPI", "batch-settlement"),
        cell("x402 httpx", "AISA paywall", "exact"),
    ]
    with open_world(ethereum, tmp_path) as world:
        outcomes = list(Stage(world).run(cells))
    assert [one.failure for one in outcomes] == ["", "", ""]
    assert [one.paid_units for one in outcomes] == [100, 200, 100]
    official, channel, ours = outcomes
    assert {name: one.reason for name, one in official.refusals.items()} == {
        "amount": "invalid_exact_evm_payload_authorization_value_mismatch",
        "payee": "invalid_exact_evm_payload_recipient_mismatch",
        "replay": "invalid_exact_evm_nonce_already_used",
        "twin": "invalid_exact_evm_nonce_already_used",
        "expired": "invalid_exact_evm_payload_authorization_valid_before",
        "url": "No matching payment requirements",
    }
    assert ours.refusals["replay"].is_repeated
    assert official.holds
    assert channel.holds
    assert ours.holds
