"""Every example and the README's lines run as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aisa.cli.service import read_service
from aisa.demo.port import free_ports
from aisa.demo.process import Family
from aisa.devnet.toolchain import node

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(400)]


def aisa(home: Path, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "aisa", *words, "--home", str(home), "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    base = str(max(1024, free_ports(1)[0] - 1))
    up = aisa(home, "devnet", "up", "--seller", "--background", "--port-base", base)
    try:
        yield {**up, "home": home}
    finally:
        aisa(home, "devnet", "down")


def python(home: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "AISA_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def five_lines(page: Path, seller: str) -> str:
    """The Python block of a page that pays for a call, with this run's seller."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [one for one in blocks if "Agent()" in one]
    assert len([line for line in block.splitlines() if line.strip()]) <= 5
    assert "http://127.0.0.1:8402/rates/" in block
    return block.replace("http://127.0.0.1:8402", seller)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/first-paid-call.md"])
def test_the_five_lines_pay_for_a_call(devnet: dict[str, Any], page: str) -> None:
    out = python(devnet["home"], "-c", five_lines(ROOT / page, devnet["seller"]))
    assert '"rate":"1.0889"' in out
    assert "0.0001" in out or "settled" in out.lower()


@pytest.mark.parametrize("page", ["docs/how-to/pay-for-calls.md", "docs/how-to/budgets.md"])
def test_the_guides_lines_run(devnet: dict[str, Any], page: str) -> None:
    """All blocks of a page, one after the other; paths that this seller lacks are answered 404."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    code = "\n".join(blocks).replace("https://api.example", devnet["seller"])
    url = f"{devnet['seller']}/rates/USD/2025-03-14"
    if "async def main" in code:
        code += f"\nasyncio.run(main(['{url}'] * 40))\n"
    out = python(devnet["home"], "-c", code)
    if "async def main" in code:
        assert out.count('"rate":"1.0889"') == 40
        assert "0.0001 aiUSD" in out
        assert "closed 0.0" in out


def test_an_invoice_is_converted(devnet: dict[str, Any]) -> None:
    out = python(devnet["home"], str(EXAMPLES / "convert_invoice.py"), devnet["seller"])
    assert "1250.00 CHF are 1337.61 EUR" in out or "EUR at 0.9" in out
    assert "paid 0.0001 aiUSD for 1 call" in out


def test_a_month_of_rates_is_paid_at_once(devnet: dict[str, Any]) -> None:
    out = python(devnet["home"], str(EXAMPLES / "many_calls.py"), devnet["seller"])
    assert "31 rates" in out
    assert "paid 0.0031 aiUSD" in out


@pytest.mark.parametrize(
    ("page", "path", "price", "earned"),
    # The node's fee is a thousandth, rounded down to whole units.
    [
        ("README.md", "/rate", "100", "100"),
        ("docs/tutorials/first-paid-call.md", "/joke", "2000", "1998"),
    ],
)
def test_the_sellers_lines_are_paid(
    devnet: dict[str, Any], tmp_path: Path, page: str, path: str, price: str, earned: str
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = [
        one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "paid(" in one
    ]
    assert f"aisa pay http://127.0.0.1:8402{path}\n" in text
    (tmp_path / "shop.py").write_text(block)
    home = tmp_path / "home"
    words = [sys.executable, "-m", "aisa", "seller", "up", "shop:app", "--port", "0"]
    words += ["--home", str(home), "--node", devnet["node"]]
    with Family(tmp_path / "log") as family:
        child = family.start("seller", words, {**os.environ, "PYTHONPATH": str(tmp_path)})
        file = home / "seller" / "seller.json"
        child.wait_until(file.exists, 100)
        service = read_service(file)
        assert service is not None
        paid = aisa(devnet["home"], "pay", f"{service.url}{path}")
        assert paid["payment"]["charged"]["units"] == price
        assert aisa(home, "seller", "redeem")["units"] == earned


def test_a_seller_of_ones_own_is_put_behind_the_paywall(
    devnet: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    home = tmp_path / "other-seller"
    words = ["-m", "aisa", "seller", "up", "examples.weather_seller:app", "--port", "0"]
    with Family(tmp_path / "log") as family:
        child = family.start(
            "seller",
            [sys.executable, *words, "--home", str(home), "--node", devnet["node"]],
            os.environ,
        )
        file = home / "seller" / "seller.json"
        child.wait_until(file.exists, 100)
        service = read_service(file)
        assert service is not None
        assert httpx2.get(f"{service.url}/forecast/Oslo", trust_env=False).status_code == 402
        assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 200
        paid = aisa(devnet["home"], "pay", f"{service.url}/forecast/Oslo")
        assert paid["body"]["city"] == "Oslo"
        assert paid["payment"]["charged"]["units"] == "100"

        second = subprocess.run(
            [sys.executable, *words, "--home", str(home), "--node", devnet["node"], "--json"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert second.returncode == 7
        assert json.loads(second.stderr)["slug"] == "file-owned"

        refused = httpx2.post(
            f"{service.url}/aisa/control/redeem",
            headers={"Authorization": "Bearer guess"},
            trust_env=False,
        )
        assert refused.status_code == 403
        assert aisa(home, "seller", "redeem")["units"] == "100"
    # Stopped, it can still be asked: the file is nobody's now.
    assert not file.exists()
    assert aisa(home, "seller", "status")["running"] is False


def test_an_api_in_another_language_is_sold_by_the_proxy(
    devnet: dict[str, Any], tmp_path: Path
) -> None:
    """The page's server runs under Node, and its commands are the page's own."""
    page = (ROOT / "docs" / "how-to" / "sell-from-any-language.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    line = next(one for one in page.splitlines() if one.startswith("aisa proxy "))
    (tmp_path / "quotes.mjs").write_text(block)
    api_port, home = free_ports(1)[0], tmp_path / "home"
    upstream = f"http://127.0.0.1:{api_port}"
    words = shlex.split(line.replace("http://127.0.0.1:3000", upstream))[1:]
    words = [sys.executable, "-m", "aisa", *words, "--port", "0", "--home", str(home)]
    with Family(tmp_path / "log") as family:
        environ = {**os.environ, "PORT": str(api_port)}
        api = family.start("api", [str(node()), str(tmp_path / "quotes.mjs")], environ)
        api.wait_until(lambda: answers(upstream), 60)
        proxy = family.start("proxy", [*words, "--node", devnet["node"]], os.environ)
        file = home / "seller" / "seller.json"
        proxy.wait_until(file.exists, 100)
        service = read_service(file)
        assert service is not None
        assert httpx2.get(f"{service.url}/quotes/today", trust_env=False).status_code == 402
        free = httpx2.get(f"{service.url}/health", trust_env=False)
        assert free.json() == {"path": "/health", "paidBy": None}
        paid = aisa(devnet["home"], "pay", f"{service.url}/quotes/today?a=1")
        assert paid["body"]["path"] == "/quotes/today?a=1"
        assert re.fullmatch("[0-9a-f]{64}", paid["body"]["paidBy"])
        assert paid["payment"]["charged"]["units"] == "100"
        assert aisa(home, "seller", "redeem")["units"] == "100"


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def test_play_money_is_a_world_of_its_own(tmp_path: Path) -> None:
    """`--test` needs no node: it starts one, in a home of its own, and takes its money only."""
    home, playing = tmp_path / "home", tmp_path / "home" / "test"
    words = ["-m", "aisa", "seller", "up", "examples.weather_seller:app", "--test", "--port", "0"]
    with Family(tmp_path / "log") as family:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = family.start("seller", [sys.executable, *words, "--home", str(home)], environ)
        file = playing / "seller" / "seller.json"
        try:
            child.wait_until(file.exists, 150)
            service = read_service(file)
            assert service is not None
            assert not (home / "seller").exists()
            assert not (home / "agent.key").exists()
            paid = aisa(playing, "pay", f"{service.url}/forecast/Oslo")
            assert paid["payment"]["charged"]["units"] == "100"
        finally:
            aisa(playing, "devnet", "down")
