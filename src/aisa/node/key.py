"""The node's key: made once, kept encrypted, opened with a passphrase."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from aisa.errors import ConfigInvalid, StateConflict
from aisa.identity import SigningKey, read_key_file, write_key_file
from aisa.node.config import NodeConfig

Prompt = Callable[[str], str]
"""Asks a person for a secret; given the question."""


def make_key(path: Path, passphrase: str) -> bytes:
    """Make a node key at `path` and return its public key.

    Raises:
        StateConflict: there is one already.
        ConfigInvalid: the passphrase is empty.
    """
    seed = secrets.token_bytes(32)
    public_key = SigningKey(seed).public_key
    write_key_file(path, seed, public_key, passphrase)
    return public_key


def make_passphrase_file(path: Path) -> str:
    """Write a passphrase that nobody chose to a new file for its owner's eyes, and return it.

    Raises:
        StateConflict: there is a file already.
    """
    passphrase = secrets.token_urlsafe(24)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise StateConflict(f"{path} exists already") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(passphrase + "\n")
        file.flush()
        os.fsync(file.fileno())
    return passphrase


def open_seed(config: NodeConfig, prompt: Prompt | None) -> bytes:
    """Return the node's seed, by the passphrase file or by asking.

    Raises:
        ConfigInvalid: no key, no passphrase, a wrong one, or a passphrase file that others can read.
    """
    return read_key_file(config.key_path, passphrase_of(config, prompt))


def passphrase_of(config: NodeConfig, prompt: Prompt | None) -> str:
    """Return the passphrase, from its file or from a person.

    Raises:
        ConfigInvalid: there is neither, or others can read the file.
    """
    path = config.passphrase_file
    if path is not None:
        return read_passphrase_file(path)
    if prompt is None:
        raise ConfigInvalid(
            "the node's key needs a passphrase", hint="set passphrase_file, or run in a terminal"
        )
    return prompt(f"Passphrase of {config.key_path}: ")


def read_passphrase_file(path: Path) -> str:
    """Return the first line of a passphrase file.

    Raises:
        ConfigInvalid: it is missing, empty, or others can read it.
    """
    try:
        mode = path.stat().st_mode
        passphrase = path.read_text("utf-8").partition("\n")[0]
    except FileNotFoundError:
        raise ConfigInvalid(f"there is no passphrase file at {path}") from None
    if mode & 0o077:
        raise ConfigInvalid(f"others can read {path}", hint=f"chmod 600 {path}")
    if not passphrase:
        raise ConfigInvalid(f"{path} is empty")
    return passphrase
