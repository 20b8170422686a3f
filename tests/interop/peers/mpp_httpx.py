"""pympp as a client: `pay` lets it do all by itself, `sign` has it answer one challenge."""

from __future__ import annotations

import asyncio
from typing import Any

from eth_account import Account
from line import SETTINGS, answer, commands
from mpp import Challenge
from mpp.client import Mpp
from mpp.methods.evm import client as evm
from mpp.runtime import CredentialParams

TOKEN = SETTINGS["token"]
method = evm.charge(
    currency=TOKEN["address"],
    account=Account.from_key(SETTINGS["key"]),
    chain_id=SETTINGS["chain_id"],
    decimals=TOKEN["decimals"],
    authorization={"name": TOKEN["name"], "version": TOKEN["version"]},
)


async def pay(url: str) -> dict[str, Any]:
    async with Mpp(methods=[method]) as engine:
        got = await engine.fetch(url)
    receipt = got.headers.get("Payment-Receipt", "")
    return {"status": got.status_code, "body": got.text, "receipt": receipt}


async def sign(offer: str) -> dict[str, Any]:
    challenge = Challenge.from_www_authenticate(offer)
    credential = await method.create_credential(CredentialParams(challenge=challenge))
    return {"headers": {"Authorization": credential}}


with asyncio.Runner() as runner:

    def act(command: dict[str, Any]) -> dict[str, Any]:
        done = pay(command["url"]) if command["do"] == "pay" else sign(command["offer"])
        return runner.run(done)

    for one in commands():
        answer(act, one)
