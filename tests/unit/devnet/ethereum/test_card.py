"""What a chain says of itself, the record of gifts and the faults of an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.devnet.ethereum.card import ChainCard, TokenCard, read_card
from aisa.devnet.ethereum.faucet import RECORD_FILE, Faucet
from aisa.devnet.ethereum.fault import ANY, Fault, Kind
from aisa.devnet.ethereum.rpc import Rpc, quantity
from aisa.devnet.ethereum.setting import ETHEREUM, POLYGON, Roles, setting_by_name
from aisa.errors import ConfigInvalid, RailError, RailUnavailable

NOWHERE = "http://127.0.0.1:1"


def card(folder: Path) -> ChainCard:
    token = TokenCard("aiUSD", ETHEREUM.asset("0x1"), "0x1", 6, "ours", "0x2")
    return ChainCard(
        label="a label",
        name="ethereum",
        url=NOWHERE,
        network=ETHEREUM.network,
        chain_id=31337,
        native="ETH",
        native_asset=ETHEREUM.native_asset,
        block_time_s=0,
        folder=str(folder),
        roles={"faucet": "0x3"},
        tokens=(token,),
        contracts=(),
    )


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_bytes(card(tmp_path).to_json())
    assert read_card(path) == card(tmp_path)
    assert read_card(path).token("aiUSD").asset == "eip155:31337/erc20:0x1"
    with pytest.raises(ConfigInvalid, match="no token 'DOGE'"):
        card(tmp_path).token("DOGE")
    with pytest.raises(ConfigInvalid, match="no contract"):
        card(tmp_path).contract("Escrow")
    path.write_text("{}")
    with pytest.raises(ConfigInvalid, match="does not describe a chain"):
        read_card(path)
    with pytest.raises(ConfigInvalid):
        read_card(tmp_path / "none.json")


def test_settings_have_names_and_coins_of_their_own() -> None:
    assert (setting_by_name("polygon"), setting_by_name("solana")) == (POLYGON, None)
    assert (ETHEREUM.native_asset, POLYGON.native_asset) == (
        "eip155:31337/slip44:60",
        "eip155:31338/slip44:966",
    )
    roles = Roles.among([str(number) for number in range(10)])
    assert (roles.deployer, roles.faucet, roles.issuer, roles.proxy_admin) == ("0", "1", "2", "3")


def test_a_damaged_record_of_gifts_is_told(tmp_path: Path) -> None:
    with Rpc(NOWHERE) as rpc:
        faucet = Faucet(card(tmp_path), rpc)
        assert faucet.landed() == []
        (tmp_path / RECORD_FILE).write_text("{}\n")
        with pytest.raises(ConfigInvalid, match="damaged"):
            faucet.landed()
        with pytest.raises(RailUnavailable, match="does not answer"):
            faucet.give_native("0x" + "1" * 40, 1)


@pytest.mark.parametrize("value", [None, 5, "5", "0xzz", ["0x1"]])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    assert quantity("0x1f") == 31
    with pytest.raises(RailError, match="quantity"):
        quantity(value)


def test_a_fault_strikes_its_method_so_often() -> None:
    fault = Fault(Kind.DROP, "eth_call", 2)
    struck = [fault.take([name]) for name in ("eth_chainId", "eth_call", "eth_call", "eth_call")]
    assert (struck, fault.is_spent) == ([False, True, True, False], True)
    always = Fault(Kind.LIE, ANY, None)
    assert all(always.take(["anything"]) for _ in range(5))
    assert not always.is_spent
    assert always.changed("true") == "true"
