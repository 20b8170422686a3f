"""How far a search through final blocks has come, and how it goes on after a chain took blocks back."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from aisa.errors import MalformedMessage, RailUnavailable
from aisa.settlement.evm.answer import Block
from aisa.settlement.evm.chain import Chain

T = TypeVar("T")

_RANGES_MAX = 50
_MARKS_MAX = 24

_log = logging.getLogger("aisa.evm")


class Mark(msgspec.Struct, frozen=True):
    """A cursor: all is told up to the last of these blocks, each as (number, hash).

    The earlier ones, ever farther apart, are where to go on from if the chain took back the later.
    """

    blocks: tuple[tuple[int, str], ...] = ()


def parse_mark(cursor: bytes) -> Mark:
    """Read a cursor; an empty one is the beginning.

    Raises:
        MalformedMessage: not a cursor of this rail.
    """
    if not cursor:
        return Mark()
    try:
        return msgspec.json.decode(cursor, type=Mark)
    except msgspec.DecodeError as error:
        raise MalformedMessage("not a cursor of this rail") from error


async def standing_blocks(chain: Chain, mark: Mark) -> tuple[tuple[int, str], ...]:
    """The cursor's blocks that are still in the chain; those after the last one are taken back.

    Raises:
        RailUnavailable: the network does not answer, or its servers disagree.
    """
    kept = list(mark.blocks)
    while kept:
        height, known = kept[-1]
        if (await chain.block(height)).hash == known:
            break
        _log.critical(
            "block %d was final and was taken back: deposits since then are looked for again, "
            "and raise confirmations",
            height,
        )
        kept.pop()
    return tuple(kept)


async def read_in_ranges(
    read: Callable[[int, int], Awaitable[list[T]]],
    start: int,
    final: int,
    *,
    blocks_max: int,
    enough: int,
) -> tuple[list[T], int]:
    """Read from a block on until there is enough; and the block up to which that is complete.

    Raises:
        RailUnavailable: one block alone cannot be read, or the servers disagree.
    """
    found: list[T] = []
    for _ in range(_RANGES_MAX):
        if start > final or len(found) >= enough:
            break
        end = min(final, start + blocks_max - 1)
        try:
            found += await read(start, end)
        except RailUnavailable as error:
            if end == start or error.facts.get("disagree"):
                raise
            blocks_max = max(1, (end - start + 1) // 4)  # servers limit how much they look through
            continue
        start = end + 1
    return found, start - 1


def thinned(kept: Sequence[tuple[int, str]], last: Block) -> tuple[tuple[int, str], ...]:
    """The blocks to remember: `last`, and of the earlier ones one for each doubling of distance."""
    height = last.height
    by_distance: dict[int, tuple[int, str]] = {}
    for block in kept:  # oldest first, so that of one distance the oldest stays
        by_distance.setdefault((height - block[0]).bit_length(), block)
    earlier = sorted(by_distance.values())[-_MARKS_MAX:]
    return (*earlier, (height, last.hash))
