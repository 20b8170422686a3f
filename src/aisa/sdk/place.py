"""Where a URL points to, as httpx2 writes it."""

from __future__ import annotations

from functools import lru_cache

import httpx2

from aisa.channel.payer_offer import origin_of
from aisa.errors import InvalidRequest
from aisa.sdk.call import Place


@lru_cache(maxsize=4096)
def locate(url: str) -> Place:
    """Return a URL as httpx2 writes it.

    Raises:
        InvalidRequest: it is not an absolute http or https URL.
    """
    try:
        parsed = httpx2.URL(url).copy_with(fragment=None)
    except (httpx2.InvalidURL, TypeError) as error:
        raise InvalidRequest(f"{url[:80]!r} is not a URL: {error}") from error
    return place_of(parsed)


def place_of(parsed: httpx2.URL) -> Place:
    """Return where a parsed URL points to."""
    target = parsed.raw_path
    path = target.partition(b"?")[0].decode("ascii")
    return Place(str(parsed), origin_of(str(parsed)), path, target, parsed)
