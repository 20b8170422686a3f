"""Code that the documentation shows: it compiles, its names exist, its commands are commands."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from aisa.cli.application import application
from aisa.sdk import Agent

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if "decisions" not in path.parts
]
Snippet = tuple[Path, int, str]


def snippets(*languages: str) -> list[Snippet]:
    """Every fenced block in one of the languages: its page, its line and its text."""
    found: list[Snippet] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
            if match[2] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append((page, line, textwrap.dedent(match[3])))
    return found


def commands() -> list[tuple[Path, int, list[str]]]:
    """Every call of `aisa` in a block for the shell or in a line of code: its words."""
    found = [
        (page, line, text.removeprefix("$ ").strip())
        for page, line, block in snippets("sh", "console")
        for text in block.splitlines()
    ]
    for page in PAGES:
        for line, text in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            found += [(page, line, words) for words in re.findall(r"`(aisa [^`]+)`", text)]
    return [
        (page, line, words[1:])
        for page, line, text in found
        if (words := shlex.split(text.replace("…", ""), comments=True))
        and words[0].rpartition("/")[2] == "aisa"
        and words[1:]
        and page.name != "cli.md"  # written from the commands themselves
    ]


def name_of(value: object) -> str | None:
    if isinstance(value, Path):
        return value.relative_to(ROOT).as_posix()
    return str(value) if isinstance(value, int) else ""


def members(tree: ast.AST) -> set[str]:
    """Attributes of the name `agent`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "agent"
    }


def test_there_is_something_to_test() -> None:
    assert len(snippets("python")) >= 15
    assert len(commands()) >= 20


@pytest.mark.parametrize(("page", "line", "code"), snippets("python"), ids=name_of)
def test_python_compiles_and_its_names_exist(page: Path, line: int, code: str) -> None:
    tree = ast.parse(code, filename=f"{page.name}:{line}")
    imported: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aisa"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                imported[alias.asname or alias.name] = getattr(module, alias.name)
    for name in members(tree):
        assert hasattr(Agent, name), f"an agent has no {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            known = imported.get(node.func.id)
            if known is not None:
                given = {keyword.arg for keyword in node.keywords if keyword.arg}
                assert given <= set(inspect.signature(known).parameters), node.func.id


@pytest.mark.parametrize(("page", "line", "text"), snippets("toml"), ids=name_of)
def test_toml_is_toml(page: Path, line: int, text: str) -> None:
    assert tomllib.loads(text), f"{page.name}:{line}"


@pytest.mark.parametrize(("page", "line", "words"), commands(), ids=name_of)
def test_a_command_is_a_command(page: Path, line: int, words: list[str]) -> None:
    where = f"{page.name}:{line}: aisa {' '.join(words)}"
    found: click.Command | None = application
    context = click.Context(application)
    rest = list(words)
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        noun = rest.pop(0)
        if not re.fullmatch(r"[a-z]+", noun):
            return  # a placeholder, such as NOUN VERB
        found = found.get_command(context, noun)
        assert found is not None, where
    assert found is not None
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)}
    options = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert options <= known | {"--help", "-h", "-"}, where
