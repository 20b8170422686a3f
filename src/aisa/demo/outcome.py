"""What a demo run came to: the numbers, whether they add up, and how a person reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal

from aisa.demo.conservation import AssetSum, ChainFee, Holding
from aisa.money import AIUSD, format_units


@dataclass(frozen=True, slots=True)
class Job:
    """What the agent's process tells about its work; latencies in milliseconds, sums in euro."""

    calls: int
    served: int
    failed: int
    paid_units: int
    took_s: float
    p50_ms: float
    p99_ms: float
    euro_sum: str
    problems: tuple[str, ...] = ()

    @property
    def calls_per_s(self) -> float:
        """Served calls over the time of the whole job."""
        return self.served / self.took_s if self.took_s else 0.0


@dataclass(frozen=True, slots=True)
class Books:
    """What the node's books say at the end, in aiUSD units, and whether its ledger verifies."""

    ledger_ok: bool
    customers_units: int
    fees_units: int
    held_units: int

    @property
    def is_backed(self) -> bool:
        """Whether what customers have and the fees are exactly what the node holds on the chain."""
        return self.customers_units + self.fees_units == self.held_units


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of the demo; `checks` names each claim and whether it holds."""

    asset: str
    job: Job
    books: Books
    fee_units: int
    before: list[Holding]
    after: list[Holding]
    chain_fees: list[ChainFee]
    sums: list[AssetSum]
    euro_sum_expected: Decimal
    checks: dict[str, bool] = field(default_factory=dict[str, bool])

    @property
    def is_conserved(self) -> bool:
        """Whether every asset's sums agree, and the node holds exactly what it owes."""
        return all(one.is_conserved for one in self.sums) and self.books.is_backed

    @property
    def holds(self) -> bool:
        """Whether everything was served, paid, verified and conserved."""
        return self.books.ledger_ok and self.is_conserved and all(self.checks.values())

    def document(self) -> dict[str, object]:
        """The JSON of `aisa demo --json`; units and lamports are integers, to be added up."""
        return {
            "calls": self.job.calls,
            "served": self.job.served,
            "failed": self.job.failed,
            "paid_total": self.job.paid_units,
            "fee_total": self.fee_units,
            "p50_ms": round(self.job.p50_ms, 3),
            "p99_ms": round(self.job.p99_ms, 3),
            "calls_per_s": round(self.job.calls_per_s, 1),
            "ledger_ok": self.books.ledger_ok,
            "chain_before": [asdict(one) for one in self.before],
            "chain_after": [asdict(one) for one in self.after],
            "chain_fees": [asdict(one) for one in self.chain_fees],
            "conserved": self.is_conserved,
        }

    def token_units(self, role: str, asset: str) -> int:
        """What a role holds of an asset on the chain at the end."""
        return sum(one.units for one in self.after if one.role == role and one.asset == asset)


def ai_usd(units: int) -> str:
    """Units of aiUSD as a person reads them."""
    return f"{format_units(units, AIUSD.scale)} aiUSD"


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    """The table that the demo prints: what, and how much."""
    job, books, asset = outcome.job, outcome.books, outcome.asset
    lamports = sum(fee.lamports for fee in outcome.chain_fees)
    minted = sum(one.minted for one in outcome.sums if one.asset == asset)
    return [
        ("calls served and paid", f"{job.served:,} of {job.calls:,}"),
        ("invoices converted, in all", f"{Decimal(job.euro_sum):,.2f} EUR"),
        ("paid by the agent", ai_usd(job.paid_units)),
        ("the node's fee, kept on its account", ai_usd(outcome.fee_units)),
        ("speed, 32 calls in flight", f"{job.calls_per_s:,.0f} calls/s"),
        ("one call, median / 99 %", f"{job.p50_ms:.1f} ms / {job.p99_ms:.1f} ms"),
        ("minted on the chain", ai_usd(minted)),
        ("on the chain now: agent", ai_usd(outcome.token_units("agent", asset))),
        ("on the chain now: seller", ai_usd(outcome.token_units("seller", asset))),
        ("on the chain now: node", ai_usd(books.held_units)),
        ("chain fees", f"{lamports:,} lamports in {len(outcome.chain_fees)} chain txs"),
    ]


def verdicts(outcome: Outcome) -> list[tuple[str, bool]]:
    """Each claim, and whether it holds."""
    sums = [
        (f"conserved: {_name(one.asset, outcome.asset)}", one.is_conserved) for one in outcome.sums
    ]
    return [
        *outcome.checks.items(),
        ("the ledger verifies", outcome.books.ledger_ok),
        ("accounts and fees equal the node's tokens", outcome.books.is_backed),
        *sums,
    ]


def _name(asset: str, ai_usd_asset: str) -> str:
    """What a person calls a CAIP-19 asset."""
    if asset == ai_usd_asset:
        return AIUSD.code
    name = asset.rpartition("/")[2]
    return "SOL" if name.startswith("slip44") else name
