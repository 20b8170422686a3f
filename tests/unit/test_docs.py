"""What the documentation claims to list, it lists completely."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import aisa.sdk
from aisa.cli.seller_folder import NODE_NAMES
from aisa.cli.seller_offers import OFFER_NAMES
from aisa.sdk import Agent, AsyncAgent
from aisa.sdk.home import AGENT_NAMES, BUDGET_NAMES
from aisa.sdk.x402_asset import ASSET_NAMES

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


def test_every_setting_of_agent_and_seller_is_documented() -> None:
    page = (DOCS / "reference" / "home.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    agent = {name for name in AGENT_NAMES if name not in {"budget", "x402"}}
    limits = {f"budget.{name}" for name in BUDGET_NAMES}
    assert listed - {"config.toml"} == {*agent, *limits, *ASSET_NAMES, *NODE_NAMES, *OFFER_NAMES}


def test_every_variable_of_the_environment_is_documented() -> None:
    page = (DOCS / "reference" / "home.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(AISA_[A-Z_]+)` \|", page, re.MULTILINE))
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r"\bAISA_[A-Z]+(?:_[A-Z]+)*\b", source))
    # Those of a node's settings are made from their names, and listed with them.
    assert {name for name in used if not name.startswith("AISA_NODE_")} == {
        name for name in listed if not name.startswith("AISA_NODE_")
    }
    assert "AISA_NODE_SOLANA" in listed


def test_every_name_of_the_sdk_is_documented() -> None:
    page = (DOCS / "reference" / "sdk.md").read_text(encoding="utf-8")
    budgets = (DOCS / "how-to" / "budgets.md").read_text(encoding="utf-8")
    methods = {name for name in dir(Agent) if not name.startswith("_")}
    assert methods == {name for name in dir(AsyncAgent) if not name.startswith("_")}
    missing = {name for name in (*aisa.sdk.__all__, *methods) if f"`{name}" not in page}
    assert {name for name in missing if name not in budgets} == set()
