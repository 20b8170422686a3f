"""Write the locks of every peer from versions.toml; part of `make lock`.

Needs uv in .venv and npm. A lock holds hashes and no address, so that it is good behind any mirror.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from aisa.devnet import toolchain

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
COMPILE: Final = (
    *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url"),
    *("--no-header", "--python-version", "3.11", "-"),
)


def versions() -> dict[str, Any]:
    """What versions.toml says."""
    return tomllib.loads((HERE / "versions.toml").read_text())


def python_lock(name: str) -> Path:
    """The lock of a Python environment, with hashes."""
    return ROOT / "requirements" / f"peer-{name}.txt"


def npm_package(name: str) -> Path:
    """The folder with an npm environment's package.json and lock."""
    return HERE / "npm" / name


def package_json(name: str, dependencies: dict[str, str]) -> str:
    """What stands in an npm environment's package.json."""
    package = {
        "name": f"aisa-interop-{name}",
        "version": "1.0.0",
        "private": True,
        "description": "A peer of AISA's interop tests; written by `make lock` from versions.toml.",
        "license": "Apache-2.0",
        "engines": {"node": ">=20"},
        "dependencies": dependencies,
    }
    return json.dumps(package, indent=2) + "\n"


def main() -> int:
    """Resolve everything again; what is locked already stays where it still fits."""
    wanted = versions()
    uv = Path(sys.executable).parent / "uv"
    for name, requirements in wanted["python"].items():
        command = [str(uv), *COMPILE, "-o", str(python_lock(name))]
        subprocess.run(command, input="\n".join(requirements), text=True, check=True, cwd=ROOT)
    for name, dependencies in wanted["npm"].items():
        folder = npm_package(name)
        (folder / "package.json").write_text(package_json(name, dependencies))
        npm = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit"]
        subprocess.run(npm, cwd=folder, env=toolchain.environment(), check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
