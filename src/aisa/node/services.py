"""What the API and the workers stand on: one of each, made by `assemble`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aisa.client.message import CurrencyInfo, NodeInfo, TokenInfo
from aisa.identity import Signer
from aisa.ledger import Store
from aisa.node.auth import Authenticator
from aisa.node.config import NodeConfig
from aisa.node.deposit_desk import DepositDesk
from aisa.node.reconciliation import ReconcilerWorker
from aisa.payment.batch_facilitator import BatchFacilitator
from aisa.payment.channels import Channels
from aisa.payment.closing import ClosingClock
from aisa.payment.deposits import Deposits
from aisa.payment.facilitator import Facilitator
from aisa.payment.receipts import Receipts
from aisa.payment.redemptions import Redemptions
from aisa.payment.solvency import Solvency
from aisa.payment.terms import TermsTable
from aisa.payment.withdrawals import Withdrawals
from aisa.paywall.limiter import UnpaidLimiter
from aisa.settlement.escrow import Escrow
from aisa.settlement.pull import Pull
from aisa.settlement.rail import Rail

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Services:
    """A node without its doors; `clock` gives unix ms, `pulls` and `escrows` are by network."""

    config: NodeConfig
    signer: Signer
    clock: Callable[[], int]
    store: Store
    terms: TermsTable
    rails: tuple[Rail, ...]
    pulls: Mapping[str, Pull]
    escrows: Mapping[str, Escrow]
    channels: Channels
    redemptions: Redemptions
    receipts: Receipts
    closing: ClosingClock
    deposits: Deposits
    deposit_desk: DepositDesk
    withdrawals: Withdrawals
    facilitator: Facilitator
    batch_facilitator: BatchFacilitator
    facilitations: UnpaidLimiter
    reconciler: ReconcilerWorker
    solvency: Solvency
    authenticator: Authenticator
    labels: tuple[str, ...]
    ledger_stopped: asyncio.Event

    @property
    def network(self) -> str:
        """The network's name of channels that stand here."""
        return self.channels.network

    @property
    def are_withdrawals_open(self) -> bool:
        """Whether a withdrawal would be taken now."""
        return is_withdrawing(self.solvency)

    def rail_of(self, asset: str) -> Rail | None:
        """Return the rail that carries an asset."""
        return self._rails_by_asset().get(asset)

    def info(self) -> NodeInfo:
        """Return who this node is."""
        return NodeInfo(
            network=self.network,
            node_key=self.signer.public_key,
            version=VERSION,
            currencies=tuple(
                CurrencyInfo(
                    terms.currency.code,
                    terms.currency.scale,
                    terms.channel_fee_ppm,
                    terms.account_cap_units,
                )
                for terms in self.terms.all
            ),
            tokens=tuple(
                TokenInfo(token.asset, token.symbol, token.network, token.scale, token.currency)
                for rail in self.rails
                for token in rail.tokens
            ),
            withdrawals_open=self.are_withdrawals_open,
            labels=self.labels,
        )

    def _rails_by_asset(self) -> Mapping[str, Rail]:
        return {token.asset: rail for rail in self.rails for token in rail.tokens}


def is_withdrawing(solvency: Solvency) -> bool:
    """Whether money may leave: holdings were compared since the start, and covered what is owed."""
    return solvency.last is not None and not solvency.is_halted
