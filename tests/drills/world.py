"""A small world that lasts for many drills: a Solana devnet, a node, a seller and an agent."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from solders.keypair import Keypair

from aisa.cli.entry import main as aisa_main
from aisa.client import NodeClient
from aisa.demo.audit import Auditor, ChainView
from aisa.demo.outside import FEES_LAMPORTS
from aisa.demo.port import LOOPBACK, Ports, free_ports
from aisa.devnet.solana.__main__ import main as solana_main
from aisa.devnet.solana.genesis import Genesis
from aisa.devnet.solana.wallet import SolanaWallet
from aisa.identity import SigningKey
from tests.drills import agent as agent_process
from tests.drills.part import COUNTS, KILLED, Part, PartEnded, start
from tests.drills.seller import APP

START_S_MAX: Final = 120.0
STEP_S_MAX: Final = 400.0
SYMBOL: Final = "aiUSD"
ACCOUNT_CAP: Final = 200_000
BANK_UNITS: Final = 900_000_000
UNREDEEMED_CAP: Final = 30_000
_SLOT_MS: Final = 100

_SELLER_TOML = """\
[[node]]
url = "{url}"
network = "{network}"
fee_ppm_max = 10000
unredeemed_cap = {cap}
"""


class _Told(msgspec.Struct):
    url: str
    network: str = ""
    treasuries: tuple[str, ...] = ()


class _Card(msgspec.Struct):
    url: str
    network: str
    mints: tuple[dict[str, Any], ...]


class StepFailed(Exception):
    """The agent says that a step of the job failed."""


@dataclass
class World:
    """One world in `home`; `closing_s` is the node's closing clock."""

    home: Path
    closing_s: int
    ports: Ports = field(default_factory=lambda: Ports(*free_ports(3)))
    parts: dict[str, Part] = field(default_factory=dict)
    paid_in: int = 0
    hoarded: int = 0
    outsides: dict[str, bytes] = field(default_factory=dict)

    node_told: _Told = field(init=False)
    card: _Card = field(init=False)
    bank: SolanaWallet = field(init=False)
    auditor: Auditor = field(init=False)
    before: ChainView = field(init=False)

    @property
    def node_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.node}"

    @property
    def seller_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.seller}"

    @property
    def mint(self) -> str:
        return next(str(one["mint"]) for one in self.card.mints if one["symbol"] == SYMBOL)

    @property
    def asset(self) -> str:
        return next(str(one["asset"]) for one in self.card.mints if one["symbol"] == SYMBOL)

    @property
    def ledger(self) -> Path:
        return self.home / "node" / "ledger.sqlite"

    @property
    def payee(self) -> SigningKey:
        return SigningKey(bytes.fromhex((self.home / "seller" / "seller.key").read_text()))

    async def begin(self) -> None:
        """Start everything, unarmed."""
        self.home.mkdir(parents=True)
        await self._start_solana()
        await self._run("node", "init", "--devnet")
        self._tune_node()
        await self.start("node")
        self.node_told = self._service("node")
        seller = self.home / "seller"
        seller.mkdir(mode=0o700)
        (seller / "seller.key").write_text(os.urandom(32).hex())
        (seller / "seller.toml").write_text(
            _SELLER_TOML.format(
                url=self.node_url, network=self.node_told.network, cap=UNREDEEMED_CAP
            )
        )
        await self._open_bank()
        await self.start("seller")
        await self.start("agent")

    async def end(self) -> None:
        """Stop everyone."""
        if hasattr(self, "bank"):
            await self.bank.close()
        for name in ("agent", "seller", "node", "solana"):
            part = self.parts.pop(name, None)
            if part is not None:
                await part.stop()

    async def start(self, name: str, faults: str = "", counts: Path | None = None) -> Part:
        """Start a part anew and wait until it is ready, or has been killed by its failpoint."""
        if (before := self.parts.get(name)) is not None and before.code is None:
            await before.stop()
        environ = self.variables()
        if faults:
            environ["AISA_FAULTS"] = faults
        if counts is not None:
            environ[COUNTS] = str(counts)
        part = {"node": self._node, "seller": self._seller, "agent": self._agent}[name](environ)
        self.parts[name] = part
        if name != "agent":
            told = self.home / name / f"{name}.json"
            try:
                await part.wait_until(lambda: _is_of(told, part), START_S_MAX)
            except PartEnded:
                if not faults or part.code != KILLED:
                    raise
        return part

    async def step(self, name: str, plan: agent_process.Plan) -> object:
        """Have the agent's process take one step.

        Raises:
            StepFailed: it says that it could not.
            PartEnded: it ended before the step did.
        """
        part = self.parts["agent"]
        link = part.link
        assert link is not None
        try:
            link.send((name, plan))
            async with asyncio.timeout(STEP_S_MAX):
                is_done, answer = await _receive(link)
        except (EOFError, OSError) as error:
            code = await part.ended()
            words = part.last_words() if code != KILLED else ""
            raise PartEnded(f"the agent ended with {code} in {name}: {words}") from error
        except TimeoutError:
            part.kill()  # so that nobody waits at the link any more
            raise StepFailed(f"{name} took more than {STEP_S_MAX:.0f} s") from None
        if not is_done:
            raise StepFailed(f"{name}: {answer}")
        return answer

    async def pay_in(self, address: str, units: int) -> None:
        """Send tokens of the bank to an address, once."""
        await self.bank.send_token(self.mint, address, units)
        self.auditor.roles.setdefault(address, "node")
        self.paid_in += units

    def outside(self, name: str) -> str:
        """Return the address of somebody's own wallet on the chain."""
        seed = self.outsides.setdefault(name, os.urandom(32))
        address = str(Keypair.from_seed(seed).pubkey())
        self.auditor.roles[address] = "outside"
        return address

    async def outside_units(self, name: str) -> int:
        """Return what a wallet outside the node holds on the chain."""
        keypair = Keypair.from_seed(self.outsides[name])
        async with SolanaWallet(self.card.url, keypair) as wallet:
            return await wallet.token_units(self.mint)

    def client(self, key: SigningKey) -> NodeClient:
        return NodeClient(self.node_url, key)

    def variables(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AISA_HOME": str(self.home),
            "AISA_DEVNET": "1",
        }

    def keep_logs(self, target: Path) -> None:
        """Keep what a failed drill left behind."""
        shutil.rmtree(target, ignore_errors=True)
        with suppress(shutil.Error, OSError):
            shutil.copytree(self.home, target)

    def _node(self, environ: Mapping[str, str]) -> Part:
        more = {
            "AISA_NODE_SOLANA": self.card.url,
            "AISA_NODE_DEPOSIT_POLL_MS": "100",
            "AISA_NODE_RECONCILE_MS": "200",
            "AISA_NODE_CLOSING_S": str(self.closing_s),
            "AISA_NODE_SOLVENCY_S": "5",
            "AISA_NODE_WITHDRAWAL_WAIT_MS": "1000",
            "AISA_NODE_DRAIN_S": "3",
        }
        words = ["node", "up", "--port", str(self.ports.node)]
        return self._command("node", words, {**environ, **more})

    def _seller(self, environ: Mapping[str, str]) -> Part:
        words = ["seller", "up", APP, "--port", str(self.ports.seller)]
        return self._command("seller", words, {**environ, "AISA_NODE": self.node_url})

    def _agent(self, environ: Mapping[str, str]) -> Part:
        log = self.home / "log" / "agent.log"
        return start("agent", agent_process.main, [], environ, log, linked=True)

    def _command(self, name: str, words: list[str], environ: Mapping[str, str]) -> Part:
        (self.home / name / f"{name}.json").unlink(missing_ok=True)
        return start(name, run_aisa, words, environ, self.home / "log" / f"{name}.log")

    async def _run(self, *words: str) -> None:
        part = start(
            "command", run_aisa, [*words], self.variables(), self.home / "log" / "command.log"
        )
        if await part.ended():
            raise PartEnded(f"aisa {' '.join(words)}: {part.last_words()}")

    async def _start_solana(self) -> None:
        ready = self.home / "devnet" / "solana.json"
        ready.parent.mkdir()
        words = [
            *("--port", str(self.ports.solana), "--state", str(ready.with_suffix(".state"))),
            *("--ready-file", str(ready), "--slot-ms", str(_SLOT_MS)),
        ]
        part = start("solana", run_solana, words, {}, self.home / "log" / "solana.log")
        self.parts["solana"] = part
        await part.wait_until(ready.exists, START_S_MAX)
        self.card = msgspec.json.decode(ready.read_bytes(), type=_Card)

    def _tune_node(self) -> None:
        """A low cap, so that deposits are held and released."""
        config = self.home / "node" / "node.toml"
        text = config.read_text()
        code = f'code = "{SYMBOL}"\n'
        assert code in text
        config.write_text(text.replace(code, f'{code}account_cap = "0.2"\n'))

    async def _open_bank(self) -> None:
        self.bank = SolanaWallet(self.card.url, Keypair())
        genesis = Genesis()
        faucet, issuer = (str(genesis.keypair(role).pubkey()) for role in ("faucet", "issuer"))
        roles = {
            faucet: "faucet",
            issuer: "issuer",
            self.mint: "mint",
            self.bank.address: "bank",
            **dict.fromkeys(self.node_told.treasuries, "node"),
        }
        self.auditor = Auditor(self.bank, self.card.network, (faucet, issuer, self.mint), roles)
        self.before = await self.auditor.read()
        await self.bank.request_airdrop(FEES_LAMPORTS)
        await self.bank.request_tokens(self.mint, BANK_UNITS)
        for address in self.node_told.treasuries:
            await self.bank.call("requestAirdrop", address, 10 * FEES_LAMPORTS)

    def _service(self, name: str) -> _Told:
        return msgspec.json.decode((self.home / name / f"{name}.json").read_bytes(), type=_Told)


def run_aisa(arguments: list[str], link: Connection | None) -> int:
    return aisa_main(arguments)


def run_solana(arguments: list[str], link: Connection | None) -> int:
    return solana_main(arguments)


def _is_of(told: Path, part: Part) -> bool:
    """Whether the file was written by this very process."""
    try:
        document = cast("dict[str, Any]", msgspec.json.decode(told.read_bytes()))
    except (FileNotFoundError, msgspec.MsgspecError):
        return False
    return document["pid"] == part.process.pid


async def _receive(link: Connection) -> tuple[bool, object]:
    return await asyncio.to_thread(link.recv)
