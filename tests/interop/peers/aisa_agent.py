"""AISA's agent: `pay` lets it do all by itself, `sign` shows it an offer as a seller's own.

It has no command to sign without paying, so an offer is made to it by a server of this script, which
keeps what the agent sends and refuses it.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from line import SETTINGS, answer, commands

from aisa.errors import AisaError
from aisa.protocol.evm_address import format_address
from aisa.sdk import Agent
from aisa.sdk.home import ensure_agent_seed
from aisa.sdk.purse import agent_evm_key

# A node that is not there, so that no channel can pay AISA's own paywall before x402 is tried.
CONFIG = """\
[agent]
node = "http://127.0.0.1:9"

[agent.budget]
per_call = "0.01 aiUSD"
per_seller = "none"
per_day = "1 aiUSD"
"""
ASSET = """
[[agent.x402.asset]]
asset = "{network}/erc20:{asset}"
symbol = "{method}"
currency = "aiUSD"
scale = 6
method = "{method}"
name = "{name}"
version = "{version}"
per_call = "0.01 aiUSD"
per_day = "1 aiUSD"
"""
METHODS = ("eip3009", "permit2")

home = Path(SETTINGS["scratch"], "agent")
home.mkdir(mode=0o700)
network, token = SETTINGS["network"], SETTINGS["token"]
tables = [
    ASSET.format(
        network=network, asset=asset, method=method, name=token["name"], version=token["version"]
    )
    for asset, method in zip(SETTINGS["assets"], METHODS, strict=True)
]
(home / "config.toml").write_text(CONFIG + "".join(tables))
key = agent_evm_key(ensure_agent_seed(home), network)
agent = Agent(home)


def pay(url: str) -> dict[str, Any]:
    got = agent.get(url)
    headers = {name.lower(): value for name, value in got.headers.items()}
    receipt = headers.get("payment-response", "")
    return {"status": got.status, "body": got.text, "receipt": receipt}


def sign(offer: str) -> dict[str, Any]:
    required = json.loads(base64.b64decode(offer))
    sent: list[str] = []

    class Seller(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if signed := self.headers.get("PAYMENT-SIGNATURE"):
                sent.append(signed)
            here = {**required, "resource": {"url": f"{url}/offer"}}
            self.send_response(402)
            if not signed:
                self.send_header("PAYMENT-REQUIRED", packed(here))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Seller)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    try:
        agent.get(f"{url}/offer")
    except AisaError as error:
        if not sent:
            raise
        del error  # it was refused by this script, and rightly cannot know what became of it
    finally:
        server.shutdown()
        server.server_close()
    payment = json.loads(base64.b64decode(sent[0]))
    payment["resource"] = required.get("resource")
    return {"headers": {"PAYMENT-SIGNATURE": packed(payment)}}


def packed(value: object) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def act(command: dict[str, Any]) -> dict[str, Any]:
    return pay(command["url"]) if command["do"] == "pay" else sign(command["offer"])


for one in commands(address=format_address(key.address)):
    answer(act, one)
