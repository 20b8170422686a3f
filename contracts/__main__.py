"""`python -m contracts build|check|test`: forge over the contracts, with the pinned tools.

`build` writes the artifacts that the node ships, and `check` compares them with a build and looks at
the sources' format. `test` runs the contracts' tests and compares the gas of calls with
`contracts/gas/`; `--update` writes it anew, and more words go to forge as they are:
`python -m contracts test --match-contract HashLock -vvv`. `forge` runs any other of its commands:
`python -m contracts forge fmt`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aisa.devnet import toolchain

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "contracts" / "out"
ARTIFACTS = HERE.parent / "src" / "aisa" / "settlement" / "evm" / "artifacts"


def main(words: list[str]) -> int:
    """Run one command; returns the exit code."""
    command, rest = (words[0], words[1:]) if words else ("", [])
    if command == "build" and not rest:
        return _build()
    if command == "check" and not rest:
        return _check()
    if command == "test":
        return _test(rest)
    if command == "forge":
        return _forge(*rest)
    sys.stderr.write((__doc__ or "") + "\n")
    return 2


def _build() -> int:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    fresh = _fresh("--force")
    for name, text in fresh.items():
        (ARTIFACTS / name).write_text(text)
    for old in ARTIFACTS.glob("*.json"):
        if old.name not in fresh:
            old.unlink()
    print(f"{len(fresh)} artifacts in {ARTIFACTS.relative_to(HERE.parent)}")
    return 0


def _check() -> int:
    fresh = _fresh()
    kept = {one.name: one.read_text() for one in ARTIFACTS.glob("*.json")}
    stale = sorted(name for name in fresh | kept if fresh.get(name) != kept.get(name))
    if stale:
        print(f"not what contracts/src gives (make contracts): {', '.join(stale)}")
    return 1 if stale else _forge("fmt", "--check")


def _test(rest: list[str]) -> int:
    update = "--update" in rest
    code = _forge("build", "src", "--silent")
    if code:
        return code
    more = {
        "FOUNDRY_PROFILE": "test",
        "FORGE_SNAPSHOT_CHECK": str(not update).lower(),
        "FORGE_SNAPSHOT_EMIT": str(update).lower(),
    }
    return _forge("test", *(word for word in rest if word != "--update"), more=more)


def _fresh(*flags: str) -> dict[str, str]:
    """File name → text of the artifact of every contract that can be deployed."""
    code = _forge("build", "src", "--silent", *flags)
    if code:
        raise SystemExit(code)
    made: dict[str, str] = {}
    for source in sorted((HERE / "src").rglob("*.sol")):
        made |= dict(_artifacts(OUT / source.name, source))
    return made


def _artifacts(folder: Path, source: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.json")):
        built: dict[str, Any] = json.loads(path.read_text())
        if built["bytecode"]["object"] == "0x" or not built["methodIdentifiers"]:
            continue  # abstract, an interface, or a library of internal functions
        metadata = built["metadata"]
        settings = metadata["settings"]
        artifact = {
            "contract": path.stem,
            "source": f"contracts/{source.relative_to(HERE)}",
            "compiler": f"solc {metadata['compiler']['version']}",
            "settings": {
                "evmVersion": settings["evmVersion"],
                "optimizer": settings["optimizer"],
                "viaIR": settings.get("viaIR", False),
            },
            "abi": built["abi"],
            "bytecode": built["bytecode"]["object"],
            "deployed_bytecode": built["deployedBytecode"]["object"],
            # Where a deployed contract differs from the line above: [start, length] in bytes.
            "immutable_spans": _spans(built["deployedBytecode"].get("immutableReferences", {})),
            "method_identifiers": built["methodIdentifiers"],
        }
        yield path.name, _json(artifact) + "\n"


def _json(artifact: dict[str, Any]) -> str:
    """One line for each key: an artifact is read by programs, and compared by people."""
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in artifact.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _spans(references: dict[str, list[dict[str, int]]]) -> list[list[int]]:
    return sorted([one["start"], one["length"]] for many in references.values() for one in many)


def _forge(*words: str, more: dict[str, str] | None = None) -> int:
    """Run forge in this folder, with its packages beside it."""
    packages = toolchain.npm_folder(toolchain.EVM_PACKAGES) / "node_modules"
    link = HERE / "node_modules"
    if link.resolve() != packages.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(packages)
    command = [str(toolchain.foundry("forge")), *words]
    env = toolchain.environment() | (more or {})
    return subprocess.run(command, cwd=HERE, env=env, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
