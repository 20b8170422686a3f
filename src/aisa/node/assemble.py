"""The one place that names the ledger's engine and the rails, and introduces the rooms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias

from aisa.errors import RailUnavailable
from aisa.identity import SigningKey, derive_seed
from aisa.ledger import Store
from aisa.ledger.sqlite import SqliteStore
from aisa.node.auth import Authenticator, NonceTable
from aisa.node.config import NodeConfig, RailConfig
from aisa.node.deposit_desk import DepositDesk
from aisa.node.reconciliation import ReconcilerWorker
from aisa.node.services import Services, is_withdrawing
from aisa.node.standing import Standing
from aisa.payment.batch_facilitator import BatchFacilitator
from aisa.payment.channels import Channels
from aisa.payment.closing import ClosingClock
from aisa.payment.deposits import Deposits
from aisa.payment.facilitator import Facilitator
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.payment.ports import AllowAll, FirstRail
from aisa.payment.receipts import Receipts
from aisa.payment.reconciler import Reconciler
from aisa.payment.redemptions import Redemptions
from aisa.payment.solvency import Solvency
from aisa.payment.terms import TermsTable
from aisa.payment.withdrawals import Withdrawals
from aisa.paywall.limiter import UnpaidLimiter
from aisa.protocol.evm_address import format_address
from aisa.settlement.evm import EscrowSettings, EvmRail, EvmSettings
from aisa.settlement.evm.keys import RailKeys as EvmKeys
from aisa.settlement.memory import MemoryNetwork, MemoryRail
from aisa.settlement.rail import Rail
from aisa.settlement.solana import SolanaRail, SolanaSettings
from aisa.settlement.solana.keys import RailKeys

Clock: TypeAlias = Callable[[], int]
RailMaker: TypeAlias = Callable[[RailConfig, Store, bytes, Clock], Rail]

MEMORY_LABEL = "memory network"
GWEI = 10**9
_log = logging.getLogger("aisa.node")


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def uptime_ms() -> int:
    """Milliseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


def make_rail(config: RailConfig, store: Store, seed: bytes, clock: Clock) -> Rail:
    """Return the rail of a configuration; `seed` is the one that its keys derive from."""
    journal = RecordJournal(store)
    addresses = RecordAddresses(store, config.network)
    tokens = tuple(peg.token for peg in config.pegs)
    if config.kind == "memory":
        network = MemoryNetwork(clock, name=config.network)
        return MemoryRail(network, tokens, journal=journal, addresses=addresses)
    if config.kind == "evm":
        return EvmRail(
            network=config.network,
            tokens=tokens,
            rpc_urls=config.rpc_urls,
            seed=seed,
            journal=journal,
            addresses=addresses,
            clock=clock,
            settings=_evm_settings(config),
            escrow=_escrow_settings(config),
        )
    return SolanaRail(
        network=config.network,
        tokens=tokens,
        rpc_urls=config.rpc_urls,
        seed=seed,
        journal=journal,
        addresses=addresses,
        clock=clock,
        settings=SolanaSettings(finality=config.finality),
    )


def treasuries(config: NodeConfig, seed: bytes) -> tuple[tuple[str, str], ...]:
    """Return network and address of each treasury, which must hold the native coin for fees."""
    return tuple(
        (rail.network, _treasury(rail, _rail_seed(seed, rail)))
        for rail in config.rails
        if rail.kind != "memory"
    )


def _treasury(rail: RailConfig, seed: bytes) -> str:
    if rail.kind == "evm":
        return format_address(EvmKeys(seed, rail.network).treasury.address)
    return str(RailKeys(seed, rail.network).treasury.pubkey())


def _evm_settings(config: RailConfig) -> EvmSettings:
    return EvmSettings(
        confirmations=config.confirmations,
        agreeing_min=config.agreeing_min,
        fee_wei_max=config.fee_gwei_max * GWEI,
        tip_wei_max=config.fee_gwei_max * GWEI,
        tip_wei_min=config.tip_gwei_min * GWEI,
        coin=config.coin,
        replace_after_s=config.replace_s,
        give_up_after_s=config.give_up_s,
        log_blocks_max=config.log_blocks_max,
    )


def _escrow_settings(config: RailConfig) -> EscrowSettings | None:
    if config.escrow is None:
        return None
    return EscrowSettings(
        contract=config.escrow,
        eip3009_collector=config.escrow_eip3009,
        permit2_collector=config.escrow_permit2,
        code_hash=config.escrow_code_hash,
    )


def _rail_seed(seed: bytes, rail: RailConfig) -> bytes:
    return derive_seed(seed, "rail", rail.network)


@asynccontextmanager
async def assembled(
    config: NodeConfig,
    seed: bytes,
    *,
    clock: Clock = wall_clock_ms,
    monotonic_ms: Clock = uptime_ms,
    rail_maker: RailMaker = make_rail,
) -> AsyncGenerator[Services]:
    """Open ledger and rails and yield the services; everything is closed in reverse at the end.

    Raises:
        FileOwned: another node uses the ledger.
        ConfigInvalid: a rail cannot be made of its settings.
    """
    config.state.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(config.ledger_path, clock=clock)
        stack.push_async_callback(store.close)
        rails: list[Rail] = []
        for rail_config in config.rails:
            rail = rail_maker(rail_config, store, _rail_seed(seed, rail_config), clock)
            stack.push_async_callback(rail.close)
            rails.append(rail)
        services = _introduce(config, SigningKey(seed), store, rails, clock, monotonic_ms)
        stack.push_async_callback(services.reconciler.close)
        stack.push_async_callback(services.batch_facilitator.close)
        await services.closing.load()
        await services.reconciler.load()
        await _check_networks(rails)
        yield services


async def _check_networks(rails: Sequence[Rail]) -> None:
    """Refuse a server of another network; one that is silent may come back."""
    for rail in rails:
        if isinstance(rail, SolanaRail | EvmRail):
            try:
                await rail.check_network()
            except RailUnavailable as error:
                _log.warning("%s: %s", rail.network, error.detail)


def _introduce(
    config: NodeConfig,
    signer: SigningKey,
    store: Store,
    rails: Sequence[Rail],
    clock: Clock,
    monotonic_ms: Clock,
) -> Services:
    terms, pegs, guard = TermsTable(config.currencies), config.pegs, AllowAll()
    solvency = Solvency(store, terms, rails, clock=clock)

    def is_halted() -> bool:
        return not is_withdrawing(solvency)

    closing = ClosingClock(store, monotonic_ms=monotonic_ms, closing_ms=config.closing_s * 1000)
    reconciler = Reconciler(store, terms, pegs, rails, is_halted=is_halted)
    standing = Standing(store, terms)
    strangers = UnpaidLimiter(config.strangers_per_s, config.strangers_per_s * 10)
    nonces = NonceTable(config.nonces_max)
    desk = DepositDesk(
        store,
        standing,
        per_hour=config.addresses_per_hour,
        unfunded_max=config.addresses_max,
        clock=clock,
    )
    memory = any(rail.kind == "memory" for rail in config.rails)
    evm_rails = [rail for rail in rails if isinstance(rail, EvmRail)]
    pulls = {rail.network: rail.pull for rail in evm_rails}
    escrows = {rail.network: rail.escrow for rail in evm_rails if rail.escrow is not None}
    per_s = config.facilitations_per_s
    return Services(
        config=config,
        signer=signer,
        clock=clock,
        store=store,
        terms=terms,
        rails=tuple(rails),
        pulls=pulls,
        escrows=escrows,
        channels=Channels(store, signer, terms, guard, closing, clock=clock),
        redemptions=Redemptions(store),
        receipts=Receipts(store, signer),
        closing=closing,
        deposits=Deposits(store, terms, pegs, on_received=desk.note_received),
        deposit_desk=desk,
        withdrawals=Withdrawals(store, terms, pegs, rails, guard, FirstRail(), is_halted=is_halted),
        facilitator=Facilitator(
            store,
            pulls,
            [token for rail in evm_rails for token in rail.tokens],
            {rail.network: rail.treasury for rail in evm_rails},
        ),
        batch_facilitator=BatchFacilitator(escrows),
        facilitations=UnpaidLimiter(per_s, per_s * 10),
        reconciler=ReconcilerWorker(reconciler, pause_s=config.reconcile_ms / 1000),
        solvency=solvency,
        authenticator=Authenticator(nonces, standing, strangers, clock=clock),
        labels=(*config.labels, *([MEMORY_LABEL] if memory else [])),
        ledger_stopped=asyncio.Event(),
    )
