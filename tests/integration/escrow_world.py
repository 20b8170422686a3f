"""Channels in the escrow of a real anvil: a seller, payers that sign, and a rail that sends."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import replace
from typing import Any, cast

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.identity import EvmKey
from aisa.protocol.eip712 import Domain
from aisa.protocol.escrow import ChannelConfig, voucher_digest
from aisa.protocol.evm_address import format_address, format_bytes, parse_address
from aisa.protocol.permit2 import PERMIT2, Permit, TokenPermission
from aisa.protocol.x402.batch import Claim
from aisa.protocol.x402.batch_payload import DepositWitness, Eip3009Deposit, Permit2Deposit
from aisa.settlement.escrow import ChannelView, SignedDeposit
from aisa.settlement.evm import EscrowSettings, EvmRail
from aisa.settlement.evm.escrow import EvmEscrow
from aisa.settlement.evm.escrow_abi import (
    approve_data,
    begin_withdrawal_data,
    end_withdrawal_data,
)
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld, now_ms

DELAY_S = 900
HELD = 1_000_000


class EscrowWorld(EvmWorld):
    """The escrow at x402's address, or our own at another; `payer` signs deposits and vouchers."""

    def __init__(
        self,
        devnet: EthereumDevnet,
        symbol: str = "aiUSD",
        settings: EscrowSettings | None = None,
    ) -> None:
        self.escrow_settings = settings or EscrowSettings()
        super().__init__(devnet, symbol)
        self.receiver = EvmKey(secrets.token_bytes(32))
        self.salts = itertools.count(1)
        self.give(self.payer.address, HELD)
        devnet.control.set_balance(format_address(self.payer.address), 10**18)

    def give(self, address: bytes, units: int) -> None:
        self.devnet.faucet.give_token(self.token.symbol, format_address(address), units)

    @property
    def escrow(self) -> EvmEscrow:
        escrow = cast("EvmRail", self.rail).escrow
        assert escrow is not None
        return escrow

    def config(self, **changes: Any) -> ChannelConfig:
        config = ChannelConfig(
            payer=self.payer.address,
            payer_authorizer=self.payer.address,
            receiver=self.receiver.address,
            receiver_authorizer=self.escrow.operator,
            token=parse_address(self.contract),
            withdraw_delay_s=DELAY_S,
            salt=next(self.salts).to_bytes(32),
        )
        return replace(config, **changes)

    async def deposit(self, config: ChannelConfig, units: int, **changes: Any) -> SignedDeposit:
        """A deposit that the payer signed by EIP-3009."""
        domain = await cast("EvmRail", self.rail)._contracts.domain(self.token)
        assert isinstance(domain, Domain)
        values: dict[str, Any] = {
            "valid_after": 0,
            "valid_before": now_ms() // 1000 + 3_600,
            "salt": secrets.token_bytes(32),
            "signature": b"",
        }
        unsigned = Eip3009Deposit(**{**values, **changes})
        collector = self.escrow_settings.eip3009
        assert collector is not None
        channel = config.channel_id(self.escrow.domain)
        digest = unsigned.digest(domain, config, channel, units, collector)
        return SignedDeposit(config, units, replace(unsigned, signature=self.payer.sign(digest)))

    def permit2_deposit(self, config: ChannelConfig, units: int) -> SignedDeposit:
        """A deposit that the payer signed by Permit2, which it has approved."""
        self.send(self.contract, approve_data(PERMIT2, 2**256 - 1))
        assert self.escrow_settings.permit2 is not None
        unsigned = Permit2Deposit(
            self.payer.address,
            TokenPermission(config.token, units),
            Permit(self.escrow_settings.permit2, secrets.randbits(200), now_ms() // 1000 + 3_600),
            DepositWitness(config.channel_id(self.escrow.domain)),
            b"",
        )
        chain_id = self.escrow.domain.chain_id
        signature = self.payer.sign(unsigned.digest(chain_id))
        return SignedDeposit(config, units, replace(unsigned, signature=signature))

    def claim(
        self, config: ChannelConfig, claimed: int, ceiling: int | None = None, by: Any = None
    ) -> Claim:
        """What a seller holds: a voucher that the payer signed, and what of it was charged."""
        ceiling = claimed if ceiling is None else ceiling
        digest = voucher_digest(self.escrow.domain, config.channel_id(self.escrow.domain), ceiling)
        return Claim(config, ceiling, (by or self.payer).sign(digest), claimed)

    async def opened(self, units: int = 1_000, **changes: Any) -> ChannelConfig:
        """A channel with a final deposit."""
        config = self.config(**changes)
        async with self.pulsing():
            signed = await self.deposit(config, units)
            await self.escrow.deposit(f"open-{secrets.token_hex(8)}", signed)
        return config

    async def view(self, config: ChannelConfig) -> ChannelView:
        (view,) = await self.escrow.view([config])
        return view

    async def channels(self, *configs: ChannelConfig) -> list[tuple[int, int]]:
        """Deposit and claimed total of channels, final."""
        views = await self.escrow.view(configs)
        return [(view.deposit_units, view.claimed_units) for view in views]

    def send(self, to: str, data: bytes) -> str:
        """A chain tx of the payer's own."""
        payer = format_address(self.payer.address)
        with self.devnet.control.impersonating(payer):
            tx = {"from": payer, "to": to, "data": format_bytes(data)}
            hash_ = str(self.devnet.rpc.call("eth_sendTransaction", tx))
            self.devnet.rpc.wait_for(hash_)
        return hash_

    def leave(self, config: ChannelConfig, units: int) -> str:
        escrow = format_address(self.escrow_settings.contract)
        return self.send(escrow, begin_withdrawal_data(config, units))

    def left(self, config: ChannelConfig) -> str:
        escrow = format_address(self.escrow_settings.contract)
        return self.send(escrow, end_withdrawal_data(config))

    def settle_blocks(self) -> None:
        self.mine(CONFIRMATIONS)


def own_settings(devnet: EthereumDevnet) -> EscrowSettings:
    """Our own contract where the devnet put it; deposits come by its own collector."""
    return EscrowSettings(
        contract=parse_address(devnet.card.contract("ChannelEscrow").address),
        eip3009_collector=parse_address(devnet.card.contract("Erc3009DepositCollector").address),
        permit2_collector=parse_address(devnet.card.contract("Permit2DepositCollector").address),
    )
