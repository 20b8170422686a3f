"""The official async client: `pay` lets it do all by itself, `sign` has it answer one offer."""

from __future__ import annotations

import asyncio
from typing import Any

from line import answer, commands
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.http.x402_http_client import x402HTTPClient
from x402_payer import with_schemes

payer = with_schemes(x402Client())
headers = x402HTTPClient(payer)


async def pay(url: str) -> dict[str, Any]:
    async with x402HttpxClient(payer, timeout=60, trust_env=False) as client:
        got = await client.get(url)
    receipt = got.headers.get("PAYMENT-RESPONSE", "")
    return {"status": got.status_code, "body": got.text, "receipt": receipt}


async def sign(offer: str) -> dict[str, Any]:
    required = headers.get_payment_required_response({"PAYMENT-REQUIRED": offer}.get)
    payload = await payer.create_payment_payload(required)
    return {"headers": headers.encode_payment_signature_header(payload)}


with asyncio.Runner() as runner:

    def act(command: dict[str, Any]) -> dict[str, Any]:
        done = pay(command["url"]) if command["do"] == "pay" else sign(command["offer"])
        return runner.run(done)

    for one in commands():
        answer(act, one)
