"""A wallet outside every node: what the demo's agent and `aisa wallet fund` send tokens with."""

from __future__ import annotations

import asyncio
import base64
from types import TracebackType
from typing import cast

import httpx2
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from aisa.devnet.solana.instruction import create_token_account, token_account, transfer_tokens
from aisa.errors import InvalidRequest, OutcomeUnknown, RailError, RailUnavailable

_POLL_S = 0.1


class SolanaWallet:
    """One key's tokens on a devnet, by its RPC. An async context manager."""

    def __init__(self, rpc_url: str, keypair: Keypair, *, timeout_s: float = 20.0) -> None:
        self._rpc_url = rpc_url
        self._keypair = keypair
        self._client = httpx2.AsyncClient(timeout=timeout_s, trust_env=False)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> SolanaWallet:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """The wallet's address: give it to whoever sends SOL or tokens."""
        return str(self._keypair.pubkey())

    def token_address(self, mint: str) -> str:
        """The wallet's token account for a mint."""
        return str(token_account(self._keypair.pubkey(), _address(mint)))

    async def lamports(self) -> int:
        """The wallet's SOL, in lamports."""
        answer = cast("dict[str, int]", await self.call("getBalance", self.address))
        return answer["value"]

    async def token_units(self, mint: str) -> int:
        """The wallet's tokens of a mint, 0 if it never held any."""
        options = {"encoding": "base64", "commitment": "confirmed"}
        answer = await self.call("getAccountInfo", self.token_address(mint), options)
        account = cast("dict[str, dict[str, list[str]] | None]", answer)["value"]
        if account is None:
            return 0
        return int.from_bytes(base64.b64decode(account["data"][0])[64:72], "little")

    async def request_airdrop(self, lamports: int) -> str:
        """Ask the faucet for SOL; returns the signature."""
        return str(await self.call("requestAirdrop", self.address, lamports))

    async def request_tokens(self, mint: str, units: int) -> str:
        """Ask the devnet's issuer to make tokens for this wallet; returns the signature."""
        wish = {"mint": mint, "owner": self.address, "units": str(units)}
        answer = cast("dict[str, str]", await self.call("aisa_mint", wish))
        return answer["signature"]

    async def send_token(self, mint: str, destination_owner: str, units: int) -> str:
        """Send tokens to an owner's associated account, made if needed; returns the signature.

        Waits until the chain tx is confirmed.

        Raises:
            RailError: the network refused it; nothing moved.
            OutcomeUnknown: it was sent, and not seen within the timeout.
        """
        payer, mint_key = self._keypair.pubkey(), _address(mint)
        owner = _address(destination_owner)
        supply = await self.call("getTokenSupply", mint)
        scale = cast("dict[str, dict[str, int]]", supply)["value"]["decimals"]
        destination = token_account(owner, mint_key)
        return await self._carry_out(
            [
                create_token_account(payer, owner, mint_key),
                transfer_tokens(payer, mint_key, destination, units, scale),
            ]
        )

    async def call(self, method: str, *params: object) -> object:
        """Ask the RPC.

        Raises:
            RailUnavailable: no answer.
            RailError: it answered with an error.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            response = await self._client.post(self._rpc_url, json=body)
            answer = cast("dict[str, object]", response.raise_for_status().json())
        except (httpx2.HTTPError, ValueError) as error:
            raise RailUnavailable(f"the devnet does not answer {method}") from error
        if "error" in answer:
            problem = cast("dict[str, object]", answer["error"])
            raise RailError(f"{method}: {problem.get('message')}")
        return answer["result"]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _carry_out(self, steps: list[Instruction]) -> str:
        latest = await self.call("getLatestBlockhash", {"commitment": "confirmed"})
        text = cast("dict[str, dict[str, str]]", latest)["value"]["blockhash"]
        blockhash = Hash.from_string(text)
        message = MessageV0.try_compile(self._keypair.pubkey(), steps, [], blockhash)
        tx = VersionedTransaction(message, [self._keypair])
        options = {"encoding": "base64", "preflightCommitment": "confirmed"}
        encoded = base64.b64encode(bytes(tx)).decode()
        signature = str(await self.call("sendTransaction", encoded, options))
        await self._wait(signature)
        return signature

    async def _wait(self, signature: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    if await self._is_confirmed(signature):
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{signature} was sent and is not confirmed") from error

    async def _is_confirmed(self, signature: str) -> bool:
        answer = await self.call("getSignatureStatuses", [signature])
        status = cast("dict[str, list[dict[str, object] | None]]", answer)["value"][0]
        if status is None:
            return False
        if status["err"] is not None:
            raise RailError(f"{signature} landed and failed: {status['err']}")
        return status["confirmationStatus"] in {"confirmed", "finalized"}


def _address(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise InvalidRequest(f"{text[:64]!r} is not a Solana address") from error
