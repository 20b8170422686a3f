"""A claim of speed and the samples that bear it out or do not."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Pair = tuple[float, float | None]
ROUNDS_MIN = 7


@dataclass(frozen=True, slots=True)
class Claim:
    """One line: `target` is such as `>= 30`, held against the median of the pairs' ratios.

    A pair is (ours, theirs); on an absolute line theirs is None and the ratio is ours.
    `applies` is false, with the measured reason in `note`, where a condition of the claim fails.
    """

    name: str
    unit: str
    target: str
    samples: tuple[Pair, ...]
    command: str
    note: str = ""
    applies: bool = True

    @property
    def ratio(self) -> float:
        return statistics.median(
            ours if theirs is None else ours / theirs for ours, theirs in self.samples
        )

    @property
    def holds(self) -> bool:
        relation, _, bound = self.target.partition(" ")
        return self.ratio >= float(bound) if relation == ">=" else self.ratio <= float(bound)

    def document(self) -> dict[str, object]:
        """Return the claim as build/bench.json has it."""
        theirs = [pair[1] for pair in self.samples if pair[1] is not None]
        return {
            "name": self.name,
            "ours": statistics.median(pair[0] for pair in self.samples),
            "theirs": statistics.median(theirs) if theirs else None,
            "unit": self.unit,
            "ratio": self.ratio,
            "target": self.target,
            "samples": [list(pair) for pair in self.samples],
            "applies": self.applies,
            "holds": self.holds,
            "command": self.command,
            "note": self.note,
        }


def paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Pair, ...]:
    """Return the samples of two sides that were measured in the same rounds."""
    return tuple(zip(ours, theirs, strict=True))


def absolute(ours: Iterable[float]) -> tuple[Pair, ...]:
    """Return the samples of a line without a peer."""
    return tuple((value, None) for value in ours)


def write(claims: Sequence[Claim], path: Path) -> None:
    """Write build/bench.json whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps([claim.document() for claim in claims], indent=1) + "\n")
    part.replace(path)


def table(claims: Sequence[Claim]) -> str:
    """Return the claims as a table for people."""
    rows = [("claim", "ours", "theirs", "ratio", "target", "")]
    for claim in claims:
        document = asdict(claim) | claim.document()
        verdict = ("holds" if claim.holds else "FAILS") if claim.applies else "does not apply"
        rows.append(
            (
                claim.name,
                f"{document['ours']:.4g} {claim.unit}",
                "" if document["theirs"] is None else f"{document['theirs']:.4g}",
                f"{claim.ratio:.3g}",
                claim.target,
                verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    notes = [f"  {claim.name}: {claim.note}" for claim in claims if claim.note]
    return "\n".join([*lines, "", *notes])
