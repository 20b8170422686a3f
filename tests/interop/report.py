"""The outcomes as a table for a person and as JSON for a program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.interop.locks import versions
from tests.interop.outcome import REFUSALS, Outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """Client, server and scheme of each cell, what was paid, and what was refused."""
    rows = [("client", "server", "scheme", "paid", *REFUSALS)]
    rows += [_row(one) for one in outcomes]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines + _notes(outcomes))


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write every cell, with the versions of the peers."""
    wanted: dict[str, Any] = versions()
    report = {
        "versions": wanted,
        "counts": dict(Counter(one.state for one in outcomes)),
        "cells": [one.to_json() for one in outcomes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def _row(one: Outcome) -> tuple[str, ...]:
    names = (one.client, one.server, one.scheme)
    if one.not_built:
        return (*names, "not built", *("-" for _ in REFUSALS))
    paid = str(one.paid_units) if one.paid_units else "NO"
    return (*names, paid, *(_refused(one, name) for name in REFUSALS))


def _refused(one: Outcome, name: str) -> str:
    refusal = one.refusals.get(name)
    if refusal is None:
        return "?" if name in one.wanted else "-"
    if not refusal.holds:
        return "NOT REFUSED"
    return "repeated" if refusal.is_repeated else str(refusal.status)


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    counts = Counter(one.state for one in outcomes)
    lines = ["", ", ".join(f"{counts[state]} {state}" for state in ("ok", "failed", "not built"))]
    lines += [
        f"failed: {one.client} x {one.server} x {one.scheme}: {one.failure or 'not refused'}"
        for one in outcomes
        if one.state == "failed"
    ]
    missing = Counter(one.not_built for one in outcomes if one.not_built)
    return lines + [f"not built: {reason} ({count} cells)" for reason, count in missing.items()]
