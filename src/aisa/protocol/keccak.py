"""Keccak-256, the hash of Ethereum: SHA-3 before its padding was changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from aisa.errors import ExtraMissing


def keccak_256(data: bytes) -> bytes:
    """Return the 32-byte hash.

    Raises:
        ExtraMissing: the packages for EVM networks are not installed.
    """
    return _hash()(data).digest()


@cache
def _hash() -> Callable[[bytes], Any]:
    # Imported when first used: who pays and sells on other networks installs without it.
    try:
        import sha3  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "the packages for EVM networks are not installed", hint="pip install 'aisa-node[evm]'"
        ) from error
    return cast("Callable[[bytes], Any]", cast("Any", sha3).keccak_256)
