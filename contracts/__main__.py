"""`python -m contracts build|check|test`: forge over the contracts, with the pinned tools.

`build` writes the artifacts that the node ships, `check` compares them with a fresh build, `test`
runs the contracts' tests and compares the gas of calls with `contracts/gas/` (`--update` writes it
anew). More words go to forge as they are: `python -m contracts test --match-contract HashLock -vvv`.
`forge` runs any other of its commands: `python -m contracts forge fmt`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aisa.devnet import toolchain

HERE = Path(__file__).parent
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
    fresh = _fresh()
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
    return 1 if stale else 0


def _test(rest: list[str]) -> int:
    update = "--update" in rest
    gas = {
        "FORGE_SNAPSHOT_CHECK": str(not update).lower(),
        "FORGE_SNAPSHOT_EMIT": str(update).lower(),
    }
    return _forge("test", *(word for word in rest if word != "--update"), more=gas)


def _fresh() -> dict[str, str]:
    """File name → text of the artifact of every contract that can be deployed."""
    with tempfile.TemporaryDirectory(prefix="aisa-contracts-") as folder:
        made: dict[str, str] = {}
        for source in sorted((HERE / "src").rglob("*.sol")):
            # One source at a time: what one contract becomes never depends on what stands beside it.
            out = Path(folder) / source.stem
            where = ["--out", str(out), "--cache-path", str(out / "cache")]
            code = _forge("build", str(source.relative_to(HERE)), "--force", "--silent", *where)
            if code:
                raise SystemExit(code)
            made |= dict(_artifacts(out / source.name, source))
        return made


def _artifacts(folder: Path, source: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.json")):
        built: dict[str, Any] = json.loads(path.read_text())
        if built["bytecode"]["object"] in {"", "0x"}:
            continue  # an interface, a library of internal functions, or abstract
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
            "immutable_references": built["deployedBytecode"].get("immutableReferences", {}),
            "method_identifiers": built["methodIdentifiers"],
        }
        yield path.name, json.dumps(artifact, indent=1, sort_keys=False) + "\n"


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
