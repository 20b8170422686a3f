"""The demo, small, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(400)]

KEYS = {
    *("calls", "served", "failed", "paid_total", "fee_total", "p50_ms", "p99_ms", "calls_per_s"),
    *("ledger_ok", "chain_before", "chain_after", "chain_fees", "conserved"),
}


def run_demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aisa", "demo", *words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background of a shell inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def processes_of(folder: Path) -> list[str]:
    """The processes of this machine that work in a folder, by their environment."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def sums(holdings: list[dict[str, Any]]) -> Counter[str]:
    total = Counter[str]()
    for one in holdings:
        total[one["asset"]] += one["units"]
    return total


def test_200_calls_are_served_paid_and_conserved(tmp_path: Path) -> None:
    process = run_demo(tmp_path, "--calls", "200", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert err == ""
    found = json.loads(out)
    assert set(found) == KEYS
    assert (found["calls"], found["served"], found["failed"]) == (200, 200, 0)
    assert (found["paid_total"], found["fee_total"]) == (20_000, 20)
    assert found["ledger_ok"] is True
    assert found["conserved"] is True
    assert 0 < found["p50_ms"] <= found["p99_ms"]

    before, after = sums(found["chain_before"]), sums(found["chain_after"])
    fees = sum(one["lamports"] for one in found["chain_fees"])
    (native,) = [asset for asset in after if "slip44" in asset]
    (token,) = [asset for asset in after if asset not in before]
    assert before[native] == after[native] + fees
    by_role = Counter[str]()
    for one in found["chain_after"]:
        if one["asset"] == token:
            by_role[one["role"]] += one["units"]
    assert by_role == {"agent": 1_980_000, "seller": 19_980, "node": 20}
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_at_any_time(tmp_path: Path, signum: int) -> None:
    process = run_demo(tmp_path, "--calls", "100000")
    assert process.stderr is not None
    deadline = time.monotonic() + 90
    for line in process.stderr:
        if "converts" in line or time.monotonic() > deadline:
            break
    time.sleep(0.5)
    process.send_signal(signum)
    try:
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []
