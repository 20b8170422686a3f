from __future__ import annotations

import io
import time

import pytest

from aisa.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_the_first_second_is_silent(watch: Watch) -> None:
    stream = io.StringIO()
    with Progress(quiet=False, stream=stream, monotonic=watch, is_ticking=False) as progress:
        progress("soon")
        watch.now += 1.1
        progress("working")
        progress("too often")
        watch.now += 5.1
        progress.count("read", 1_500, 3_000)
    assert stream.getvalue() == "working\nread 1,500 of 3,000 (50 %)\n"


def test_a_terminal_keeps_one_line_and_gets_it_cleared(watch: Watch) -> None:
    stream = Terminal()
    with Progress(quiet=False, stream=stream, monotonic=watch, is_ticking=False) as progress:
        watch.now += 2
        progress("one")
        watch.now += 1
        progress("two")
    assert stream.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


def test_quiet_is_quiet(watch: Watch) -> None:
    stream = io.StringIO()
    with Progress(quiet=True, stream=stream, monotonic=watch, is_ticking=False) as progress:
        watch.now += 100
        progress("working")
    assert stream.getvalue() == ""


def test_who_is_kept_waiting_is_told_all_the_same() -> None:
    stream = io.StringIO()
    with Progress(quiet=False, stream=stream) as progress:
        progress("waiting for the disk")
        deadline = time.monotonic() + 10
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert stream.getvalue() == "waiting for the disk\n"


def test_a_stop_that_was_swallowed_is_raised_again() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Progress(quiet=True, check=stop) as progress:
        progress("anything")
