"""The agent's home folder: its key, its wallet's place and its settings."""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aisa.errors import ConfigInvalid
from aisa.identity import read_key_file
from aisa.money import Amount, parse_amount
from aisa.sdk.budget import Budget
from aisa.sdk.x402_asset import PayableAsset, read_assets

KEY_FILE: Final = "agent.key"
WALLET_FILE: Final = "wallet.sqlite"
_SEED_SIZE: Final = 32
BUDGET_NAMES: Final = ("per_call", "per_seller", "per_day")
AGENT_NAMES: Final = ("node", "nodes", "deposit_max", "ceiling_step", "budget", "x402")


def aisa_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `AISA_HOME`, or `~/.aisa`."""
    return Path(environ.get("AISA_HOME") or Path.home() / ".aisa").expanduser()


def ensure_agent_seed(home: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the seed in `agent.key`, making the file (mode 0600) if there is none.

    A key file under a passphrase is read with that of `AISA_PASSPHRASE_FILE`.

    Raises:
        ConfigInvalid: the file is no key, or its passphrase is missing or wrong.
    """
    path = home / KEY_FILE
    if not path.exists():
        _make_seed(path)
    raw = path.read_bytes()
    if raw.lstrip().startswith(b"{"):
        return read_key_file(path, _passphrase(path, environ))
    try:
        seed = bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_SIZE:
        raise ConfigInvalid(f"{path} is not an agent's key")
    return seed


def _make_seed(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_bytes(_SEED_SIZE).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces: of several processes that start at once, one key wins.
        path.hardlink_to(part)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _passphrase(path: Path, environ: Mapping[str, str]) -> str:
    name = environ.get("AISA_PASSPHRASE_FILE")
    if not name:
        raise ConfigInvalid(
            f"{path} needs a passphrase", hint="name a file with it in AISA_PASSPHRASE_FILE"
        )
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise ConfigInvalid(f"AISA_PASSPHRASE_FILE cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The `[agent]` table of `config.toml`; None where it says nothing."""

    nodes: tuple[str, ...] = ()
    budget: Budget | None = None
    deposit_max: Amount | None = None
    ceiling_step: Amount | None = None
    x402: tuple[PayableAsset, ...] = ()


def read_config(home: Path) -> AgentConfig:
    """Return the agent's settings in `config.toml`.

    Raises:
        ConfigInvalid: the file is no TOML, or a setting has another type.
    """
    path = home / "config.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return AgentConfig()
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
    table = _table(document, "agent", path)
    budget = _table(table, "budget", path)
    _refuse_unknown(table, AGENT_NAMES, "[agent]", path)
    _refuse_unknown(budget, BUDGET_NAMES, "[agent.budget]", path)
    limits = {name: _limit(budget, name, path) for name in budget}
    return AgentConfig(
        _nodes(table, path),
        Budget(**limits) if budget else None,
        _amount(table, "deposit_max", path),
        _amount(table, "ceiling_step", path),
        read_assets(_table(table, "x402", path), path),
    )


def _table(document: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise ConfigInvalid(f"{path}: {name} is not a table")
    return cast("dict[str, Any]", value)


def _refuse_unknown(
    table: Mapping[str, object], names: tuple[str, ...], where: str, path: Path
) -> None:
    """A limit with a slip in its name must not be taken for no limit."""
    if unknown := set(table) - set(names):
        raise ConfigInvalid(
            f"{path}: {where} has no setting {min(unknown)!r}", hint=f"one of {', '.join(names)}"
        )


def _text(table: dict[str, Any], name: str, path: Path) -> str | None:
    value = table.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ConfigInvalid(f"{path}: {name} is not a text", hint='write it as "0.10 aiUSD"')


def _limit(table: dict[str, Any], name: str, path: Path) -> str | None:
    text = _text(table, name, path)
    return None if text == "none" else text


def _amount(table: dict[str, Any], name: str, path: Path) -> Amount | None:
    text = _text(table, name, path)
    return None if text is None else parse_amount(text)


def _nodes(table: dict[str, Any], path: Path) -> tuple[str, ...]:
    one, many = table.get("node"), table.get("nodes", [])
    values: list[Any] = [
        *([] if one is None else [one]),
        *(many if isinstance(many, list) else [0]),
    ]
    if not all(isinstance(value, str) for value in values):
        raise ConfigInvalid(f"{path}: node is a URL, nodes a list of URLs")
    return tuple(values)
