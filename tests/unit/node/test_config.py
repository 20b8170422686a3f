"""The configuration: what it says, what it refuses, and that the page lists all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aisa.errors import AisaError, ConfigInvalid
from aisa.money import AIUSD
from aisa.node.config import (
    CURRENCY_SETTINGS,
    NODE_SETTINGS,
    RAIL_SETTINGS,
    TOKEN_SETTINGS,
    load_config,
    parse_config,
)
from aisa.node.initialise import DevnetMint, devnet_config, init_node
from aisa.node.key import open_seed, read_passphrase_file
from tests.unit.node.house import CONFIG

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "config.md"
MINIMAL = '[[currency]]\ncode = "aiUSD"\n'


def test_a_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    config = parse_config(MINIMAL, {}, tmp_path)
    assert (config.host, config.port, config.state) == ("127.0.0.1", 8401, tmp_path)
    assert config.ledger_path == tmp_path / "ledger.sqlite"
    (terms,) = config.currencies
    assert (terms.currency, terms.account_cap_units) == (AIUSD, 1_000_000_000)
    assert config.rails == ()


def test_the_environment_wins(tmp_path: Path) -> None:
    environ = {
        "AISA_NODE_PORT": "9000",
        "AISA_NODE_PUBLIC_URLS": "https://Node.example:443,http://node.example",
        "AISA_NODE_STATE": "elsewhere",
        "AISA_NODE_PASSPHRASE_FILE": "/run/secret",
    }
    config = parse_config(MINIMAL, environ, tmp_path)
    assert config.port == 9000
    assert config.public_urls == ("https://node.example", "http://node.example")
    assert config.state == tmp_path / "elsewhere"
    assert config.passphrase_file == Path("/run/secret")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("port = 70000\n", "port"),
        ('port = "x"\n', "port"),
        ("prot = 1\n", "did you mean port"),
        ("closing_s = 0\n", "closing_s"),
        ('public_urls = ["node.test"]\n', "public_urls"),
        ("labels = 1\n", "labels"),
        ("currency = 1\n", "currency"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: str, named: str) -> None:
    raw = change + ("" if change.startswith("currency") else MINIMAL)
    with pytest.raises(ConfigInvalid, match=named):
        parse_config(raw, {}, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('account_cap = "1000"', "account_cap = 1000", "account_cap"),
        ('account_cap = "1000"', 'account_cap = "1e3"', "account_cap"),
        ('account_cap = "1000"', 'account_cap = "0.0000001"', "account_cap"),
        ("channel_fee_ppm = 1000", "channel_fee_ppm = 1000001", "channel_fee_ppm"),
        ('code = "aiUSD"', 'code = "XYZ"', "XYZ"),
        ('kind = "memory"', 'kind = "paper"', "kind"),
        ('kind = "memory"', 'kind = "solana"', "rpc_urls"),
        ('currency = "aiUSD"', 'currency = "EUR"', "EUR"),
        ("scale = 6", "", "scale is missing"),
        ("[[rail.token]]", "[[rail.coin]]", "coin"),
        ("asset = ", "assets = ", "did you mean asset"),
        ("aisa:memory/token:aiusd", "aisa:other/token:aiusd", "network"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in CONFIG
    with pytest.raises(AisaError, match=named):
        parse_config(CONFIG.replace(old, new), {}, tmp_path)


EVM = """
[[currency]]
code = "aiUSD"

[[rail]]
kind = "evm"
network = "eip155:1"
rpc_urls = ["http://127.0.0.1:1"]
# here

[[rail.token]]
symbol = "aiUSD"
issuer = "test"
asset = "eip155:1/erc20:0xabababababababababababababababababababab"
scale = 6
currency = "aiUSD"
"""
ADDRESS, HASH = "0x" + "ab" * 20, "0x" + "cd" * 32


def test_a_rail_has_the_escrow_that_is_named(tmp_path: Path) -> None:
    assert parse_config(EVM, {}, tmp_path).rails[0].escrow is None
    lines = f'escrow = "{ADDRESS}"\nescrow_permit2 = "{ADDRESS}"\nescrow_code_hash = "{HASH}"'
    (rail,) = parse_config(EVM.replace("# here", lines), {}, tmp_path).rails
    address = b"\xab" * 20
    assert (rail.escrow, rail.escrow_eip3009, rail.escrow_permit2) == (address, None, address)
    assert rail.escrow_code_hash == b"\xcd" * 32


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ('escrow = "0x1234"', "escrow"),
        ("escrow = 5", "escrow"),
        (f'escrow_permit2 = "{ADDRESS}"', "escrow_permit2 has no escrow"),
        (f'escrow = "{ADDRESS}"\nescrow_code_hash = "{ADDRESS}"', "escrow_code_hash"),
    ],
)
def test_a_wrong_escrow_is_named(tmp_path: Path, lines: str, named: str) -> None:
    with pytest.raises(ConfigInvalid, match=named):
        parse_config(EVM.replace("# here", lines), {}, tmp_path)
    other = CONFIG.replace('kind = "memory"', f'kind = "memory"\nescrow = "{ADDRESS}"')
    with pytest.raises(ConfigInvalid, match="no escrow to be for"):
        parse_config(other, {}, tmp_path)


def test_a_node_keeps_a_currency(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="currency"):
        parse_config("", {}, tmp_path)


def test_a_missing_or_broken_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no configuration"):
        load_config(tmp_path / "node.toml", {})
    (tmp_path / "node.toml").write_text("port = ")
    with pytest.raises(ConfigInvalid, match="TOML"):
        load_config(tmp_path / "node.toml", {})


def test_a_devnet_node_opens_with_its_own_passphrase(tmp_path: Path) -> None:
    text = devnet_config(
        label="SVM in process",
        rpc_url="http://127.0.0.1:8899",
        network="solana:dev",
        issuer="issuer",
        mints=[
            DevnetMint("aiUSD", "solana:dev/token:A", 6),
            DevnetMint("test-USDC", "solana:dev/token:B", 6),
        ],
    )
    made = init_node(tmp_path / "node", config=text)
    config = load_config(made.config_path, {"AISA_NODE_SOLANA": "http://127.0.0.1:1"})
    assert config.rails[0].rpc_urls == ("http://127.0.0.1:1",)
    assert [peg.token.symbol for peg in config.rails[0].pegs] == ["aiUSD", "test-USDC"]
    assert config.labels == ("SVM in process",)
    assert len(open_seed(config, None)) == 32
    assert made.passphrase_path is not None
    assert made.passphrase_path.stat().st_mode & 0o777 == 0o600
    assert made.key_path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AisaError, match="exists"):
        init_node(tmp_path / "node", config=text)


def test_a_passphrase_may_be_asked_for(tmp_path: Path) -> None:
    made = init_node(tmp_path / "node", passphrase="correct horse")
    assert made.passphrase_path is None
    config = load_config(made.config_path, {})
    assert len(open_seed(config, lambda _: "correct horse")) == 32
    with pytest.raises(ConfigInvalid, match="passphrase"):
        open_seed(config, lambda _: "wrong")
    with pytest.raises(ConfigInvalid, match="passphrase"):
        open_seed(config, None)


def test_a_passphrase_file_is_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(ConfigInvalid, match="no passphrase file"):
        read_passphrase_file(path)
    path.write_text("word\n")
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="others can read"):
        read_passphrase_file(path)
    path.chmod(0o600)
    assert read_passphrase_file(path) == "word"
    path.write_text("\n")
    with pytest.raises(ConfigInvalid, match="empty"):
        read_passphrase_file(path)


def test_the_page_lists_every_setting_and_no_other() -> None:
    page = PAGE.read_text()
    known = {
        setting.name
        for settings in (NODE_SETTINGS, CURRENCY_SETTINGS, RAIL_SETTINGS, TOKEN_SETTINGS)
        for setting in settings
    }
    listed = set(re.findall(r"^\| `([a-z0-9_]+)` \|", page, re.MULTILINE))
    assert listed == known
    for settings in (NODE_SETTINGS, CURRENCY_SETTINGS, RAIL_SETTINGS, TOKEN_SETTINGS):
        for setting in settings:
            assert setting.meaning in page, setting.name
