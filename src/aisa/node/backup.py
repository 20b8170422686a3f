"""Backup and restore: ledger, key and configuration in one folder, verified on both ways.

The passphrase is never part of a backup: whoever finds one must not be able to open its key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from aisa.errors import LedgerCorrupt, NotFound, StateConflict
from aisa.ledger.sqlite_backup import backup_file, digest_file, restore, verify_file
from aisa.node.config import load_config, parse_config
from aisa.node.initialise import CONFIG_NAME, write_new

LEDGER_NAME: Final = "ledger.sqlite"
KEY_NAME: Final = "node.key"
MANIFEST_NAME: Final = "manifest.json"
_FORMAT: Final = "aisa-node-backup/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds; `digest` is the ledger's, the others are SHA-256 of their files."""

    format: str
    digest: str
    head: str
    rows: int
    key_sha256: str
    config_sha256: str


def backup_node(config_path: Path, target: Path) -> Manifest:
    """Write a backup to the new folder `target`, while the node runs or not.

    Raises:
        StateConflict: there is something at `target`.
        LedgerCorrupt: the copy does not verify; the facts name the first bad row.
    """
    config = load_config(config_path, {})
    key, settings = config.key_path.read_bytes(), config_path.read_bytes()
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise StateConflict(f"there is something at {target} already") from None
    target.chmod(0o700)
    copy = target / LEDGER_NAME
    backup_file(config.ledger_path, copy)
    report = verify_file(copy)
    if report.bad is not None:
        raise LedgerCorrupt(f"the ledger does not verify: {report.bad}", row=str(report.bad))
    manifest = Manifest(
        _FORMAT, digest_file(copy), report.head, report.rows, _sha256(key), _sha256(settings)
    )
    write_new(target / KEY_NAME, key)
    write_new(target / CONFIG_NAME, settings)
    # The manifest comes last: a folder without one is a backup that was cut short.
    write_new(target / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def restore_node(source: Path, folder: Path) -> Manifest:
    """Copy a backup into `folder`, where there must be no node, and verify all of it.

    Raises:
        NotFound: `source` is not a whole backup.
        StateConflict: there is a node in `folder`; nothing is overwritten.
        LedgerCorrupt: the backup is not what its manifest says.
    """
    manifest = read_manifest(source)
    key, settings = (source / KEY_NAME).read_bytes(), (source / CONFIG_NAME).read_bytes()
    if (_sha256(key), _sha256(settings)) != (manifest.key_sha256, manifest.config_sha256):
        raise LedgerCorrupt(f"the key or configuration in {source} was changed")
    config_path, config = folder / CONFIG_NAME, parse_config(settings.decode(), {}, folder)
    for path in (config_path, config.key_path, config.ledger_path):
        if path.exists():
            raise StateConflict(f"{path} exists", hint="restore into an empty folder")
    for parent in (folder, config.state):
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    restore(source / LEDGER_NAME, config.ledger_path)
    digest = digest_file(config.ledger_path)
    if digest != manifest.digest:
        config.ledger_path.unlink()
        raise LedgerCorrupt(f"the ledger in {source} was changed", digest=digest)
    write_new(config.key_path, key)
    write_new(config_path, settings)
    return manifest


def passphrase_advice(config_path: Path) -> str:
    """Return what an operator must know of the passphrase: no backup has it, and where it belongs.

    Raises:
        ConfigInvalid: there is no configuration that works at `config_path`.
    """
    path = load_config(config_path, {}).passphrase_file
    if path is None:
        return "no backup holds the passphrase: aisa node up asks for it"
    if path.exists():
        return f"no backup holds the passphrase file {path}: keep a copy elsewhere"
    return (
        f"no backup holds the passphrase file: put it back at {path} (mode 600), "
        "or aisa node up cannot open the key"
    )


def read_manifest(source: Path) -> Manifest:
    """Return what a backup says of itself.

    Raises:
        NotFound: there is no whole backup at `source`.
    """
    try:
        manifest = msgspec.json.decode((source / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        raise NotFound(f"there is no whole backup at {source}") from None
    if manifest.format != _FORMAT:
        raise NotFound(f"{source} has the unknown format {manifest.format[:40]!r}")
    return manifest


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
