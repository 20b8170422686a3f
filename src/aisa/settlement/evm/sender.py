"""Chain txs of the treasury: written down before they are sent, one nonce each, one key, one queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import TypeVar

from aisa import faults
from aisa.errors import AisaError, RailUnavailable
from aisa.identity.evm_key import EvmSigner
from aisa.protocol.evm_address import format_address
from aisa.settlement.evm.answer import quantity
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.chain_tx import ChainTx, Price
from aisa.settlement.evm.entry import Attempt, Call, Entry, parse_entry
from aisa.settlement.evm.fees import Fees
from aisa.settlement.evm.nonces import NonceBook
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.settings import EvmSettings
from aisa.settlement.evm.tracker import Tracker
from aisa.settlement.rail import Clock, Failed, Outcome, SendJournal, Settled, Unknown

T = TypeVar("T")

_ATTEMPTS_MAX = 24
_PLAIN_GAS = 100_000
_REAPED_MAX = 4
_log = logging.getLogger("aisa.evm")


class Sender:
    """Signs, sends, follows, replaces and closes; `lock` guards what is written down.

    A killed process leaves at most a claimed nonce without an entry, which was never sent, or an
    entry that may have been sent: the next run repeats its bytes and looks.
    """

    def __init__(
        self,
        *,
        rpc: EvmRpc,
        chain: Chain,
        chain_id: int,
        signer: EvmSigner,
        journal: SendJournal,
        clock: Clock,
        settings: EvmSettings,
    ) -> None:
        self.lock = asyncio.Lock()
        self.fees = Fees(rpc, settings)
        self._rpc = rpc
        self._chain = chain
        self._chain_id = chain_id
        self._signer = signer
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._own = signer.address
        self._tracker = Tracker(rpc, chain, signer.address)
        self._nonces = NonceBook(journal, f"evm-nonces:{chain_id}:{signer.address.hex()}")

    @property
    def own(self) -> bytes:
        """The treasury's address."""
        return self._own

    async def find(self, id: str) -> Entry | None:  # noqa: A002 - the port's word
        """What was written down for an id."""
        body = await self._journal.load(id)
        return None if body is None else parse_entry(id, body)

    async def open_entries(self) -> list[Entry]:
        """Everything without an outcome, by nonce; called under the lock."""
        entries = await self._nonces.open_entries()
        return [entries[nonce][1] for nonce in sorted(entries)]

    async def waiting_entries(self) -> list[Entry]:
        """What is in no block yet; called under the lock."""
        _, used, _ = await self._standing()
        return [entry for entry in await self.open_entries() if entry.nonce >= used]

    async def gas(self, call: Call) -> int:
        """What a call may use, a quarter more than it uses now.

        Raises:
            RailError: the network would refuse it.
            RailUnavailable: no server answers.
        """
        wish: dict[str, str] = {"from": "0x" + self._own.hex(), "to": "0x" + call.to.hex()}
        if call.data:
            wish["data"] = "0x" + call.data.hex()
        if call.value_wei:
            wish["value"] = hex(call.value_wei)
        return quantity(await self._rpc.call(str, "eth_estimateGas", wish)) * 5 // 4 + 5_000

    async def submit(self, id: str, call: Call, *, gas: int | None = None) -> Entry:  # noqa: A002
        """Rehearse, sign and write down; nothing has left before it returns. Under the lock.

        Raises:
            RailError: the network would refuse it.
            RailUnavailable: no answer, gas too dear, or too little money for it.
        """
        gas = await self.gas(call) if gas is None else gas
        price = await self.fees.price()
        height, used, held_wei = await self._standing()
        await self._reap(height)
        open_wei = sum(one.cost_wei_max for one in await self.open_entries() if one.nonce >= used)
        needed_wei = gas * price.fee_wei + call.value_wei
        if held_wei < open_wei + needed_wei:
            raise RailUnavailable(
                f"the treasury has {held_wei} wei, {open_wei + needed_wei} may be needed for gas",
                hint=f"send the native coin to {format_address(self._own)}",
            )
        return await unbroken(self._write_down(id, call, gas, price, used, height))

    async def carry_out(self, id: str, *, until_included: bool = False) -> Outcome:  # noqa: A002
        """Send what was written down and wait a bounded time; raises nothing, since it may be out."""
        reference: str | None = None
        try:
            entry = await self.find(id)
            if entry is not None:
                reference = entry.newest.hash
                if entry.is_open:
                    await self._broadcast(entry)
            return await self._follow(id, until_included=until_included)
        except AisaError as error:
            _log.warning("%s: its outcome could not be seen: %s", id, error.detail)
            return Unknown(reference)

    async def look_up(self, id: str, entry: Entry) -> Outcome:  # noqa: A002
        """What is proved now; while it is not, its bytes are repeated and replaced in time."""
        if not entry.is_open:
            return entry.outcome()
        sight = await self._tracker.look(entry)
        if isinstance(sight.outcome, Unknown):
            if not sight.is_included:
                with contextlib.suppress(AisaError):
                    await self._tend(id)
            return sight.outcome
        return await self._close(id, sight.outcome)

    async def _follow(self, id: str, *, until_included: bool) -> Outcome:  # noqa: A002
        now = asyncio.get_running_loop().time  # only the pace of repeats hangs on it
        deadline = now() + self._settings.send_timeout_s
        repeat_at = now() + self._settings.repeat_s
        while True:
            entry = await self.find(id)
            if entry is None or not entry.is_open:
                return Unknown(None) if entry is None else entry.outcome()
            sight = await self._tracker.look(entry)
            if not isinstance(sight.outcome, Unknown):
                return await self._close(id, sight.outcome)
            if now() >= deadline or (until_included and sight.is_included):
                return sight.outcome
            if now() >= repeat_at and not sight.is_included:
                with contextlib.suppress(RailUnavailable):
                    await self._tend(id)
                repeat_at = now() + self._settings.repeat_s
            await asyncio.sleep(self._settings.poll_s)

    async def _standing(self) -> tuple[int, int, int]:
        """Height, nonces used and wei of the treasury at one block."""
        head = await self._chain.head()
        where = ("0x" + self._own.hex(), head.number)
        used = await self._rpc.call(str, "eth_getTransactionCount", *where)
        wei = await self._rpc.call(str, "eth_getBalance", *where)
        return head.height, quantity(used), quantity(wei)

    async def _write_down(
        self,
        id: str,  # noqa: A002
        call: Call,
        gas: int,
        price: Price,
        used: int,
        height: int,
    ) -> Entry:
        faults.hit("node.evm.claim.before")
        nonce = await self._nonces.claim(id, used)
        faults.hit("node.evm.claim.after")
        tx = ChainTx(self._chain_id, nonce, call.to, call.data, call.value_wei, gas, price)
        entry = Entry.of(call, tx, height, self._signed(tx, is_cancel=False))
        await self._keep(id, entry)
        return entry

    def _signed(self, tx: ChainTx, *, is_cancel: bool) -> Attempt:
        faults.hit("node.evm.sign.before")
        raw, hash_ = tx.sign(self._signer)
        faults.hit("node.evm.sign.after")
        return Attempt(raw, hash_, tx.price.fee_wei, tx.price.tip_wei, self._clock(), is_cancel)

    async def _keep(self, id: str, entry: Entry) -> None:  # noqa: A002
        faults.hit("node.evm.journal.before")
        await self._journal.save(id, entry.to_bytes())
        faults.hit("node.evm.journal.after")
        self._nonces.note(entry)

    async def _broadcast(self, entry: Entry) -> None:
        """Hand the newest version to every server; one nonce lands once, so repeat freely."""
        faults.hit("node.evm.send.before")
        await self._rpc.broadcast(entry.newest.raw)
        faults.hit("node.evm.send.after")

    async def _tend(self, id: str) -> None:  # noqa: A002
        """Repeat the bytes of an entry and of the one that all others wait for."""
        async with self.lock:
            _, used, _ = await self._standing()
            gap = await self._nonces.gap(used)
            if gap is not None:
                await self._fill(gap)
            entries = await self._nonces.open_entries()
            waiting = [nonce for nonce in sorted(entries) if nonce >= used]
            if waiting:
                await unbroken(self._replace(*entries[waiting[0]], used))
            entries = await self._nonces.open_entries()
            front = {entries[nonce][0] for nonce in waiting[:1]}
        for one in {*front, id}:
            entry = await self.find(one)
            if entry is not None and entry.is_open:
                await self._broadcast(entry)

    async def _fill(self, nonce: int) -> None:
        """Use up a nonce that nobody was promised, so that those behind it can land."""
        _log.warning("nonce %d was left unused and holds back others: filling it", nonce)
        gap_id = f"evm-gap:{self._chain_id}:{self._own.hex()}:{nonce}"
        price = await self.fees.price()
        height, used, _ = await self._standing()
        nothing = Call("gap", self._own)
        await unbroken(self._write_down(gap_id, nothing, _PLAIN_GAS, price, used, height))

    async def _replace(self, id: str, entry: Entry, used: int) -> None:  # noqa: A002
        """Write down a dearer version of what waits too long at the head of the queue."""
        now_ms = self._clock()
        gives_up = now_ms - entry.attempts[0].at_ms >= self._settings.give_up_after_s * 1000
        is_cancel = entry.newest.is_cancel or gives_up
        is_late = now_ms - entry.newest.at_ms >= self._settings.replace_after_s * 1000
        is_due = is_late or is_cancel != entry.newest.is_cancel
        if entry.nonce != used or not is_due or len(entry.attempts) >= _ATTEMPTS_MAX:
            return
        price = entry.newest.price.raised(await self.fees.price())
        if not self.fees.is_allowed(price):
            return
        tx = entry.tx(self._chain_id, price, self._own, is_cancel=is_cancel)
        _log.info("%s waits: sent again for %d wei a gas", id, price.fee_wei)
        await self._keep(id, entry.with_attempt(self._signed(tx, is_cancel=is_cancel)))

    async def _close(self, id: str, outcome: Settled | Failed) -> Outcome:  # noqa: A002
        # An exception would say that nothing was sent. What was proved can be proved again.
        with contextlib.suppress(AisaError):
            async with self.lock:
                await self._close_locked(id, outcome)
        return outcome

    async def _close_locked(self, id: str, outcome: Settled | Failed) -> None:  # noqa: A002
        entry = await self.find(id)
        if entry is None or not entry.is_open:
            return
        faults.hit("node.evm.outcome.before")
        await unbroken(self._journal.save(id, entry.closed(outcome).to_bytes()))
        faults.hit("node.evm.outcome.after")
        await unbroken(self._nonces.release(entry.nonce))

    async def _reap(self, height: int) -> None:
        """Close the oldest of what nobody waits for, such as sweeps. Under the lock."""
        entries = sorted((await self._nonces.open_entries()).items())
        waited = [one for _, one in entries if one[1].purpose != "pay"]
        for id_, entry in waited[:_REAPED_MAX]:
            if entry.signed_at_height >= height:
                continue
            outcome = (await self._tracker.look(entry)).outcome
            if not isinstance(outcome, Unknown):
                await self._close_locked(id_, outcome)


async def unbroken(work: Awaitable[T]) -> T:
    """Finish a piece of work whose half would be worse than nothing, even if cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
