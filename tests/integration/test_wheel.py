"""The built wheel, away from this clone: whole, and with the agent's side alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aisa.demo.port import free_ports

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

ABSENT = (
    *("click", "currency_converter", "fastapi", "rich", "solders", "starlette", "uvicorn"),
    *("coincurve", "eth_account", "sha3"),
)
ROOMS = ("cli", "demo", "devnet", "ledger", "node", "payment", "paywall", "settlement")


def run(*words: str | Path, code: int = 0, **environ: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AISA_")}
    done = subprocess.run(
        [str(word) for word in words],
        # Not this clone: what is not in the wheel must be missed.
        cwd="/",
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + (done.stderr if code else "")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


def install(folder: Path, wheel: Path, extra: str) -> Path:
    """Make an empty environment, install the wheel with one extra, and return its bin folder."""
    lock = ROOT / "requirements" / "runtime.txt"
    wanted = f"aisa-node[{extra}] @ {wheel.as_uri()}"
    if UV.exists():
        run(UV, "venv", "--quiet", "--python", sys.executable, folder)
        run(UV, "pip", "install", "--quiet", "--python", folder / "bin/python", "-c", lock, wanted)
    else:
        run(sys.executable, "-m", "venv", folder)
        pins = folder / "pins.txt"
        pins.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", lock.read_text(), re.MULTILINE)))
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", "-c", pins, wanted)
    return folder / "bin"


def five_lines(seller: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [one for one in blocks if "Agent()" in one]
    return block.replace("http://127.0.0.1:8402", seller)


@pytest.fixture(scope="module")
def devnet(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Terminal 1 of the README, run from the wheel alone."""
    whole = install(tmp_path_factory.mktemp("whole") / "venv", wheel, "all")
    home = tmp_path_factory.mktemp("home")
    base = str(max(1024, free_ports(1)[0] - 1))
    aisa = whole / "aisa"
    up = [aisa, "devnet", "up", "--seller", "--background", "--port-base", base, "--json"]
    document = json.loads(run(*up, AISA_HOME=str(home)))
    try:
        yield {**document, "home": home, "bin": whole}
    finally:
        run(aisa, "devnet", "down", AISA_HOME=str(home))


def test_the_whole_wheel_runs_the_readmes_lines(devnet: dict[str, Any]) -> None:
    place = run(devnet["bin"] / "python", "-c", "import aisa; print(aisa.__file__)")
    assert str(ROOT) not in place
    out = run(
        devnet["bin"] / "python", "-c", five_lines(devnet["seller"]), AISA_HOME=str(devnet["home"])
    )
    assert '"rate":"1.0889"' in out
    verified = run(devnet["bin"] / "aisa", "ledger", "verify", AISA_HOME=str(devnet["home"]))
    assert "verifies" in verified


def test_the_agents_side_alone_pays_at_a_nodes_url(
    devnet: dict[str, Any], wheel: Path, tmp_path: Path
) -> None:
    thin = install(tmp_path / "venv", wheel, "sdk")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    # The same account, so that it has money; nothing else of the other home is known here.
    shutil.copy(devnet["home"] / "agent.key", home)
    check = (
        "\nimport sys, importlib.util as util"
        f"\nheavy = [name for name in {ABSENT!r} if util.find_spec(name)]"
        f"\nrooms = [name for name in {ROOMS!r} if 'aisa.' + name in sys.modules]"
        "\nprint('heavy', heavy, 'rooms', rooms)"
    )
    out = run(
        thin / "python",
        "-c",
        five_lines(devnet["seller"]) + check,
        AISA_HOME=str(home),
        AISA_NODE=devnet["node"],
    )
    assert '"rate":"1.0889"' in out
    assert "heavy [] rooms []" in out
    complaint = run(thin / "aisa", "demo", code=2)
    assert "pip install" in complaint
    assert "Traceback" not in complaint


def test_without_a_node_the_agents_side_says_what_to_do(
    devnet: dict[str, Any], wheel: Path, tmp_path: Path
) -> None:
    thin = install(tmp_path / "venv", wheel, "sdk")
    complaint = run(
        thin / "python", "-c", five_lines(devnet["seller"]), code=1, AISA_HOME=str(tmp_path / "h")
    )
    assert "AISA_NODE" in complaint
