"""Where each peer runs: an environment of its own, installed once from its lock, by hash."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aisa.devnet.toolchain import Say, node, npm_folder, say_on_stderr
from aisa.errors import RailUnavailable
from tests.interop.locks import HERE, ROOT, npm_package, python_lock

OURS: Final = "aisa"
"""The environment that this runs in."""

PEERS: Final = HERE / "peers"
_FOLDER: Final = ROOT / ".venv-peers"
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 3.0
_INSTALL_TIMEOUT_S: Final = 400.0


def python(name: str, say: Say = say_on_stderr) -> Path:
    """The interpreter of a Python environment, installed first if its lock is newer.

    Raises:
        RailUnavailable: it could not be installed, with the last words of the installer.
    """
    if name == OURS:
        return Path(sys.executable)
    venv, lock = _FOLDER / name, python_lock(name)
    _FOLDER.mkdir(exist_ok=True)
    with _alone(_FOLDER / f"{name}.lock"):
        stamp = venv / ".installed"
        if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
            _install(venv, lock, say)
            stamp.touch()
    return venv / "bin" / "python"


def javascript(name: str, scratch: Path, say: Say = say_on_stderr) -> tuple[Path, Path]:
    """Node.js, and a folder of our scripts in which the packages of an npm environment are found.

    Raises:
        ExtraMissing: there is no Node.js.
        RailUnavailable: npm could not install the packages.
    """
    packages = npm_folder(npm_package(name), say=say)
    folder = scratch / f"npm-{name}"
    if not folder.exists():
        folder.mkdir(parents=True)
        for script in PEERS.glob("*.mjs"):
            shutil.copy(script, folder)
        # Modules are looked for beside the script that imports them, wherever it is.
        (folder / "node_modules").symlink_to(packages / "node_modules")
    return node(), folder


def _install(venv: Path, lock: Path, say: Say) -> None:
    command = ["sh", "requirements/peer.sh", str(venv), str(lock)]
    # As in the Makefile: this machine's interpreter and certificates.
    environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
    words = ""
    for attempt in range(1, _ATTEMPTS + 1):
        say(f"installing {lock.name} into {venv.parent.name}/{venv.name} (once)")
        words = _failure(command, environ)
        if not words:
            return
        say(f"it failed ({attempt} of {_ATTEMPTS}): {words}")
        time.sleep(_PAUSE_S * attempt)
    raise RailUnavailable(f"{lock.name} could not be installed: {words}")


def _failure(command: list[str], environ: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_INSTALL_TIMEOUT_S:.0f} s"
    return (done.stderr.strip()[-500:] or "no reason given") if done.returncode else ""


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Hold a lock file, so that two processes do not install the same thing."""
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
