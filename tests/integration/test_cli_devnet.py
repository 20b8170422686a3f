"""A stranger's first minutes, command by command, on a devnet of this machine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from aisa.cli.application import run
from aisa.demo.devnet_file import read_devnet_file
from aisa.demo.port import free_ports

pytestmark = [pytest.mark.network, pytest.mark.timeout(400)]


def aisa(*words: str, code: int = 0) -> Any:
    """Run a command with --json; its document, or its problem where a code is expected."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        found = run([*words, "--json"])
    said, complained = out.getvalue(), err.getvalue()
    assert found == code, (words, said, complained)
    assert "Traceback" not in complained
    if code > 1:
        assert said == ""
        return json.loads(complained)
    return json.loads(said)


@pytest.fixture
def devnet(aisa_home: Path) -> Iterator[dict[str, Any]]:
    base = free_ports(1)[0] - 1
    up = aisa("devnet", "up", "--seller", "--background", "--port-base", str(max(1024, base)))
    try:
        yield up
    finally:
        aisa("devnet", "down")
        assert read_devnet_file(aisa_home) is None


@pytest.mark.slow
def test_up_pay_look_close_verify_down(
    devnet: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{devnet['seller']}/rates/USD/2014-03-28"
    assert aisa("devnet", "up", "--seller")["processes"] == devnet["processes"]
    assert aisa("devnet", "status")["running"] is True

    quote = aisa("pay", url, "--dry-run")
    assert (quote["price"]["units"], quote["paid"]) == ("100", False)
    refused = aisa("pay", url, "--max", "0.00009", code=5)
    assert (refused["slug"], refused["hint"]) == ("budget-exceeded", "raise --max")
    assert "--max 0.00009 aiUSD" in refused["detail"]
    assert aisa("channel", "list")["channels"] == []

    answer = aisa("pay", url, "--max", "0.01", "--id", "first")
    assert answer["body"] == {
        "currency": "USD",
        "date": "2014-03-28",
        "published": "2014-03-28",
        "rate": "1.3759",
    }
    assert answer["payment"]["charged"] == {"currency": "aiUSD", "units": "100", "text": "0.0001"}
    assert aisa("pay", url, "--id", "first")["payment"]["seq"] == answer["payment"]["seq"]
    assert aisa("pay", f"{devnet['seller']}/currencies")["payment"] is None
    missing = aisa("pay", f"{devnet['seller']}/rates/XXX/2014-03-28", code=1)
    assert missing["status"] == 404
    assert missing["payment"]["charged"]["units"] == "0"

    log = aisa("wallet", "log")
    assert [one["code"] for one in log["transfers"]] == ["channel.open", "deposit"]
    assert [one["units"] for one in log["payments"] if one["status"] == 200] == ["100"]
    assert aisa("wallet", "show")["balances"][0]["units"] == "4000000"
    (channel,) = aisa("channel", "list")["channels"]
    assert aisa("channel", "show", channel["channel"][:8])["at_node"]["state"] == "open"
    assert aisa("channel", "show", "zz", code=6)["slug"] == "not-found"
    assert aisa("channel", "verify")["receipts"] >= 1

    assert aisa("seller", "redeem")["units"] == "100"
    assert aisa("seller", "status")["unredeemed"] == []
    (closed,) = aisa("channel", "close")["channels"]
    assert (closed["state"], closed["redeemed"]) == ("closed", "100")
    assert aisa("wallet", "show")["balances"][0]["units"] == "4999900"

    assert run(["wallet", "fund", "--no-wait"]) == 0
    assert aisa("wallet", "fund", "--devnet", "-1", code=2)["slug"] == "invalid-amount"
    fund = aisa("wallet", "fund", "--devnet", "0.5")
    # The address is what was asked for, so it is on standard output.
    assert fund["address"] in capsys.readouterr().out
    assert [(one["units"], one["state"]) for one in fund["deposits"]] == [("500000", "credited")]
    own = aisa("wallet", "withdraw", "0.25", "--to", fund["address"], code=2)
    assert own["slug"] == "invalid-request"
    stranger = str(Keypair().pubkey())
    assert aisa("wallet", "withdraw", "1000", "--to", stranger, code=8)["exit_code"] == 8
    out = aisa("wallet", "withdraw", "0.25", "--to", stranger)
    assert (out["state"], out["units"]) == ("settled", "250000")

    verified = aisa("ledger", "verify", "--reserves")
    assert {one["left"] == one["right"] for one in verified["reserves"]} == {True}
    assert verified["reserves"][0]["left"] == "5250000"
    assert verified["ok"] is True
    assert verified["digest"] == aisa("ledger", "digest")["digest"]
    accounts = aisa("ledger", "balance", "account:")["accounts"]
    assert sorted(one["units"] for one in accounts) == ["100", "5249900"]
    assert aisa("ledger", "history", accounts[0]["account"])["entries"]
    assert (
        aisa("ledger", "balance", "account:", "--at", "2020-01-01")["accounts"][0]["units"] == "0"
    )

    assert aisa("node", "status")["solvent"] is True
    backup = aisa("node", "backup", str(tmp_path / "backup"))
    assert backup["digest"] == verified["digest"]
    assert aisa("doctor")["ok"] is True


@pytest.mark.slow
def test_a_backup_is_restored_with_an_equal_digest(aisa_home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("a long one\n")
    secret.chmod(0o600)
    init = ("node", "init", "--passphrase-file", str(secret))
    made = aisa(*init)
    assert (made["new"], aisa(*init)["new"]) == (True, False)
    up = aisa("node", "up", "--background", "--port", "0")
    assert up["network"] == made["network"]
    assert aisa("node", "up", "--background")["pid"] == up["pid"]
    assert aisa("node", "stop") == {"stopped": True, "pid": up["pid"]}
    assert aisa("node", "stop") == {"stopped": False}
    assert aisa("node", "status") == {"running": False}

    backup = tmp_path / "backup"
    digest = aisa("node", "backup", str(backup))["digest"]
    assert aisa("node", "backup", str(backup), code=7)["slug"] == "state-conflict"
    assert aisa("node", "restore", str(backup), code=7)["slug"] == "state-conflict"
    for path in (aisa_home / "node").iterdir():
        path.unlink()
    assert aisa("ledger", "verify", code=6)["slug"] == "not-found"
    assert aisa("node", "restore", str(backup))["digest"] == digest
    assert aisa("ledger", "verify")["digest"] == digest
    assert aisa("node", "init")["network"] == made["network"]


def test_ctrl_c_stops_all_that_was_started(aisa_home: Path) -> None:
    base = max(1024, free_ports(1)[0] - 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "aisa", "devnet", "up", "--port-base", str(base)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + 90
        while (running := read_devnet_file(aisa_home)) is None:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()
    assert not any(one.id.is_alive for one in running.processes)
    assert read_devnet_file(aisa_home) is None


def test_what_is_not_there_is_told_without_a_trace(aisa_home: Path) -> None:
    assert aisa("wallet", "show", code=2)["slug"] == "config-invalid"
    assert aisa("wallet", "show", "--home", str(aisa_home / "other"), code=2)["hint"]
    assert aisa("seller", "up", "no.such:app", "--port", "0", code=2)["slug"] == "config-invalid"
    assert aisa("devnet", "status") == {"running": False}
    assert aisa("devnet", "down") == {"stopped": []}
    assert aisa("ledger", "digest", code=6)["exit_code"] == 6
    assert aisa("channel", "list") == {"channels": []}
    os.environ["AISA_NODE"] = "http://127.0.0.1:1"
    try:
        assert aisa("wallet", "show", code=13)["slug"] == "node-unavailable"
        assert aisa("doctor", code=1)["ok"] is False
    finally:
        del os.environ["AISA_NODE"]


def test_init_makes_a_home_and_keeps_what_is_there(aisa_home: Path) -> None:
    made = aisa("init", "--node", "http://127.0.0.1:9")
    assert made["new"] is True
    assert aisa_home.stat().st_mode & 0o777 == 0o700
    assert (aisa_home / "agent.key").stat().st_mode & 0o777 == 0o600
    again = aisa("init")
    assert (again["new"], again["agent"]) == (False, made["agent"])
    assert aisa("init", "--node", "http://127.0.0.1:10", code=7)["slug"] == "state-conflict"
    assert aisa("init", "--node", "ftp://nowhere", code=2)["slug"] == "config-invalid"
