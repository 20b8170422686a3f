"""A 32-byte seed at rest, encrypted under a passphrase (scrypt, then ChaCha20-Poly1305)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from aisa.errors import ConfigInvalid, StateConflict
from aisa.protocol.frame import frame

_SCRYPT_N: Final = 2**15
_SCRYPT_N_MAX: Final = 2**20
_FORMAT: Final = "aisa-key/1"


class _KeyFile(msgspec.Struct, frozen=True):
    format: str
    public_key: str
    scrypt_n: int
    salt: str
    nonce: str
    sealed: str


def _cipher(passphrase: str, salt: bytes, scrypt_n: int) -> ChaCha20Poly1305:
    key = Scrypt(salt=salt, length=32, n=scrypt_n, r=8, p=1).derive(passphrase.encode())
    return ChaCha20Poly1305(key)


def write_key_file(
    path: Path,
    seed: bytes,
    public_key: bytes,
    passphrase: str,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> None:
    """Write a new key file, readable by its owner only; it is whole or absent after a crash.

    Raises:
        StateConflict: the file exists; a key is never overwritten.
        ConfigInvalid: the passphrase is empty.
    """
    if not passphrase:
        raise ConfigInvalid("the passphrase is empty")
    salt, nonce = random_bytes(16), random_bytes(12)
    sealed = _cipher(passphrase, salt, _SCRYPT_N).encrypt(nonce, seed, _bound(public_key))
    document = _KeyFile(_FORMAT, public_key.hex(), _SCRYPT_N, salt.hex(), nonce.hex(), sealed.hex())
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, unlike a rename, refuses to replace a key that is already there.
        path.hardlink_to(part)
    except FileExistsError:
        raise StateConflict(f"{path} exists; a key is never overwritten") from None
    finally:
        part.unlink()


def read_key_file(path: Path, passphrase: str) -> bytes:
    """Return the seed of a key file.

    Raises:
        ConfigInvalid: there is no such file, it is not a key file, or the passphrase is wrong.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        salt, nonce = bytes.fromhex(document.salt), bytes.fromhex(document.nonce)
        sealed, public_key = bytes.fromhex(document.sealed), bytes.fromhex(document.public_key)
    except FileNotFoundError:
        raise ConfigInvalid(f"there is no key at {path}", hint="make one with aisa init") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigInvalid(f"{path} is not a key file") from error
    if document.format != _FORMAT or not 1 < document.scrypt_n <= _SCRYPT_N_MAX:
        raise ConfigInvalid(f"{path} has an unknown key format")
    try:
        cipher = _cipher(passphrase, salt, document.scrypt_n)
        return cipher.decrypt(nonce, sealed, _bound(public_key))
    except (InvalidTag, ValueError):
        raise ConfigInvalid(f"the passphrase does not open {path}") from None


def _bound(public_key: bytes) -> bytes:
    """Tie the sealed seed to the public key beside it, so that neither can be swapped alone."""
    return frame(_FORMAT, public_key)
