"""The official sync client: `pay` lets it do all by itself, `sign` has it answer one offer."""

from __future__ import annotations

from typing import Any

from line import answer, commands
from x402 import x402ClientSync
from x402.http.clients.requests import x402_requests
from x402.http.x402_http_client import x402HTTPClientSync
from x402_payer import with_schemes

payer = with_schemes(x402ClientSync())
headers = x402HTTPClientSync(payer)


def act(command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "pay":
        with x402_requests(payer) as session:
            session.trust_env = False
            got = session.get(command["url"], timeout=60)
        receipt = got.headers.get("PAYMENT-RESPONSE", "")
        return {"status": got.status_code, "body": got.text, "receipt": receipt}
    required = headers.get_payment_required_response({"PAYMENT-REQUIRED": command["offer"]}.get)
    payload = payer.create_payment_payload(required)
    return {"headers": headers.encode_payment_signature_header(payload)}


for one in commands():
    answer(act, one)
