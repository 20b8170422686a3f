"""Play money: a home inside the home, with a devnet of its own, for trying out what sells."""

from __future__ import annotations

from dataclasses import replace

from aisa.cli.command import Session
from aisa.cli.devnet import start_devnet
from aisa.cli.devnet_parts import Parts
from aisa.demo.devnet_file import read_devnet_file

FOLDER = "test"


def play_session(session: Session) -> Session:
    """The session of this home's `test` folder; its devnet is started if it does not run.

    Keys, files and money there are apart from the home's own, so that play money is never taken
    for another.

    Raises:
        NodeUnavailable: the devnet did not start.
    """
    playing = replace(session, home=session.home / FOLDER)
    playing.make_home()
    running = read_devnet_file(playing.home)
    if running is None or not running.is_running:
        running = start_devnet(playing, Parts())
    session.say(f"test mode: play money at {running.node}; {running.label}")
    session.say(f"pay with: aisa pay URL --home {playing.home}")
    session.say(f"when done: aisa devnet down --home {playing.home}")
    return playing
