"""The code's own tidiness, so that taste does not depend on mood."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "aisa"
MODULES = sorted(PACKAGE.rglob("*.py"))
PYTHON = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "examples", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
NOT_OURS = {
    ".venv-peers",
    *(".git", ".venv", "build", "dist", "node_modules", "__pycache__", "_build", ".coverage"),
    *(".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache", ".idea", ".vscode"),
}
TEXT = {
    *(".py", ".md", ".toml", ".txt", ".in", ".json", ".yaml", ".yml", ".sh", ".sql", ".cfg"),
    *(".html", ".css", ".js", ".sol", ".c", ".h", ".go", ""),
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "core", "misc"}
INNER_ROOMS = (
    *("money", "protocol", "identity", "channel", "client"),
    *("ledger", "settlement", "payment"),
)
# Written in two halves, so that this file does not contain what it forbids.
HOSTS = [
    "".join(halves)
    for halves in (
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("npm", "js.org"),
        ("npm", "js.com"),
        ("yarn", "pkg.com"),
        ("crates", ".io"),
        ("proxy.go", "lang.org"),
        ("sum.go", "lang.org"),
        ("ruby", "gems.org"),
        ("gh", "cr.io"),
        ("docker", ".io"),
        ("anaconda", ".org"),
    )
]
MACHINE_PATHS = re.compile(
    "|".join(["/wo" + "rk/", "/ro" + "ot/", "/op" + "t/wheels", "/User" + "s/"])
)
BANNER = re.compile(r"^\s*#+\s*[-=#*~]{3,}")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def our_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for name in files:
            path = Path(folder, name)
            if path.suffix in TEXT and not name.startswith(".coverage"):
                yield path


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_no_module_is_longer_than_600_lines() -> None:
    long = {name_of(p): n for p in PYTHON if (n := len(p.read_text().splitlines())) > 600}
    assert not long


def test_no_function_is_longer_than_70_lines() -> None:
    long = {
        f"{name_of(path)}:{node.name}": length
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > 70
    }
    assert not long


def test_names_say_what_a_thing_is() -> None:
    vague_files = [name_of(p) for p in PYTHON if VAGUE & {*p.relative_to(ROOT).parts, p.stem}]
    assert not vague_files
    vague_classes = [
        f"{name_of(path)}:{node.name}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        and re.search("(Manager|Helpers?|Utils?|Misc)$", node.name)
    ]
    assert not vague_classes


def test_no_banner_no_todo() -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in [*PYTHON, ROOT / "pyproject.toml", ROOT / "Makefile"]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNER.match(line) or re.search(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", line)
    ]
    assert not found


def test_nothing_names_a_registry_or_this_machine() -> None:
    found: list[str] = []
    for path in our_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name_of(path)}: {host}" for host in HOSTS if host in text]
        found += [f"{name_of(path)}: {hit}" for hit in MACHINE_PATHS.findall(text)]
    assert not found


def test_every_init_only_reexports() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in PACKAGE.rglob("__init__.py")
        for node in tree_of(path).body
        if not _reexports(node)
    ]
    assert not found


def _reexports(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.startswith("__")
        case ast.FunctionDef(name="__getattr__"):  # a lazy re-export of an optional part
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def test_all_names_what_an_init_reexports() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = tree_of(path)
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module != "__future__"
            for alias in node.names
        } - {"TYPE_CHECKING", "Any"}
        listed: set[str] = set()
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple()):
                    listed = set(ast.literal_eval(node.value))
                case _:
                    pass
        public = {name for name in imported if not name.startswith("_")}
        assert public <= listed, f"{name_of(path)}: not in __all__: {sorted(public - listed)}"


def test_inner_rooms_read_no_clock_and_no_chance() -> None:
    pattern = re.compile(r"\btime\.time(_ns)?\b|\bdatetime\.(utc)?now\b|^\s*(import|from) random\b")
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for room in INNER_ROOMS
        for path in (PACKAGE / room).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and "noqa: TID251 - " not in line
    ]
    assert not found


def test_no_module_is_dead() -> None:
    reached: set[str] = set()
    for path in PYTHON:
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Import(names=names):
                    reached |= {alias.name for alias in names}
                case ast.ImportFrom(module=str(module), names=names):
                    reached |= {module, *(f"{module}.{alias.name}" for alias in names)}
                case ast.Constant(value=str(text)) if text.startswith("aisa."):
                    reached.add(text.partition(":")[0])  # imported late, by name
                case _:
                    pass
    dead = [
        name_of(path)
        for path in MODULES
        if path.stem not in {"__init__", "__main__"}
        and ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) not in reached
    ]
    assert not dead


# One sentence of the architecture, and a line that breaks it.
PLANTED = [
    ("ledger/planted.py", "import aisa.payment", "A room uses only rooms below it"),
    ("ledger/planted.py", "import aisa.settlement", "A room uses only rooms below it"),
    ("payment/planted.py", "import aisa.settlement.memory", "Only the node's assembly names rails"),
    (
        "settlement/memory/planted.py",
        "import aisa.settlement.solana",
        "Rails do not know each other",
    ),
    ("sdk/planted.py", "import fastapi", "The SDK installs thin"),
    ("paywall/planted.py", "import aisa.ledger", "The paywall installs thin"),
    ("protocol/planted.py", "import socket", "Errors, money, protocol and channel do no I/O"),
    ("devnet/planted.py", "import aisa.money", "The devnet knows errors and failpoints only"),
    ("node/planted.py", "import aisa.devnet", "Only cli and demo start the devnet"),
    ("unlisted/__init__.py", "", "A room uses only rooms below it"),
]


def lint_imports(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-logo", "--cache-dir", str(cache)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_rooms_keep_their_directions(tmp_path: Path) -> None:
    result = lint_imports(ROOT, tmp_path / "cache")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def copied_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", house)
    shutil.copytree(PACKAGE, house / "src" / "aisa", ignore=shutil.ignore_patterns("__pycache__"))
    return house


@pytest.mark.parametrize(("where", "line", "contract"), PLANTED)
def test_a_planted_violation_is_caught(
    copied_house: Path, tmp_path: Path, where: str, line: str, contract: str
) -> None:
    planted = copied_house / "src" / "aisa" / where
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f'"""Planted."""\n{line}\n')
    try:
        result = lint_imports(copied_house, tmp_path / "cache")
    finally:
        shutil.rmtree(planted.parent) if where.endswith("__init__.py") else planted.unlink()
    assert result.returncode == 1
    if contract.startswith("A room") and where.endswith("__init__.py"):
        assert "unlisted" in result.stdout + result.stderr
    else:
        # "BROKEN (9 ignored imports)" where the contract ignores some.
        broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
        assert any(row.startswith(contract) for row in broken), result.stdout
