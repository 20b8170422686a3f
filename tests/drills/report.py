"""`build/drills.json`: what was drilled on which tree, written after every point."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PATH: Final = ROOT / "build" / "drills.json"
_HASHED: Final = ("src", "tests/drills", "tests/fuzz")

Key = tuple[str, str, int, str]


class Result(Enum):
    """GREEN: killed, and everything holds. UNREACHED: the failpoint was not passed so often."""

    GREEN = "green"
    RED = "red"
    UNREACHED = "unreached"


@dataclass(frozen=True)
class Point:
    """One drill: end `target` when it passes `failpoint` for the nth time.

    Its next life may end at `then` (`name:nth`), while it recovers.
    """

    target: str
    failpoint: str
    nth: int
    seed: int
    then: str = ""

    @property
    def key(self) -> Key:
        return self.target, self.failpoint, self.nth, self.then

    def __str__(self) -> str:
        then = f", then {self.then}" if self.then else ""
        return f"{self.target} {self.failpoint}:{self.nth}{then}"


@dataclass
class Entry:
    """What came of a point."""

    point: Point
    outcome: Result
    seconds: float
    killed: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            **asdict(self.point),
            "outcome": self.outcome.value,
            "seconds": round(self.seconds, 2),
            "killed": self.killed,
            "facts": self.facts,
        }


class Report:
    """The file; what an earlier run found on the same tree counts."""

    def __init__(self, path: Path = PATH, *, fresh: bool = False) -> None:
        self.path = path
        self.tree = tree_hash()
        self.entries: dict[Key, Entry] = {}
        self.baselines: dict[str, dict[str, int]] = {}
        self.fuzz: dict[str, Any] = {}
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.seconds_before = 0.0
        self._began = time.monotonic()
        if not fresh:
            self._read()

    def add(self, entry: Entry) -> None:
        """Keep a point's outcome; an unreached one never hides another."""
        known = self.entries.get(entry.point.key)
        if known is None or entry.outcome is not Result.UNREACHED:
            self.entries[entry.point.key] = entry
        self.write()

    def of(self, target: str, outcome: Result) -> list[Entry]:
        return [
            one
            for one in self.entries.values()
            if one.point.target == target and one.outcome is outcome
        ]

    def is_green(self, point: Point) -> bool:
        known = self.entries.get(point.key)
        return known is not None and known.outcome is Result.GREEN

    def write(self) -> None:
        """Write everything, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".json.part")
        draft.write_text(json.dumps(self.document(), indent=1) + "\n")
        draft.replace(self.path)

    def document(self) -> dict[str, Any]:
        targets = dict.fromkeys(one.point.target for one in self.entries.values())
        return {
            "tree": self.tree,
            "started": self.started,
            "seconds": round(self.seconds_before + time.monotonic() - self._began, 1),
            "targets": {target: self._summary(target) for target in targets},
            "points": [one.document() for one in self.entries.values()],
            "baselines": self.baselines,
            "fuzz": self.fuzz,
        }

    def _summary(self, target: str) -> dict[str, Any]:
        entries = [one for one in self.entries.values() if one.point.target == target]
        counts = Counter(one.outcome for one in entries)
        failpoints: dict[str, dict[str, int]] = {}
        for one in entries:
            noun, _, side = one.point.failpoint.rpartition(".")
            sides = failpoints.setdefault(noun, {"before": 0, "after": 0})
            sides[side] = sides.get(side, 0) + (one.outcome is Result.GREEN)
        return {
            "points": counts[Result.GREEN] + counts[Result.RED],
            "kills": sum(int(one.facts.get("kills", one.killed)) for one in entries),
            "green": counts[Result.GREEN],
            "red": counts[Result.RED],
            "unreached": counts[Result.UNREACHED],
            "failpoints": dict(sorted(failpoints.items())),
        }

    def _read(self) -> None:
        try:
            document = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return
        if document.get("tree") != self.tree:
            return
        self.started = document["started"]
        self.seconds_before = document["seconds"]
        self.baselines = document["baselines"]
        self.fuzz = document["fuzz"]
        for one in document["points"]:
            point = Point(one["target"], one["failpoint"], one["nth"], one["seed"], one["then"])
            self.entries[point.key] = Entry(
                point, Result(one["outcome"]), one["seconds"], one["killed"], one["facts"]
            )


def tree_hash() -> str:
    """The hash of everything that a drill's outcome depends on."""
    digest = hashlib.sha256()
    for folder in _HASHED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
