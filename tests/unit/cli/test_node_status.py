from __future__ import annotations

from typing import Self

import pytest

from aisa.cli import node_status
from aisa.cli.report import Table
from aisa.cli.service import Service
from aisa.client import NodeInfo, SolvencyInfo
from aisa.errors import RailUnavailable

INFO = NodeInfo(
    network="aisa:x",
    node_key=bytes(32),
    version="0",
    currencies=(),
    tokens=(),
    withdrawals_open=True,
    labels=("test money",),
)
COMPARED = SolvencyInfo(
    solvent=True, withdrawals_open=True, checked_at_ms=1_000, holdings=(), liabilities=()
)


class Node:
    def __init__(self, solvency: SolvencyInfo | None) -> None:
        self._solvency = solvency

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def info(self) -> NodeInfo:
        return INFO

    def solvency(self) -> SolvencyInfo:
        if self._solvency is None:
            raise RailUnavailable("holdings were not compared yet")
        return self._solvency


@pytest.mark.parametrize(
    ("solvency", "said", "at_ms"),
    [(COMPARED, "compared at 1970-01-01 00:00:01 UTC", 1_000), (None, "not compared yet", None)],
)
def test_a_node_tells_its_state_before_its_network_answers(
    solvency: SolvencyInfo | None, said: str, at_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_status, "SyncNodeClient", lambda url: Node(solvency))
    report = node_status.node_status(Service(7, "", "http://127.0.0.1:8401"))
    text = "\n".join(line for line in report.lines if not isinstance(line, Table))
    assert "withdrawals are open" in text
    assert said in text
    assert report.document["checked_at_ms"] == at_ms
    assert report.exit_code == 0
