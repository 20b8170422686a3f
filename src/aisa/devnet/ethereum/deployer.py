"""Putting contracts on a chain, and calling them, with accounts that anvil itself signs for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aisa.devnet.ethereum.abi import Value, address_at, argument_types, encode
from aisa.devnet.ethereum.artifact import Artifact
from aisa.devnet.ethereum.rpc import Receipt, Rpc
from aisa.errors import RailError

ZERO_ADDRESS: Final = "0x" + "00" * 20


class Deployer:
    """One unlocked account at work. Every send waits for its block."""

    def __init__(self, rpc: Rpc, account: str) -> None:
        self._rpc = rpc
        self.account = account

    def deploy(
        self, artifact: Artifact, *values: Value, libraries: Mapping[str, str] | None = None
    ) -> str:
        """Deploy a contract with its constructor's arguments; returns its address.

        Raises:
            RailError: its constructor reverted.
        """
        data = artifact.linked(libraries or {}) + encode(artifact.constructor, values).hex()
        receipt = self._carry_out({"from": self.account, "data": data}, artifact.name)
        return checksum(self._rpc, str(receipt["contractAddress"]))

    def send(self, to: str, signature: str, *values: Value) -> Receipt:
        """Call a contract's function in a chain tx.

        Raises:
            RailError: it reverted.
        """
        data = call_data(self._rpc, signature, values)
        return self._carry_out({"from": self.account, "to": to, "data": data}, signature)

    def read(self, to: str, signature: str, *values: Value) -> str:
        """What a contract's function answers, as hex."""
        data = call_data(self._rpc, signature, values)
        return str(self._rpc.call("eth_call", {"to": to, "data": data}, "latest"))

    def place(self, artifact: Artifact, address: str, *values: Value) -> None:
        """Put a contract at a chosen address, as if its constructor had run there.

        The constructor is run at that very address, so that what it computes from its own address
        or stores is right: first asked for the code that it returns, then, in a chain tx, for what
        it stores.
        """
        creation = artifact.linked({}) + encode(artifact.constructor, values).hex()
        self._rpc.call("anvil_setCode", address, creation)
        tx = {"from": self.account, "to": address}
        code = str(self._rpc.call("eth_call", tx, "latest"))
        self._carry_out(tx, artifact.name)
        self._rpc.call("anvil_setCode", address, code)

    def _carry_out(self, tx: Mapping[str, str], what: str) -> Receipt:
        try:
            tx_hash = str(self._rpc.call("eth_sendTransaction", tx))
            return self._rpc.wait_for(tx_hash)
        except RailError as error:
            raise RailError(f"the devnet's {what} failed: {error.detail}") from error


def selector(rpc: Rpc, signature: str) -> bytes:
    """The four bytes that name a function; the chain itself hashes the signature."""
    digest = str(rpc.call("web3_sha3", "0x" + signature.encode().hex()))
    return bytes.fromhex(digest.removeprefix("0x"))[:4]


def call_data(rpc: Rpc, signature: str, values: Sequence[Value]) -> str:
    """The data of a call, as hex."""
    return "0x" + (selector(rpc, signature) + encode(argument_types(signature), values)).hex()


def checksum(rpc: Rpc, address: str) -> str:
    """An address in the mixed case of ERC-55; the chain itself does the hashing."""
    small = address_at(address).removeprefix("0x")
    digest = str(rpc.call("web3_sha3", "0x" + small.encode().hex())).removeprefix("0x")
    letters = (
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(small, digest, strict=False)
    )
    return "0x" + "".join(letters)


def has_code(rpc: Rpc, address: str) -> bool:
    """Whether there is a contract at an address."""
    return len(str(rpc.call("eth_getCode", address, "latest"))) > len("0x")
