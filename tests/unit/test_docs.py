"""What the documentation claims to list, it lists completely."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))
PAGES = [*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    lost = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists()
    ]
    assert not lost


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_tells_its_price(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    places = [
        text.find(f"**{part}.**")
        for part in ("Context", "Choice", "Price paid", "What would change our mind")
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_every_library_has_its_reason() -> None:
    project = PROJECT["project"]
    groups = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    names = {
        re.split(r"[\[=<>;]", line)[0]
        for group in groups
        for line in group
        if isinstance(line, str)
    } - {"aisa-node"}
    table = (DOCS / "decisions" / "0006-libraries.md").read_text(encoding="utf-8")
    listed = {
        name.strip()
        for row in re.findall(r"^\| ([a-z][^|]+) \|", table, flags=re.MULTILINE)
        for name in re.sub(r"\(.*?\)", "", row).split(",")
    }
    assert not names - listed


def test_every_pin_is_exact() -> None:
    project = PROJECT["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    pins = [*project["dependencies"], *extras]
    loose = [pin for pin in pins if "==" not in pin and not pin.startswith("aisa-node[")]
    assert not loose


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert targets
    page = (DOCS / "reference" / "make.md").read_text(encoding="utf-8")
    assert [target for target in targets if f"`make {target}`" not in page] == []


def test_every_room_is_explained() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "src" / "aisa").glob("*/__init__.py")}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", page)} == set()
