"""Orders to a running seller: two routes before its paywall, for the owner of the home alone.

One process owns a seller's file, so whoever wants something redeemed has to ask that process.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

import httpx2
import msgspec

from aisa.cli.service import Service
from aisa.errors import AisaError, NodeUnavailable, NotAllowed
from aisa.paywall import Paywall, PaywallMiddleware
from aisa.protocol.problem import error_of, parse_problem, problem_of

PREFIX: Final = "/aisa/control/"
_TIMEOUT_S: Final = 60.0


class Controlled:
    """The guarded application, with `POST /aisa/control/redeem` and `/status` before it."""

    def __init__(self, app: PaywallMiddleware, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            status, body = 200, await self._carry_out(scope["path"].removeprefix(PREFIX))
        except AisaError as error:
            status, body = error.status, problem_of(error).encode()
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check(self, scope: Any) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if scope["method"] != "POST" or not hmac.compare_digest(given, self._token):
            raise NotAllowed("only the owner of the seller's home gives it orders")

    async def _carry_out(self, order: str) -> bytes:
        paywall = self._app.paywall
        await paywall.start()
        if order == "redeem":
            await paywall.redeem()
        return msgspec.json.encode(state_of(paywall))


def state_of(paywall: Paywall) -> dict[str, object]:
    """What a started paywall has earned and not redeemed, by node."""
    unredeemed = paywall.till.store.summary().unredeemed
    return {
        "origin": paywall.origin,
        "payee": paywall.signer.public_key.hex(),
        "unredeemed": [{"network": n, "units": str(units)} for n, units in unredeemed],
    }


def give_order(service: Service, order: str) -> dict[str, Any]:
    """Have a running seller do something, and return what it says.

    Raises:
        NodeUnavailable: it does not answer.
        AisaError: it could not; the class is the one that it met.
    """
    try:
        answer = httpx2.post(
            f"{service.url}{PREFIX}{order}",
            headers={"Authorization": f"Bearer {service.token}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
    except httpx2.HTTPError as error:
        raise NodeUnavailable(f"the seller at {service.url} does not answer") from error
    if answer.status_code != 200:
        raise error_of(parse_problem(answer.content, status=answer.status_code))
    return msgspec.json.decode(answer.content, type=dict[str, Any])
