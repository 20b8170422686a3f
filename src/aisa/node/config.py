"""The node's configuration: one TOML file, overridden by the environment.

`docs/reference/config.md` lists every setting; a test compares the two.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from aisa.client import origin_of
from aisa.errors import ConfigInvalid, MalformedMessage
from aisa.money import Currency, Peg, PegTable, Token, currency_by_code, parse_units
from aisa.node.setting import (
    REQUIRED,
    Setting,
    decimal,
    integer,
    one_of,
    read_table,
    text,
    texts,
    wrong,
)
from aisa.payment.terms import PPM, CurrencyTerms
from aisa.protocol.evm_address import parse_address, parse_bytes_exact

ENVIRONMENT_PREFIX: Final = "AISA_NODE_"
SOLANA_VARIABLE: Final = "AISA_NODE_SOLANA"
"""URLs that replace `rpc_urls` of every Solana rail: a devnet's port differs from run to run."""

EVM_VARIABLE: Final = "AISA_NODE_EVM"
"""`network=URL` pairs with commas between; one network's URLs replace its rail's `rpc_urls`."""

RAIL_KINDS: Final = ("solana", "evm", "memory")


def _url(value: object, name: str) -> str:
    try:
        return origin_of(str(value))
    except ConfigInvalid:
        raise wrong(name, value, "http(s)://host[:port]") from None


def _evm_address(value: object, name: str) -> bytes:
    try:
        return parse_address(str(value))
    except MalformedMessage:
        raise wrong(name, value, "an address, 0x and 40 hexadecimal digits") from None


def _evm_hash(value: object, name: str) -> bytes:
    try:
        return parse_bytes_exact(str(value), name, 32)
    except MalformedMessage:
        raise wrong(name, value, "a hash, 0x and 64 hexadecimal digits") from None


NODE_SETTINGS: Final = (
    Setting("host", text(), "127.0.0.1", "the address to listen on"),
    Setting("port", integer(0, 65535), 8401, "the port to listen on; 0 takes a free one"),
    Setting(
        "public_urls",
        texts(_url),
        (),
        "the URLs under which clients reach the node; they are signed, so name all of them",
    ),
    Setting("state", text(), "", "the folder of ledger and key; relative to this file"),
    Setting(
        "passphrase_file",
        text(),
        "",
        "a file with the key's passphrase, readable by its owner only; without it one is asked for",
    ),
    Setting("labels", texts(text(r"[\x20-\x7e]{1,160}")), (), "words that GET /v1/node shows"),
    Setting("closing_s", integer(1, 10**7), 86_400, "uptime until a closing channel is closed"),
    Setting("solvency_s", integer(1, 3600), 60, "seconds between two solvency checks"),
    Setting("deposit_poll_ms", integer(10, 10**6), 500, "pause between two looks for deposits"),
    Setting("reconcile_ms", integer(10, 10**6), 2_000, "pause between two looks at open sends"),
    Setting(
        "withdrawal_wait_ms",
        integer(0, 60_000),
        5_000,
        "how long a withdrawal's answer waits for its outcome",
    ),
    Setting("drain_s", integer(1, 600), 10, "how long a stop waits for requests in flight"),
    Setting("body_bytes_max", integer(1024, 10**7), 262_144, "the largest request body (413)"),
    Setting("nonces_max", integer(100, 10**7), 200_000, "signatures remembered against replays"),
    Setting(
        "strangers_per_s",
        integer(1, 10**6),
        50,
        "signed requests a second from one address by keys that own nothing here",
    ),
    Setting(
        "facilitator",
        one_of("off", "signed", "open"),
        "signed",
        "who may have x402 payments settled: nobody, signed requests of keys known here, anybody",
    ),
    Setting(
        "facilitations_per_s",
        integer(1, 10**6),
        100,
        "x402 payments a second of one address that are checked or settled",
    ),
    Setting(
        "addresses_per_hour",
        integer(1, 10**6),
        100,
        "new deposit addresses an hour for one peer's keys without money",
    ),
    Setting(
        "addresses_max",
        integer(1, 10**6),
        10_000,
        "deposit addresses that wait for their first deposit",
    ),
)

CURRENCY_SETTINGS: Final = (
    Setting("code", text(r"[A-Za-z][A-Za-z0-9-]{1,15}"), REQUIRED, "the currency's code"),
    Setting("scale", integer(0, 11), None, "digits after the point; only for a code of your own"),
    Setting("channel_fee_ppm", integer(0, PPM), 1_000, "fee on redemptions, in millionths"),
    Setting("deposit_fee_ppm", integer(0, PPM), 0, "fee on deposits, in millionths"),
    Setting("withdrawal_fee_ppm", integer(0, PPM), 0, "fee on withdrawals, in millionths"),
    Setting("account_cap", decimal, "1000", "what deposits may lift an account to"),
)

TOKEN_SETTINGS: Final = (
    Setting("symbol", text(r"[A-Za-z0-9.-]{1,20}"), REQUIRED, "the token's name for people"),
    Setting("issuer", text(), REQUIRED, "who redeems it"),
    Setting("asset", text(), REQUIRED, "its CAIP-19 id"),
    Setting("scale", integer(0, 36), REQUIRED, "its digits after the point on the network"),
    Setting("currency", text(), REQUIRED, "the currency that it redeems for one to one"),
    Setting("exposure", decimal, "1000000", "what the node holds of it at most"),
)

RAIL_SETTINGS: Final = (
    Setting("kind", one_of(*RAIL_KINDS), REQUIRED, "which rail: solana, evm, or memory for tests"),
    Setting("network", text(), REQUIRED, "the network's CAIP-2 name"),
    Setting("rpc_urls", texts(text()), (), "RPC servers (solana, evm)"),
    Setting("finality", one_of("confirmed", "finalized"), "finalized", "what counts (solana)"),
    Setting(
        "confirmations",
        integer(0, 10_000),
        0,
        "blocks that make a block final, itself included; 0 takes the chain's own finality (evm)",
    ),
    Setting(
        "agreeing_min",
        integer(0, 100),
        0,
        "RPC servers that must say the same before it counts; 0 is the majority (evm)",
    ),
    Setting("fee_gwei_max", integer(1, 10**6), 500, "the most that a gas may cost (evm)"),
    Setting("tip_gwei_min", integer(0, 10**6), 0, "the least tip for a gas (evm)"),
    Setting(
        "replace_s", integer(1, 10**5), 60, "a chain tx that waits so long is sent dearer (evm)"
    ),
    Setting(
        "give_up_s", integer(1, 10**7), 21_600, "a chain tx that waits so long is cancelled (evm)"
    ),
    Setting("log_blocks_max", integer(1, 10**6), 1_000, "blocks in one search for deposits (evm)"),
    Setting("coin", integer(0, 2**31 - 1), 60, "the native coin's SLIP-44 number (evm)"),
    Setting("escrow", _evm_address, None, "the contract that holds channels' deposits (evm)"),
    Setting("escrow_eip3009", _evm_address, None, "what takes deposits by EIP-3009 for it (evm)"),
    Setting("escrow_permit2", _evm_address, None, "what takes deposits by Permit2 for it (evm)"),
    Setting(
        "escrow_code_hash", _evm_hash, None, "keccak-256 of the code that must stand there (evm)"
    ),
    Setting("token", lambda value, _: value, (), "the tokens, a list of tables"),
)


@dataclass(frozen=True, slots=True)
class RailConfig:
    """One network and the tokens on it."""

    kind: str
    network: str
    rpc_urls: tuple[str, ...]
    finality: str
    confirmations: int
    agreeing_min: int
    fee_gwei_max: int
    tip_gwei_min: int
    replace_s: int
    give_up_s: int
    log_blocks_max: int
    coin: int
    escrow: bytes | None
    escrow_eip3009: bytes | None
    escrow_permit2: bytes | None
    escrow_code_hash: bytes | None
    pegs: tuple[Peg, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything that an operator sets; see the settings above for units and defaults."""

    host: str
    port: int
    public_urls: tuple[str, ...]
    state: Path
    passphrase_file: Path | None
    labels: tuple[str, ...]
    closing_s: int
    solvency_s: int
    deposit_poll_ms: int
    reconcile_ms: int
    withdrawal_wait_ms: int
    drain_s: int
    body_bytes_max: int
    nonces_max: int
    strangers_per_s: int
    facilitator: str
    facilitations_per_s: int
    addresses_per_hour: int
    addresses_max: int
    currencies: tuple[CurrencyTerms, ...]
    rails: tuple[RailConfig, ...]

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.state / "ledger.sqlite"

    @property
    def key_path(self) -> Path:
        """The node key's file."""
        return self.state / "node.key"

    @property
    def pegs(self) -> PegTable:
        """Every token of every rail."""
        return PegTable(peg for rail in self.rails for peg in rail.pegs)


def load_config(path: Path, environ: Mapping[str, str]) -> NodeConfig:
    """Read the file, then `AISA_NODE_<SETTING>` for the settings of its top level.

    Raises:
        ConfigInvalid: there is no such file, or a setting is unknown, missing or cannot work.
    """
    try:
        raw = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigInvalid(f"there is no configuration at {path}", hint="aisa node init") from None
    try:
        return parse_config(raw, environ, path.parent)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path} is not TOML: {error}") from error


def parse_config(raw: str, environ: Mapping[str, str], folder: Path) -> NodeConfig:
    """Read the text of a configuration; relative paths are relative to `folder`.

    Raises:
        ConfigInvalid: a setting is unknown, missing or cannot work.
    """
    document = tomllib.loads(raw)
    currencies = tuple(map(_currency, _tables(document, "currency")))
    rails = tuple(_rail(table, currencies, environ) for table in _tables(document, "rail"))
    for setting in NODE_SETTINGS:
        value = environ.get(ENVIRONMENT_PREFIX + setting.name.upper())
        if value is not None:
            document[setting.name] = value
    values = read_table(document, NODE_SETTINGS, "")
    values["state"] = folder / values["state"]
    passphrase = values["passphrase_file"]
    values["passphrase_file"] = folder / passphrase if passphrase else None
    if not currencies:
        raise ConfigInvalid("there is no [[currency]]", hint="a node keeps at least one")
    return NodeConfig(**values, currencies=currencies, rails=rails)


def _tables(document: dict[str, object], name: str) -> list[dict[str, object]]:
    tables = document.pop(name, [])
    if not isinstance(tables, list) or not all(
        isinstance(table, dict) for table in cast("list[object]", tables)
    ):
        raise ConfigInvalid(f"{name} is not a list of tables", hint=f"write [[{name}]]")
    return cast("list[dict[str, object]]", tables)


def _currency(table: dict[str, object]) -> CurrencyTerms:
    where = f"currency.{table.get('code', '?')}."
    values = read_table(table, CURRENCY_SETTINGS, where)
    if values["scale"] is None:
        currency = currency_by_code(values["code"])
    else:
        currency = Currency(values["code"], values["scale"])
    return CurrencyTerms(
        currency=currency,
        channel_fee_ppm=values["channel_fee_ppm"],
        deposit_fee_ppm=values["deposit_fee_ppm"],
        withdrawal_fee_ppm=values["withdrawal_fee_ppm"],
        account_cap_units=parse_units(values["account_cap"], currency.scale, where + "account_cap"),
    )


def _rail(
    table: dict[str, object], currencies: tuple[CurrencyTerms, ...], environ: Mapping[str, str]
) -> RailConfig:
    where = f"rail.{table.get('network', '?')}."
    values = read_table(table, RAIL_SETTINGS, where)
    kind, network = values["kind"], values["network"]
    values["rpc_urls"] = _rpc_urls(kind, network, environ) or values["rpc_urls"]
    if kind != "memory" and not values["rpc_urls"]:
        raise ConfigInvalid(f"{where}rpc_urls is missing", hint="a rail needs an RPC server")
    named = [name for name, value in values.items() if name.startswith("escrow") and value]
    if named and (kind != "evm" or values["escrow"] is None):
        hint = "set escrow too" if kind == "evm" else "only evm rails have an escrow"
        raise ConfigInvalid(f"{where}{named[0]} has no escrow to be for", hint=hint)
    tokens = _tables({"token": list(values.pop("token"))}, "token")
    pegs = tuple(_peg(one, network, currencies, where) for one in tokens)
    if not pegs:
        raise ConfigInvalid(f"{where}token is missing", hint="write [[rail.token]]")
    return RailConfig(**values, pegs=pegs)


def _rpc_urls(kind: str, network: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What the environment has instead of a rail's RPC servers."""
    if kind == "solana":
        return tuple(filter(None, environ.get(SOLANA_VARIABLE, "").split(",")))
    if kind == "evm":
        pairs = [pair.partition("=") for pair in environ.get(EVM_VARIABLE, "").split(",")]
        return tuple(url for name, _, url in pairs if name == network)
    return ()


def _peg(
    table: dict[str, object], network: str, currencies: tuple[CurrencyTerms, ...], where: str
) -> Peg:
    where = f"{where}token.{table.get('symbol', '?')}."
    values = read_table(table, TOKEN_SETTINGS, where)
    code = values["currency"]
    scale = next((t.currency.scale for t in currencies if t.currency.code == code), None)
    if scale is None:
        raise ConfigInvalid(f"{where}currency {code!r} has no [[currency]]")
    token = Token(
        values["symbol"], values["issuer"], network, values["asset"], values["scale"], code
    )
    return Peg(token, parse_units(values["exposure"], scale, where + "exposure"))
