"""The Ethereum devnet: what is deployed on it, and the money that it gives."""

from __future__ import annotations

import pytest

from aisa.devnet.ethereum import canonical
from aisa.devnet.ethereum.abi import address_at, encode
from aisa.devnet.ethereum.deployer import ZERO_ADDRESS, Deployer, has_code, selector
from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.rpc import quantity
from aisa.errors import ConfigInvalid, InvalidAmount, InvalidRequest, RailError
from aisa.identity import EvmKey
from aisa.protocol.evm_address import format_address
from aisa.protocol.permit2 import Permit, TokenPermission, permit2_domain
from aisa.protocol.x402.exact import EXACT_PROXY, UPTO_PROXY, TransferWitness

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


def test_multicall3_answers_for_this_chain(ethereum: EthereumDevnet) -> None:
    """The official x402 facilitator reads a channel's state through it, and only through it."""
    chain_id = number(ethereum, canonical.MULTICALL3, "getChainId()")
    assert ethereum.card.network == f"eip155:{chain_id}"


def test_the_stand_ins_at_x402s_addresses_know_where_they_are(ethereum: EthereumDevnet) -> None:
    for at in (canonical.X402_ERC3009_COLLECTOR, canonical.X402_PERMIT2_COLLECTOR):
        escrow = address_at(reader(ethereum).read(at, "escrow()"))
        assert escrow == canonical.X402_ESCROW.lower()
    for at in (canonical.X402_EXACT_PROXY, canonical.X402_UPTO_PROXY):
        assert address_at(reader(ethereum).read(at, "PERMIT2()")) == canonical.PERMIT2.lower()
    own = ethereum.card.contract("ChannelEscrow").address
    digests = {
        reader(ethereum).read(at, "getVoucherDigest(bytes32,uint128)", bytes(32), 1)
        for at in (own, canonical.X402_ESCROW)
    }
    assert len(digests) == 2
    labels = {one.label for one in ethereum.card.contracts if one.name.startswith("x402")}
    assert labels == {canonical.STAND_IN_LABEL}


class Payment:
    """A payment of 25 test-USDT to SOMEBODY by Permit2, as x402's schemes sign it."""

    amount, nonce, deadline = 25, 5, 2**40

    def __init__(
        self, devnet: EthereumDevnet, *, facilitator: str | None = None, valid_after: int = 0
    ) -> None:
        self.devnet, self.facilitator, self.valid_after = devnet, facilitator, valid_after
        self.payer = EvmKey(b"\7" * 32)
        self.who = format_address(self.payer.address)
        self.token = devnet.token("test-USDT").address
        devnet.faucet.give_token("test-USDT", self.who, 100)
        devnet.control.set_balance(self.who, 10**18)
        with devnet.control.impersonating(self.who):
            approve = "approve(address,uint256)"
            Deployer(devnet.rpc, self.who).send(self.token, approve, canonical.PERMIT2, 2**256 - 1)

    def signature(self) -> bytes:
        named = bytes.fromhex(self.facilitator[2:]) if self.facilitator else None
        witness = TransferWitness(bytes.fromhex(SOMEBODY[2:]), self.valid_after, named)
        allowed = TokenPermission(bytes.fromhex(self.token[2:]), self.amount)
        spender = EXACT_PROXY if named is None else UPTO_PROXY
        signed = Permit(spender, self.nonce, self.deadline).transfer_hash(allowed, witness)
        return self.payer.sign(permit2_domain(self.devnet.setting.chain_id).digest(signed))

    def tx(self, sender: str, amount: int | None = None, to: str = SOMEBODY) -> dict[str, str]:
        """The call of a proxy; `amount` is for `upto`, which has one of its own."""
        permit = [self.token, self.amount, self.nonce, self.deadline]
        values: list[str | int] = [*permit, *([] if amount is None else [amount]), self.who, to]
        kinds = ["address", *["uint256"] * (3 + (amount is not None)), "address", "address"]
        if self.facilitator:
            values, kinds = [*values, self.facilitator], [*kinds, "address"]
        witness = "(address,address,uint256)" if self.facilitator else "(address,uint256)"
        middle = "" if amount is None else "uint256,"
        name = f"settle(((address,uint256),uint256,uint256),{middle}address,{witness},bytes)"
        data = encode([*kinds, "uint256", "bytes"], [*values, self.valid_after, self.signature()])
        proxy = canonical.X402_UPTO_PROXY if self.facilitator else canonical.X402_EXACT_PROXY
        return {
            "from": sender,
            "to": proxy,
            "data": "0x" + (selector(self.devnet.rpc, name) + data).hex(),
        }

    def is_refused(self, tx: dict[str, str]) -> bool:
        try:
            self.devnet.rpc.call("eth_call", tx, "latest")
        except RailError:
            return True
        return False

    def received(self) -> int:
        return number(self.devnet, self.token, "balanceOf(address)", SOMEBODY)


def test_an_exact_payment_by_permit2_is_carried_out_once_and_as_signed(
    ethereum: EthereumDevnet,
) -> None:
    payment = Payment(ethereum)
    anyone = ethereum.card.roles["faucet"]
    assert payment.is_refused(payment.tx(anyone, to=anyone))
    ethereum.rpc.wait_for(str(ethereum.rpc.call("eth_sendTransaction", payment.tx(anyone))))
    assert payment.received() == 25
    assert payment.is_refused(payment.tx(anyone))
    too_early = Payment(ethereum, valid_after=2**39)
    too_early.nonce = 6
    assert too_early.is_refused(too_early.tx(anyone))


def test_an_upto_payment_is_settled_by_the_one_who_was_named(ethereum: EthereumDevnet) -> None:
    facilitator, anyone = ethereum.card.roles["faucet"], ethereum.card.roles["deployer"]
    payment = Payment(ethereum, facilitator=facilitator)
    assert payment.is_refused(payment.tx(anyone, 9))
    assert payment.is_refused(payment.tx(facilitator, 26))
    assert payment.is_refused(payment.tx(facilitator, 0))
    ethereum.rpc.wait_for(str(ethereum.rpc.call("eth_sendTransaction", payment.tx(facilitator, 9))))
    assert payment.received() == 9
    assert payment.is_refused(payment.tx(facilitator, 9))
