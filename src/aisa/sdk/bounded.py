"""Reading a seller's answer up to a bound: nobody fills an agent's memory from outside."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Final

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024


def read_chunks(chunks: Iterable[bytes], bytes_max: int) -> bytes | None:
    """Return the whole of an answer; None as soon as it is longer than the bound."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            return None
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_chunks_async(chunks: AsyncIterable[bytes], bytes_max: int) -> bytes | None:
    """As `read_chunks`."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            return None
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)
