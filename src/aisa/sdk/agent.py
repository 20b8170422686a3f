"""The synchronous agent, on httpx2; one may serve many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import httpx2

from aisa.channel.payer import PayerChannel
from aisa.channel.wallet import UnknownSpend, WalletEvent
from aisa.client import SyncNodeClient
from aisa.errors import InvalidRequest
from aisa.money import Amount
from aisa.protocol.aip import ReceiptProof
from aisa.sdk.answer import Answer, ClosedChannel, Payment, Quote, Receipt, Spent
from aisa.sdk.bounded import ANSWER_BYTES_MAX, read_chunks
from aisa.sdk.budget import Budget, amount_of
from aisa.sdk.call import Call, encode_content, prepare_headers
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
from aisa.sdk.place import locate
from aisa.sdk.proof import prove
from aisa.sdk.step import Lost, Reply, Send
from aisa.sdk.sync_driver import SendSync, SyncDriver, SyncHubFactory

CONNECTIONS_MAX: Final = 256
_KEEP_EVERY_S: Final = 1.0
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Agent:
    """`AsyncAgent` without await; safe to share between threads.

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
        hub: SyncHubFactory | None = None,
    ) -> None:
        self._purse = open_purse(
            Wishes(home, node, budget, deposit_max, ceiling_step, on_payment, clock)
        )
        self._timeout_s = timeout_s
        self.answer_bytes_max = answer_bytes_max
        self._driver = SyncDriver(
            self._send, hub or (lambda url, signer: SyncNodeClient(url, signer, clock=clock))
        )
        self._http: httpx2.Client | None = None
        self._connecting = threading.Lock()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
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
            AisaError: as `AsyncAgent.request`.
        """
        call = self._call(method, url, headers, content, json, timeout_s)
        if price_max is not None:
            call.price_max = amount_of(price_max)
        if call_id:
            call.call_id = call_id
        return self.perform(call)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        call_id: str | None = None,
        price_max: Amount | str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """GET a URL; as `request`."""
        return self.request(
            "GET",
            url,
            headers=headers,
            call_id=call_id,
            price_max=price_max,
            timeout_s=timeout_s,
        )

    def post(
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
        return self.request(
            "POST",
            url,
            headers=headers,
            content=content,
            json=json,
            call_id=call_id,
            price_max=price_max,
            timeout_s=timeout_s,
        )

    def quote(self, url: str, *, method: str = "GET") -> Quote:
        """Ask what a call costs, without paying."""
        call = self._call(method, url, None, None, None, None)
        return self._driver.drive(ask_price(self._purse, call))

    def accept_payee(self, url: str, *, method: str = "GET") -> bytes:
        """Accept that the seller of `url` is paid by another key than before; returns the key."""
        call = self._call(method, url, None, None, None, None)
        return self._driver.drive(pin_anew(self._purse, call))

    @property
    def spent(self) -> Spent:
        """What this agent was charged since it started."""
        return self._purse.spent()

    def receipts(self, *, after: int = 0, limit: int = 100) -> list[Receipt]:
        """Return the wallet's receipts, those with a number above `after`."""
        self._driver.drive(keep_receipts(self._purse))
        return read_receipts(self._purse, after, limit)

    def prove(self, receipt: Receipt) -> ReceiptProof:
        """Fetch a receipt's proof from its seller and check it: it convinces anyone.

        Raises:
            ReceiptInvalid: the seller's proof does not hold.
            NotFound: the seller keeps it no longer.
        """
        return self._driver.drive(prove(self._purse, receipt))

    def unknown_calls(self) -> list[UnknownSpend]:
        """Return what sellers may have charged without an answer that was kept."""
        self._driver.drive(keep_receipts(self._purse))
        return read_unknown(self._purse)

    def events(self, *, after: int = 0, limit: int = 100) -> list[WalletEvent]:
        """Return what the wallet wrote down for its owner."""
        return read_events(self._purse, after, limit)

    def channels(self) -> list[PayerChannel]:
        """Return the wallet's channels that are not closed."""
        return read_channels(self._purse)

    def return_lanes(self) -> int:
        """Get back what died processes had leased and not used; returns the units."""
        return self._driver.drive(return_lanes(self._purse))

    def close_channels(
        self, *, wait_s: float = 10.0, only: Collection[bytes] | None = None
    ) -> tuple[ClosedChannel, ...]:
        """Close every channel of the wallet; what was not spent returns to the agent's account.

        `only` names the ids of those to close.
        """
        self._driver.settle(wait_s)
        return self._driver.drive(close_all(self._purse, wait_s, only))

    def close(self) -> None:
        """Park unused slices, keep receipts, and let go of all files and connections."""
        self._closing.set()
        self._driver.settle(5.0)
        self._driver.drive(say_goodbye(self._purse))
        self._driver.close()
        self._purse.wallet.close()
        if self._http is not None:
            self._http.close()

    def perform(self, call: Call, send: SendSync | None = None) -> Answer:
        """Make a prepared call, through another way of sending if one is given."""
        return self._driver.drive(perform(self._purse, call), send)

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
        )

    def _send(self, request: Send) -> Reply | Lost:
        reply = send_with(self._http or self._connect(), request, self.answer_bytes_max)
        if self._purse.receipts and self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="aisa-receipts", daemon=True)
            self._keeper.start()
        return reply

    def _connect(self) -> httpx2.Client:
        with self._connecting:
            if self._http is None:
                self._http = httpx2.Client(
                    limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
                    trust_env=False,
                    headers={"User-Agent": "aisa"},
                )
            return self._http

    def _keep(self) -> None:
        while not self._closing.wait(_KEEP_EVERY_S):
            if self._purse.receipts:
                self._driver.drive(keep_receipts_aside(self._purse))


def send_with(
    http: httpx2.Client, request: Send, answer_bytes_max: int = ANSWER_BYTES_MAX
) -> Reply | Lost:
    """Send a request with an httpx2 client.

    Raises:
        InvalidRequest: the URL or a header cannot be sent.
    """
    try:
        with http.stream(
            request.method,
            cast("httpx2.URL | None", request.native) or request.url,
            headers=request.headers,
            content=request.content or None,
            follow_redirects=False,
            timeout=request.timeout_s,
        ) as response:
            # Leaving early closes the connection.
            content = read_chunks(response.iter_bytes(), answer_bytes_max)
    except NEVER_SENT as error:
        return Lost(is_sent=False, reason=f"{type(error).__name__}: {error}"[:200])
    except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
        raise InvalidRequest(f"the request cannot be sent: {error}") from error
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        return Lost(is_sent=True, reason=type(error).__name__)
    challenges = tuple(response.headers.get_list("WWW-Authenticate"))
    status, headers = response.status_code, response.headers
    return Reply(status, headers, content or b"", challenges, is_cut=content is None)
