from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aisa.demo.port import LOOPBACK, Ports, free_ports, is_free, usual_ports, with_free_ones
from aisa.demo.process import Family, ProcessId, began
from aisa.errors import NodeUnavailable

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        child = family.start("sleeper", SLEEP, os.environ)
        mine = child.id
        assert mine.is_alive
        assert not replace(mine, began="another time").is_alive
    assert not mine.is_alive
    assert mine.wait_gone(1)


def test_a_pid_of_nobody_is_not_alive() -> None:
    assert began(2**22 + 1) == ""
    assert not ProcessId(2**22 + 1, "").is_alive
    ProcessId(2**22 + 1, "").ask_to_stop()


def test_a_family_stops_whom_it_started_even_after_an_error(tmp_path: Path) -> None:
    def fall_over() -> None:
        with Family(tmp_path) as family:
            ids.extend(family.start(f"sleeper{n}", SLEEP, os.environ).id for n in range(2))
            raise KeyboardInterrupt

    ids: list[ProcessId] = []
    with pytest.raises(KeyboardInterrupt):
        fall_over()
    assert len(ids) == 2
    assert not any(one.is_alive for one in ids)


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal,time,sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True);"
        "time.sleep(60)"
    )
    with Family(tmp_path) as family:
        child = family.start("stubborn", [sys.executable, "-c", stubborn], os.environ)
        child.wait_until(lambda: b"up" in child.log.read_bytes(), 10)
        assert child.stop(timeout_s=0.1) == -9


def test_one_that_ends_before_it_is_ready_says_its_last_words(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        child = family.start("loser", [sys.executable, "-c", "exit('no disk')"], os.environ)
        with pytest.raises(NodeUnavailable) as caught:
            child.wait_until(lambda: False, 20)
        assert "ended with code 1" in caught.value.detail
        assert "no disk" in caught.value.hint
        assert family.ended() is child


def test_one_that_never_gets_ready_is_told(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        child = family.start("sleeper", SLEEP, os.environ)
        with pytest.raises(NodeUnavailable, match="not ready"):
            child.wait_until(lambda: False, 0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_of_a_killed_parent_end_too(tmp_path: Path) -> None:
    parent = (
        "import os,sys,time; from pathlib import Path; from aisa.demo.process import Family;"
        f"f=Family(Path({str(tmp_path)!r})); c=f.start('kid',{SLEEP!r},os.environ);"
        "print(c.process.pid, flush=True); time.sleep(60)"
    )
    with Family(tmp_path) as family:
        child = family.start("parent", [sys.executable, "-c", parent], os.environ)
        child.wait_until(lambda: child.log.read_bytes().endswith(b"\n"), 20)
        kid = int(child.log.read_text())
        grandchild = ProcessId(kid, began(kid))
        assert grandchild.is_alive
        child.process.kill()
        assert grandchild.wait_gone(5)


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    node, seller, solana = free_ports(3)
    with socket.socket() as taken:
        taken.bind((LOOPBACK, seller))
        taken.listen()
        wanted = Ports(node, seller, solana)
        assert not is_free(seller)
        assert wanted.taken() == [seller]
        found = with_free_ones(wanted)
    assert (found.node, found.solana) == (node, solana)
    assert found.seller != seller


def test_a_base_gives_ports_in_a_row() -> None:
    assert usual_ports(9000) == Ports(9000, 9001, 9002, 9003, 9004)
    assert usual_ports() == Ports(8401, 8402, 8899, 8545, 8546)
