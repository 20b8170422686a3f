from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aisa.channel.payer import Limits
from aisa.errors import BudgetExceeded, ConfigInvalid, ExtraMissing, InvalidAmount
from aisa.identity import SigningKey, write_key_file
from aisa.money import AIUSD, BTC, EUR, Amount
from aisa.sdk import UNLIMITED, Budget
from aisa.sdk.discovery import find_nodes
from aisa.sdk.home import AgentConfig, aisa_home, ensure_agent_seed, read_config
from aisa.sdk.purse import Settings
from aisa.sdk.x402_asset import tighten


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    seed = ensure_agent_seed(home, {})
    assert len(seed) == 32
    assert ensure_agent_seed(home, {}) == seed
    assert (home / "agent.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["agent.key"]


def test_a_key_under_a_passphrase_is_read_with_it(tmp_path: Path) -> None:
    seed = bytes([3]) * 32
    write_key_file(tmp_path / "agent.key", seed, SigningKey(seed).public_key, "secret")
    with pytest.raises(ConfigInvalid, match="AISA_PASSPHRASE_FILE"):
        ensure_agent_seed(tmp_path, {})
    (tmp_path / "pass").write_text("secret\n")
    environ = {"AISA_PASSPHRASE_FILE": str(tmp_path / "pass")}
    assert ensure_agent_seed(tmp_path, environ) == seed
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        ensure_agent_seed(tmp_path, {"AISA_PASSPHRASE_FILE": str(tmp_path / "none")})


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.key").write_text("abc")
    with pytest.raises(ConfigInvalid, match="not an agent's key"):
        ensure_agent_seed(tmp_path, {})


def test_home_is_aisa_home(tmp_path: Path) -> None:
    assert aisa_home({"AISA_HOME": str(tmp_path)}) == tmp_path
    assert aisa_home({}) == Path.home() / ".aisa"


def test_settings_are_read_from_config_toml(tmp_path: Path) -> None:
    assert read_config(tmp_path) == AgentConfig()
    (tmp_path / "config.toml").write_text(
        '[agent]\nnode = "http://one"\nnodes = ["http://two"]\ndeposit_max = "2 aiUSD"\n'
        '[agent.budget]\nper_day = "1 aiUSD"\nper_call = "none"\n'
    )
    config = read_config(tmp_path)
    assert config.nodes == ("http://one", "http://two")
    assert config.deposit_max == Amount(2_000_000, AIUSD)
    assert config.budget == Budget(per_call=None, per_day="1 aiUSD")


@pytest.mark.parametrize(
    "text",
    [
        "[agent",
        "agent = 1",
        "[agent]\nnode = 1",
        "[agent]\nnodes = 1",
        "[agent]\ndeposit_max = 1",
        "[agent]\nbudget = 1",
        '[agent.budget]\nper_week = "1 aiUSD"',
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=r"config\.toml"):
        read_config(tmp_path)


def test_budgets_are_amounts_in_a_currency() -> None:
    limits = Budget("0.1 aiUSD", "1 aiUSD", None).limits("aiUSD")
    assert (limits.per_call, limits.per_seller, limits.per_day) == (100_000, 1_000_000, None)
    assert UNLIMITED.limits("EUR").per_day is None
    with pytest.raises(BudgetExceeded):
        Budget().limits("EUR")
    with pytest.raises(InvalidAmount):
        Budget("lots aiUSD")


def test_defaults_follow_the_currency() -> None:
    settings = Settings()
    assert (settings.deposit_units(AIUSD), settings.step_units(AIUSD)) == (1_000_000, 50_000)
    assert settings.deposit_units(EUR) == 1_000_000
    assert settings.deposit_units(BTC) == 1_000_000
    own = Settings(deposit_max=Amount(5, AIUSD), ceiling_step=Amount(7, AIUSD))
    assert (own.deposit_units(AIUSD), own.step_units(AIUSD), own.step_units(EUR)) == (5, 7, 50_000)
    with pytest.raises(BudgetExceeded):
        own.deposit_units(EUR)


def test_nodes_are_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "devnet" / "devnet.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"node": "http://127.0.0.1:3"}))
    config = AgentConfig(("http://127.0.0.1:2",))
    named = {"AISA_NODE": "http://127.0.0.1:1, http://127.0.0.1:4/"}
    assert find_nodes(tmp_path, config, named) == ("http://127.0.0.1:1", "http://127.0.0.1:4")
    assert find_nodes(tmp_path, config, {}) == ("http://127.0.0.1:2",)
    assert find_nodes(tmp_path, AgentConfig(), {}) == ("http://127.0.0.1:3",)
    with pytest.raises(ConfigInvalid):
        find_nodes(tmp_path, config, {"AISA_NODE": "ftp://x"})

    started: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        started.append((command, options["env"]["AISA_HOME"]))
        return SimpleNamespace(returncode=0, stdout=b'noise\n{"url":"http://127.0.0.1:5"}\n')

    monkeypatch.setattr(subprocess, "run", run)
    for text in ("[]", "{", "{}"):
        file.write_text(text)
        assert find_nodes(tmp_path, AgentConfig(), {}) == ("http://127.0.0.1:5",)
    command, home = started[0]
    assert command[1:] == ["-m", "aisa", "node", "up", "--background", "--json"]
    assert home == str(tmp_path)


@pytest.mark.parametrize(
    ("done", "error"),
    [
        (SimpleNamespace(returncode=1, stderr=b"/x: No module named click"), ExtraMissing),
        (SimpleNamespace(returncode=1, stderr=b"Traceback\nBoom"), ConfigInvalid),
        (SimpleNamespace(returncode=2, stderr=b""), ConfigInvalid),
        (SimpleNamespace(returncode=0, stdout=b""), ConfigInvalid),
        (SimpleNamespace(returncode=0, stdout=b"{}"), ConfigInvalid),
        (OSError("no"), ConfigInvalid),
    ],
)
def test_a_node_that_cannot_be_started_names_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: Any, error: type[Exception]
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(error) as caught:
        find_nodes(tmp_path, AgentConfig(), {})
    assert "AISA_NODE" in caught.value.hint


def test_importing_the_sdk_loads_no_server_no_ledger_no_rail() -> None:
    code = (
        "import sys, aisa.sdk\n"
        "from aisa.sdk import Agent, AsyncAgent, PaymentTransport, AsyncPaymentTransport\n"
        "print('\\n'.join(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    rooms = {
        "aisa.ledger", "aisa.settlement", "aisa.payment", "aisa.paywall", "aisa.node",
        "aisa.devnet", "aisa.cli", "aisa.demo", "aisa.channel.sqlite", "httpx",
        "fastapi", "starlette", "uvicorn", "click", "rich", "solders",
    }  # fmt: skip
    assert not rooms & set(loaded)
    assert "aisa.channel.wallet_sqlite.wallet" in loaded


def test_the_package_alone_loads_no_http_library() -> None:
    code = "import sys, aisa.sdk; aisa.sdk.Budget; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert not {"aiohttp", "httpx2"} & set(loaded)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[agent]\ndeposit_mx = '1 aiUSD'", "deposit_mx"),
        ("[agent.budget]\nper_dya = 'x'", "per_dya"),
    ],
)
def test_a_limit_with_a_slip_in_its_name_is_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=f"has no setting '{named}'") as caught:
        read_config(tmp_path)
    assert "one of" in caught.value.hint


X402 = """
[[agent.x402.asset]]
asset = "eip155:1/erc20:0x3636363636363636363636363636363636363636"
currency = "USDC"
scale = 6
name = "USD Coin"
version = "2"
per_call = "0.01 USDC"
per_day = "none"
"""


def test_tokens_of_x402_sellers_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(X402)
    (asset,) = read_config(tmp_path).x402
    assert (asset.network, asset.symbol, asset.rpc_url) == ("eip155:1", "USDC", "")
    assert asset.limits == Limits(per_call=10_000)
    assert (asset.domain.name, asset.domain.chain_id) == ("USD Coin", 1)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("per_call", ""),
        ("per_day", 'per_dya = "1 USDC"'),
        ("per_call", 'per_call = "1 aiUSD"'),
        ("scale", 'scale = "6"'),
        ("scale", "scale = -1"),
        ("name", ""),
        ("name", 'method = "other"'),
        ("currency", 'currency = "DOGE"'),
        ("asset", 'asset = "0x3636363636363636363636363636363636363636"'),
    ],
)
def test_a_slip_in_a_token_is_refused(tmp_path: Path, line: str, other: str) -> None:
    lines = [other if text.startswith(f"{line} ") else text for text in X402.splitlines()]
    (tmp_path / "config.toml").write_text("\n".join(lines))
    with pytest.raises(ConfigInvalid, match=r"\[agent\.x402\]"):
        read_config(tmp_path)


def test_permit2_needs_no_domain(tmp_path: Path) -> None:
    text = X402.replace('name = "USD Coin"', 'method = "permit2"').replace('version = "2"', "")
    (tmp_path / "config.toml").write_text(text)
    (asset,) = read_config(tmp_path).x402
    assert (asset.method, asset.name) == ("permit2", "")


def test_a_token_stands_there_once(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(X402 + X402)
    with pytest.raises(ConfigInvalid, match="twice"):
        read_config(tmp_path)


def test_the_lower_limit_of_token_and_budget_holds() -> None:
    token = Limits(per_call=10, per_day=1000)
    budget = Budget("0.00002 USDC", None, "0.0005 USDC")
    assert tighten(token, budget, "USDC") == Limits(per_call=10, per_day=500)
    assert tighten(token, Budget(), "USDC") == token
