"""The Ethereum devnet: what is deployed on it, and the money that it gives."""

from __future__ import annotations

import pytest

from aisa.devnet.ethereum import canonical
from aisa.devnet.ethereum.abi import address_at
from aisa.devnet.ethereum.deployer import ZERO_ADDRESS, Deployer, has_code
from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.rpc import quantity
from aisa.errors import ConfigInvalid, InvalidAmount, InvalidRequest, RailError
from tests.integration.anvil import ARTIFACTS

pytestmark = pytest.mark.network

SOMEBODY = "0x1111111111111111111111111111111111111111"


def reader(devnet: EthereumDevnet) -> Deployer:
    return Deployer(devnet.rpc, devnet.card.roles["deployer"])


def number(devnet: EthereumDevnet, to: str, signature: str, *values: str) -> int:
    return quantity(reader(devnet).read(to, signature, *values))


def test_two_chains_with_names_of_their_own(
    ethereum: EthereumDevnet, polygon: EthereumDevnet
) -> None:
    assert (ethereum.network, polygon.network) == ("eip155:31337", "eip155:31338")
    for devnet in (ethereum, polygon):
        assert f"eip155:{devnet.rpc.number('eth_chainId')}" == devnet.network
        assert {one.symbol for one in devnet.card.tokens} == {"aiUSD", "test-USDC", "test-USDT"}
        for one in devnet.card.tokens:
            assert one.asset == f"{devnet.network}/erc20:{one.address}"
            assert number(devnet, one.address, "decimals()") == one.scale == 6
        for contract in devnet.card.contracts:
            assert has_code(devnet.rpc, contract.address), contract.name
            assert contract.label


@pytest.mark.parametrize("symbol", ["aiUSD", "test-USDC", "test-USDT"])
def test_every_token_that_is_there_was_given_on_record(
    ethereum: EthereumDevnet, symbol: str
) -> None:
    token = ethereum.token(symbol).address
    ethereum.faucet.give_token(symbol, SOMEBODY, 5_000_000)
    ethereum.faucet.give_token(symbol, SOMEBODY, 1)
    assert number(ethereum, token, "balanceOf(address)", SOMEBODY) == 5_000_001
    supply = number(ethereum, token, "totalSupply()")
    assert supply == ethereum.faucet.minted_units(symbol) == 5_000_001
    assert [one.gift.units for one in ethereum.faucet.landed()][-2:] == ["5000000", "1"]


def test_native_coins_are_moved_on_record(ethereum: EthereumDevnet) -> None:
    faucet = ethereum.card.roles["faucet"]
    before = ethereum.rpc.number("eth_getBalance", faucet, "latest")
    tx = ethereum.faucet.give_native(SOMEBODY, 10**18)
    assert ethereum.rpc.number("eth_getBalance", SOMEBODY, "latest") == 10**18
    assert ethereum.rpc.number("eth_getBalance", faucet, "latest") < before - 10**18
    (landed,) = [one for one in ethereum.faucet.landed() if one.tx == tx]
    assert (landed.gift.asset, landed.gift.units) == (ethereum.card.native_asset, str(10**18))


def test_what_cannot_be_given_is_refused_before_it_is_on_record(ethereum: EthereumDevnet) -> None:
    before = ethereum.faucet.landed()
    for wrong in ("nowhere", "0x" + "1" * 39, "0x" + "g" * 40, "1" * 42):
        with pytest.raises(InvalidRequest):
            ethereum.faucet.give_native(wrong, 1)
    for none in (0, -1, 2**200):
        with pytest.raises(InvalidAmount):
            ethereum.faucet.give_token("test-USDC", SOMEBODY, none)
    with pytest.raises(ConfigInvalid, match="no token 'DOGE'"):
        ethereum.faucet.give_token("DOGE", SOMEBODY, 1)
    assert ethereum.faucet.landed() == before


def test_a_gift_that_failed_is_not_counted(ethereum: EthereumDevnet) -> None:
    with pytest.raises(RailError, match="failed"):
        ethereum.faucet.give_token("test-USDC", ZERO_ADDRESS, 5)
    assert ethereum.faucet.minted_units("test-USDC") == 0


def test_a_gift_that_a_reorg_took_back_is_not_counted(ethereum: EthereumDevnet) -> None:
    ethereum.faucet.give_token("test-USDT", SOMEBODY, 7)
    ethereum.faucet.give_token("test-USDT", SOMEBODY, 11)
    ethereum.control.reorg(1)
    assert ethereum.faucet.minted_units("test-USDT") == 7
    ethereum.faucet.give_token("test-USDT", SOMEBODY, 13)
    assert ethereum.faucet.minted_units("test-USDT") == 20


def test_a_gift_whose_sender_died_after_sending_is_found(ethereum: EthereumDevnet) -> None:
    ethereum.faucet.give_token("test-USDT", SOMEBODY, 17)
    record = ethereum.folder / "gifts.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:-1]))
    assert ethereum.faucet.minted_units("test-USDT") == 17
    record.write_bytes(b"".join(lines))


def test_the_test_dollar_is_the_real_ones_code(ethereum: EthereumDevnet) -> None:
    """What a client signs for an EIP-3009 payment is checked against this domain."""
    token = ethereum.token("test-USDC")
    assert token.transfers_by == ("eip3009", "eip2612")
    answer = bytes.fromhex(reader(ethereum).read(token.address, "version()")[2:])
    assert answer[64 : 64 + answer[63]] == token.domain_version.encode()
    assert number(ethereum, token.address, "DOMAIN_SEPARATOR()") != 0
    state = reader(ethereum).read(
        token.address, "authorizationState(address,bytes32)", SOMEBODY, bytes(32)
    )
    assert quantity(state) == 0


def test_permit2_signs_for_this_chain(ethereum: EthereumDevnet, polygon: EthereumDevnet) -> None:
    separators = {
        number(devnet, canonical.PERMIT2, "DOMAIN_SEPARATOR()") for devnet in (ethereum, polygon)
    }
    assert len(separators) == 2


def test_the_stand_ins_at_x402s_addresses_know_where_they_are(ethereum: EthereumDevnet) -> None:
    if not (ARTIFACTS / "ChannelEscrow.json").exists():
        pytest.skip("contracts/ has not exported ChannelEscrow")
    for at in (canonical.X402_ERC3009_COLLECTOR, canonical.X402_PERMIT2_COLLECTOR):
        escrow = address_at(reader(ethereum).read(at, "escrow()"))
        assert escrow == canonical.X402_ESCROW.lower()
    own = ethereum.card.contract("ChannelEscrow").address
    there = [
        reader(ethereum).read(one, "domainSeparator()") for one in (own, canonical.X402_ESCROW)
    ]
    assert there[0] != there[1]
