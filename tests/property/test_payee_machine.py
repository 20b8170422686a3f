"""The payee's till against a naive model of it, with restarts and failed commits in between."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from aisa.channel.payee import PayeeCall, Repeat
from aisa.channel.payee_check import HubExposure, PayeeRules
from aisa.channel.payee_session import PayeeExchange
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.channel.store import ChannelState
from aisa.errors import (
    AisaError,
    CapExceeded,
    ChannelUnknown,
    LaneClosed,
    StoreUnavailable,
    TickRefused,
    VoucherRefused,
    VoucherRequired,
)
from aisa.identity import SigningKey
from aisa.paywall.till import Till
from aisa.protocol.aip import Tick
from tests.integration.paying import HUB_KEY, NETWORK, PAYEE, SELLER_SEED, T0_MS, Payer, statement

CAP = 3_000
DEPOSIT = 2_000
LANES = 2
SEQS = 4
NOW_S = T0_MS // 1000


class _Model:
    """What a channel must be, as plainly as it can be said."""

    def __init__(self) -> None:
        self.ceiling = 1_000
        self.charged: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.open: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.closed_lanes: set[int] = set()
        self.redeemed = 0
        self.is_closing = False

    def total(self) -> int:
        return sum(units for _, units in self.charged.values())

    def reserved(self) -> int:
        return sum(units for _, units in self.open.values())


class PayeeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.signer = SigningKey(SELLER_SEED)
        self.exchange = PayeeExchange(SELLER_SEED, self.signer)
        self.payers = [Payer(f"p{number}") for number in range(3)]
        self.models: dict[int, _Model] = {}
        self.calls: dict[tuple[int, int, int], PayeeCall] = {}
        self.start()

    def start(self) -> None:
        self.store = SqliteChannelStore(Path(self.folder.name) / "seller.sqlite", PAYEE)
        # What is tested is not the disk: tests/contract and the kill test do that.
        self.store._writer.execute("PRAGMA synchronous=OFF")
        self.hub = HubExposure(NETWORK, HUB_KEY.public_key, 5000, CAP)
        rules = PayeeRules(PAYEE, "aiUSD", {NETWORK: self.hub}, 0)
        self.till = Till(
            self.store,
            rules,
            self.exchange,
            lambda: T0_MS,
            in_thread=False,
            on_hub_due=lambda _: None,
            channels_max=2,
        )

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.till.gatherer.close())
        self.store.close()
        self.loop.close()
        self.folder.cleanup()

    def opened(self) -> bool:
        return bool(self.models)

    def pick(self, data: Any) -> int:
        return data.draw(st.sampled_from(sorted(self.models)))

    def exposure(self) -> int:
        return sum(m.total() - m.redeemed + m.reserved() for m in self.models.values())

    @rule(number=st.integers(0, 2))
    def open_channel(self, number: int) -> None:
        payer = self.payers[number]
        key = self.exchange.offered(NOW_S).x25519
        action = payer.open_action(key, NOW_S, deposit=DEPOSIT, ceiling=1_000)
        if number in self.models and self.models[number].is_closing:
            self.refused(ChannelUnknown, self.till.open, action, T0_MS)
            return

        async def opens() -> None:
            channel = self.till.open(action, T0_MS)
            await self.till.gatherer.save(channel)

        self.run(opens())
        self.models.setdefault(number, _Model())

    @precondition(opened)
    @rule(
        data=st.data(),
        lane=st.integers(0, LANES - 1),
        seq=st.integers(1, SEQS),
        price=st.sampled_from([1, 100, 400]),
        digest=st.sampled_from([b"a" * 32, b"b" * 32]),
    )
    def admit(self, data: Any, lane: int, seq: int, price: int, digest: bytes) -> None:
        number = self.pick(data)
        model, payer = self.models[number], self.payers[number]
        tick = Tick.decode(Tick(payer.id, lane, seq, price).seal(payer.tick_key, digest))
        key = (lane, seq)

        def admits() -> Any:
            return self.till.admit(tick, digest, price, T0_MS)

        if key in model.open:
            if model.open[key][0] != digest:
                self.refused(TickRefused, admits)
            else:
                assert admits().running is self.calls[number, lane, seq]
        elif key in model.charged:
            assert admits() == Repeat(None)
            stored = self.till.stored(tick)
            assert stored is not None
            assert (stored.charge.request, stored.charge.units) == model.charged[key]
        elif model.is_closing:
            self.refused(ChannelUnknown, admits)
        elif lane in model.closed_lanes:
            self.refused(LaneClosed, admits)
        elif model.total() + model.reserved() + price > model.ceiling:
            self.refused(VoucherRequired, admits)
        elif self.exposure() + price > CAP:
            self.refused(CapExceeded, admits)
        else:
            self.calls[number, lane, seq] = admits()
            model.open[key] = (digest, price)

    @precondition(opened)
    @rule(data=st.data(), lane=st.integers(0, LANES - 1), seq=st.integers(1, SEQS))
    def forged(self, data: Any, lane: int, seq: int) -> None:
        payer = self.payers[self.pick(data)]
        tick = Tick(payer.id, lane, seq, 100, bytes(16))
        self.refused(TickRefused, self.till.admit, tick, b"a" * 32, 100, T0_MS)

    @precondition(lambda self: bool(self.calls))
    @rule(data=st.data(), part=st.integers(0, 2))
    def charge(self, data: Any, part: int) -> None:
        keys = data.draw(
            st.lists(st.sampled_from(sorted(self.calls)), min_size=1, max_size=5, unique=True)
        )

        async def charges() -> None:
            await asyncio.gather(
                *(
                    self.till.gatherer.charge(
                        self.calls[key], self.calls[key].units * part // 2, 200, bytes(32), b"x"
                    )
                    for key in keys
                )
            )

        self.run(charges())
        for number, lane, seq in keys:
            self.calls.pop((number, lane, seq))
            model = self.models[number]
            digest, price = model.open.pop((lane, seq))
            model.charged[lane, seq] = (digest, price * part // 2)

    @precondition(lambda self: bool(self.calls))
    @rule(data=st.data())
    def commit_fails(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.calls)))
        commit = self.store.commit

        def fails(batch: Any) -> None:
            raise StoreUnavailable("full")

        self.store.commit = fails  # type: ignore[method-assign]
        charging = self.till.gatherer.charge(self.calls[key], 1, 200, bytes(32), b"")
        self.refused(StoreUnavailable, self.run, charging)
        self.store.commit = commit  # type: ignore[method-assign]
        self.forget(key)

    @precondition(lambda self: bool(self.calls))
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.calls)))

        async def releases() -> None:
            self.till.release(self.calls[key])

        self.run(releases())
        self.forget(key)

    def forget(self, key: tuple[int, int, int]) -> None:
        self.calls.pop(key)
        self.models[key[0]].open.pop(key[1:])

    @precondition(opened)
    @rule(data=st.data(), ceiling=st.integers(0, DEPOSIT + 200), good=st.booleans())
    def voucher(self, data: Any, ceiling: int, good: bool) -> None:
        number = self.pick(data)
        model = self.models[number]
        signer = self.payers[number] if good else self.payers[(number + 1) % 3]
        own = self.payers[number].voucher(ceiling)
        voucher = type(own)(own.channel, ceiling, 0, signer.key.sign(own.message()))
        channel = self.till.find(own.channel)
        if ceiling <= model.ceiling:
            assert not channel.accept_voucher(voucher)
        elif ceiling > DEPOSIT or not good:
            self.refused(VoucherRefused, channel.accept_voucher, voucher)
        else:
            assert channel.accept_voucher(voucher)
            self.run(self.till.gatherer.save(channel))
            model.ceiling = ceiling

    @precondition(opened)
    @rule(data=st.data(), lane=st.integers(0, LANES - 1))
    def close_lane(self, data: Any, lane: int) -> None:
        number = self.pick(data)
        model = self.models[number]
        if any(key[0] == lane for key in model.open):
            return
        channel = self.till.find(self.payers[number].id)
        closed = self.run(self.till.close_lane(channel, lane, T0_MS))
        model.closed_lanes.add(lane)
        assert closed.units == sum(u for (n, _), (_, u) in model.charged.items() if n == lane)

    @precondition(opened)
    @rule(data=st.data(), closing=st.booleans())
    def redeem(self, data: Any, closing: bool) -> None:
        number = self.pick(data)
        model = self.models[number]
        channel = self.till.find(self.payers[number].id)
        if channel.state is ChannelState.CLOSED:
            return
        if closing:
            channel.start_closing()
            model.is_closing = True
        cumulative = channel.claim()
        assert model.redeemed <= cumulative <= model.total()
        channel.redeemed_to(cumulative, final=channel.is_claim_final)
        model.redeemed = cumulative
        self.run(self.till.gatherer.save(channel))

    @rule()
    def restart(self) -> None:
        """The process dies: what was in flight is gone, what was acknowledged is not."""
        self.store.close()
        for key in list(self.calls):
            self.forget(key)
        self.start()

    @precondition(opened)
    @rule(data=st.data())
    def old_statement(self, data: Any) -> None:
        payer = self.payers[self.pick(data)]
        channel = self.till.find(payer.id)
        if channel.state is ChannelState.OPEN:
            assert not channel.accept_statement(statement(payer.id, DEPOSIT, 1), NOW_S)

    @invariant()
    def the_books_agree(self) -> None:
        assert self.hub.units == self.exposure()
        for number, model in self.models.items():
            channel = self.till.find(self.payers[number].id)
            assert channel.charged == model.total()
            assert channel.reserved == model.reserved()
            assert channel.in_flight == len(model.open)
            assert channel.ceiling == model.ceiling
            assert channel.redeemed == model.redeemed
            assert channel.charged + channel.reserved <= channel.ceiling <= channel.deposit

    @staticmethod
    def refused(error: type[AisaError], call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except error:
            return
        raise AssertionError(f"{error.__name__} was not raised")


TestPayeeMachine = PayeeMachine.TestCase
TestPayeeMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
