"""Backup, delete, restore: the same node, or a refusal."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from aisa.cli.application import run
from aisa.errors import ConfigInvalid, LedgerCorrupt, NotFound, StateConflict
from aisa.ledger.sqlite_backup import digest_file, verify_file
from aisa.node.backup import backup_node, passphrase_advice, read_manifest, restore_node
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
from tests.unit.node.house import ALICE, CONFIG, House, open_house, signed_open

M = 1_000_000


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    made = init_node(folder, config=CONFIG, passphrase="correct horse")
    async with open_house(folder, config=load_config(made.config_path, {})) as house:
        await use(house)
    return folder


async def use(house: House) -> None:
    await house.fund(ALICE, 5 * M)
    terms = house.terms()
    async with house.client(ALICE) as alice:
        await alice.open_channel("o", terms, M, signed_open(terms))


async def test_a_restored_node_is_the_same(folder: Path, tmp_path: Path) -> None:
    before = digest_file(folder / "ledger.sqlite")
    seed = open_seed(load_config(folder / "node.toml", {}), lambda _: "correct horse")
    manifest = backup_node(folder / "node.toml", tmp_path / "copy")
    assert manifest.digest == before
    shutil.rmtree(folder)
    assert restore_node(tmp_path / "copy", folder) == manifest
    assert digest_file(folder / "ledger.sqlite") == before
    assert verify_file(folder / "ledger.sqlite").ok
    config = load_config(folder / "node.toml", {})
    assert open_seed(config, lambda _: "correct horse") == seed
    async with open_house(folder, config=config) as house, house.client(ALICE) as alice:
        assert (await alice.account()).available("aiUSD") == 4 * M


async def test_a_running_node_is_backed_up(folder: Path, tmp_path: Path) -> None:
    config = load_config(folder / "node.toml", {})
    async with open_house(folder, config=config):
        manifest = backup_node(folder / "node.toml", tmp_path / "copy")
    assert manifest.digest == digest_file(folder / "ledger.sqlite")
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0


async def test_a_restore_says_where_a_generated_passphrase_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AISA_HOME", str(tmp_path))
    folder = tmp_path / "node"
    secret = folder / "node.passphrase"
    made = init_node(folder, config=CONFIG)
    assert made.passphrase_path == secret
    async with open_house(folder, config=load_config(made.config_path, {})) as house:
        await use(house)
    kept = secret.read_text()
    assert run(["node", "backup", str(tmp_path / "copy")]) == 0
    assert f"passphrase file {secret}: keep a copy" in " ".join(capsys.readouterr().out.split())
    for path in (tmp_path / "copy").iterdir():
        assert kept.strip().encode() not in path.read_bytes()
    shutil.rmtree(folder)
    assert run(["node", "restore", str(tmp_path / "copy")]) == 0
    assert f"put it back at {secret} (mode 600)" in " ".join(capsys.readouterr().out.split())
    config = load_config(folder / "node.toml", {})
    with pytest.raises(ConfigInvalid, match=re.escape(f"no passphrase file at {secret}")):
        open_seed(config, None)
    secret.write_text(kept)
    secret.chmod(0o600)
    assert len(open_seed(config, None)) == 32


def test_a_passphrase_that_is_asked_for_is_said_too(folder: Path) -> None:
    assert "aisa node up asks for it" in passphrase_advice(folder / "node.toml")


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    backup_node(folder / "node.toml", tmp_path / "copy")
    with pytest.raises(StateConflict):
        backup_node(folder / "node.toml", tmp_path / "copy")
    with pytest.raises(StateConflict):
        restore_node(tmp_path / "copy", folder)
    (folder / "ledger.sqlite").unlink()
    (folder / "node.toml").unlink()
    with pytest.raises(StateConflict):
        restore_node(tmp_path / "copy", folder)


@pytest.mark.parametrize("name", ["node.key", "node.toml", "ledger.sqlite"])
def test_a_changed_backup_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    backup_node(folder / "node.toml", tmp_path / "copy")
    path = tmp_path / "copy" / name
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"account:") + 8 if name == "ledger.sqlite" else len(raw) // 2
    raw[at] ^= 1
    path.write_bytes(raw)
    with pytest.raises(LedgerCorrupt):
        restore_node(tmp_path / "copy", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "ledger.sqlite").exists()


def test_another_ledger_under_the_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    backup_node(folder / "node.toml", tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    digest = read_manifest(tmp_path / "copy").digest
    manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
    with pytest.raises(LedgerCorrupt, match="changed"):
        restore_node(tmp_path / "copy", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "ledger.sqlite").exists()


def test_half_a_backup_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        restore_node(tmp_path / "none", tmp_path / "elsewhere")
    backup_node(folder / "node.toml", tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").unlink()
    with pytest.raises(NotFound):
        restore_node(tmp_path / "copy", tmp_path / "elsewhere")


def test_state_may_lie_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    made = init_node(folder, config=f'state = "data"\n{CONFIG}', passphrase="word")
    assert made.key_path == folder / "data" / "node.key"
