"""The asynchronous agent, on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

import aiohttp
from yarl import URL

from aisa.channel.payer import PayerChannel
from aisa.channel.payer_offer import origin_of
from aisa.channel.wallet import UnknownSpend, WalletEvent
from aisa.client import NodeClient
from aisa.errors import InvalidRequest
from aisa.money import Amount
from aisa.protocol.aip import ReceiptProof
from aisa.sdk.answer import Answer, ClosedChannel, Payment, Quote, Receipt, Spent
from aisa.sdk.async_driver import AsyncDriver, HubFactory, SendAsync
from aisa.sdk.bounded import ANSWER_BYTES_MAX, read_chunks_async
from aisa.sdk.budget import Budget, amount_of
from aisa.sdk.call import Call, Place, encode_content, prepare_headers
from aisa.sdk.desk import (
    TIMEOUT_S_DEFAULT,
    Wishes,
    ask_price,
    close_all,
    open_purse,
    perform,
    pin_anew,
    read_channels,
    read_events,
    read_receipts,
    read_unknown,
    return_lanes,
    say_goodbye,
    wall_clock_ms,
)
from aisa.sdk.keeping import keep_receipts, keep_receipts_aside
from aisa.sdk.proof import prove
from aisa.sdk.step import Lost, Reply, Send

CONNECTIONS_MAX: Final = 256
_KEEP_EVERY_S: Final = 1.0
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@lru_cache(maxsize=4096)
def locate(url: str) -> Place:
    """Return a URL as aiohttp writes it.

    Raises:
        InvalidRequest: it is not an absolute http or https URL.
    """
    try:
        parsed = URL(url).with_fragment(None)
        origin = origin_of(str(parsed))
    except ValueError as error:
        raise InvalidRequest(f"{url[:80]!r} is not a URL: {error}") from error
    return Place(str(parsed), origin, parsed.raw_path, parsed.raw_path_qs.encode(), parsed)


@lru_cache(maxsize=1024)
def _timeout(seconds: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes | None:
    reader = response.content
    if reader.is_eof() and reader.total_bytes <= bytes_max:
        return reader.read_nowait()
    content = None
    try:
        content = await read_chunks_async(reader.iter_any(), bytes_max)
    finally:
        if content is None:
            response.close()
    return content


class AsyncAgent:
    """Makes HTTP calls and pays for those that ask, within its owner's limits.

    One wallet (in `home`, by default `AISA_HOME` or `~/.aisa`) serves any number of agents and
    processes. `node` is the URL of a node where this agent has money; without it the configured
    one is used, or one is started. `on_payment` is called with every payment's outcome. Of a
    seller's answer at most `answer_bytes_max` are read.

    Use it as an async context manager: leaving it parks what is unused for the next process.

    Raises:
        ConfigInvalid: the home folder's configuration, key or wallet cannot be used.
    """

    def __init__(  # noqa: PLR0913 - settings, all by name
        self,
        home: Path | str | None = None,
        *,
        node: str | Sequence[str] | None = None,
        budget: Budget | None = None,
        deposit_max: Amount | str | None = None,
        ceiling_step: Amount | str | None = None,
        on_payment: Callable[[Payment], None] | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        clock: Callable[[], int] = wall_clock_ms,
        hub: HubFactory | None = None,
    ) -> None:
        self._purse = open_purse(
            Wishes(home, node, budget, deposit_max, ceiling_step, on_payment, clock)
        )
        self._timeout_s = timeout_s
        self.answer_bytes_max = answer_bytes_max
        self._driver = AsyncDriver(
            self._send, hub or (lambda url, signer: NodeClient(url, signer, clock=clock))
        )
        self._http: aiohttp.ClientSession | None = None
        self._keeper: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
        json: object = None,
        call_id: str | None = None,
        price_max: Amount | str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Make a call, and pay for it if the seller asks and the limits allow.

        With a `call_id` the call is made once however often it is asked for, also after a crash.

        Raises:
            BudgetExceeded: it costs more than `price_max` or the budget allows.
            OutcomeUnknown: the seller went silent after it may have taken the payment.
            RailUnavailable: the seller cannot be reached; nothing was paid.
            RedirectRefused: a paid request was answered by a redirect.
            AnswerTooLarge: the answer is longer than `answer_bytes_max`; its facts say what became
                of the payment.
            AisaError: the class that the seller's or the node's refusal names.
        """
        call = self._call(
            method, url, headers, content, json, timeout_s, call_id=call_id, price_max=price_max
        )
        return await self.perform(call)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        call_id: str | None = None,
        price_max: Amount | str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """GET a URL; as `request`."""
        return await self.request(
            "GET",
            url,
            headers=headers,
            call_id=call_id,
            price_max=price_max,
            timeout_s=timeout_s,
        )

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
        json: object = None,
        call_id: str | None = None,
        price_max: Amount | str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """POST to a URL; as `request`."""
        return await self.request(
            "POST",
            url,
            headers=headers,
            content=content,
            json=json,
            call_id=call_id,
            price_max=price_max,
            timeout_s=timeout_s,
        )

    async def quote(self, url: str, *, method: str = "GET") -> Quote:
        """Ask what a call costs, without paying."""
        call = self._call(method, url, None, None, None, None)
        return await self._driver.drive(ask_price(self._purse, call))

    async def accept_payee(self, url: str, *, method: str = "GET") -> bytes:
        """Accept that the seller of `url` is paid by another key than before; returns the key."""
        call = self._call(method, url, None, None, None, None)
        return await self._driver.drive(pin_anew(self._purse, call))

    @property
    def spent(self) -> Spent:
        """What this agent was charged since it started."""
        return self._purse.spent()

    async def receipts(self, *, after: int = 0, limit: int = 100) -> list[Receipt]:
        """Return the wallet's receipts, those with a number above `after`."""
        await self._driver.drive(keep_receipts(self._purse))
        return read_receipts(self._purse, after, limit)

    async def prove(self, receipt: Receipt) -> ReceiptProof:
        """Fetch a receipt's proof from its seller and check it: it convinces anyone.

        Raises:
            ReceiptInvalid: the seller's proof does not hold.
            NotFound: the seller keeps it no longer.
        """
        return await self._driver.drive(prove(self._purse, receipt))

    async def unknown_calls(self) -> list[UnknownSpend]:
        """Return what sellers may have charged without an answer that was kept."""
        await self._driver.drive(keep_receipts(self._purse))
        return read_unknown(self._purse)

    async def events(self, *, after: int = 0, limit: int = 100) -> list[WalletEvent]:
        """Return what the wallet wrote down for its owner."""
        return read_events(self._purse, after, limit)

    async def channels(self) -> list[PayerChannel]:
        """Return the wallet's channels that are not closed."""
        return read_channels(self._purse)

    async def return_lanes(self) -> int:
        """Get back what died processes had leased and not used; returns the units."""
        return await self._driver.drive(return_lanes(self._purse))

    async def close_channels(
        self, *, wait_s: float = 10.0, only: Collection[bytes] | None = None
    ) -> tuple[ClosedChannel, ...]:
        """Close every channel of the wallet; what was not spent returns to the agent's account.

        `only` names the ids of those to close.
        """
        await self._driver.settle(wait_s)
        return await self._driver.drive(close_all(self._purse, wait_s, only))

    async def close(self) -> None:
        """Park unused slices, keep receipts, and let go of all files and connections."""
        if self._keeper is not None:
            self._keeper.cancel()
        await self._driver.settle(5.0)
        await self._driver.drive(say_goodbye(self._purse))
        self._purse.wallet.close()
        await self._driver.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def perform(self, call: Call, send: SendAsync | None = None) -> Answer:
        """Make a prepared call, through another way of sending if one is given."""
        return await self._driver.drive(perform(self._purse, call), send)

    @property
    def clock(self) -> Callable[[], int]:
        """The agent's clock, in unix milliseconds."""
        return self._purse.clock

    def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        content: bytes | str | None,
        json: object,
        timeout_s: float | None,
        *,
        call_id: str | None = None,
        price_max: Amount | str | None = None,
    ) -> Call:
        body, content_type = encode_content(content, json)
        seconds = self._timeout_s if timeout_s is None else timeout_s
        return Call(
            method.upper(),
            locate(url),
            prepare_headers(headers, content_type=content_type),
            body,
            self._purse.clock() + int(seconds * 1000),
            seconds,
            None if price_max is None else amount_of(price_max),
            call_id or "",
        )

    async def _send(self, request: Send) -> Reply | Lost:
        http = self._http or self._connect()
        try:
            response = await http.request(
                request.method,
                cast("URL | None", request.native) or URL(request.url, encoded=True),
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=_timeout(int(request.timeout_s) + 1),
            )
            content = await _read(response, self.answer_bytes_max)
        except _NEVER_SENT as error:
            return Lost(is_sent=False, reason=f"{type(error).__name__}: {error}"[:200])
        except ValueError as error:
            raise InvalidRequest(f"the request cannot be sent: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Lost(is_sent=True, reason=type(error).__name__)
        if self._purse.receipts and self._keeper is None:
            loop = asyncio.get_running_loop()
            self._keeper = loop.call_later(_KEEP_EVERY_S, self._keep)
        challenges: tuple[str, ...] = ()
        if response.status == 402:
            challenges = tuple(response.headers.getall("WWW-Authenticate", ()))
        if content is None:
            return Reply(response.status, response.headers, b"", challenges, is_cut=True)
        return Reply(response.status, response.headers, content, challenges)

    def _connect(self) -> aiohttp.ClientSession:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "aisa"},
        )
        return self._http

    def _keep(self) -> None:
        self._keeper = None
        self._driver.aside(keep_receipts_aside(self._purse))
