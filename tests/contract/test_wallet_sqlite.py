from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aisa.channel.payer import Limits
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.errors import ConfigInvalid
from aisa.protocol.aip import escrow_terms
from tests.contract.wallet_suite import NOW, WalletSuite, opened, plan
from tests.contract.wallet_transfers import transfer
from tests.vectors import evm

CLAIMER = """
import sys
from dataclasses import replace
from pathlib import Path
from aisa.channel.payer import LeaseAsk, Limits
from aisa.channel.wallet import SessionPlan
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.errors import BudgetExceeded

path, seed = sys.argv[1:]
wallet = SqliteWallet(Path(path))
(channel,) = wallet.channels()
key = bytes([int(seed)]) * 32
made = wallet.make_session(SessionPlan(channel.channel, key, key, bytes(32), 2**40))
units = 0
try:
    while True:
        ask = LeaseAsk(3, 7)
        granted = wallet.lease(
            channel.channel, made.lane, ask, Limits(per_day=1000), now_ms=0
        )
        units += granted.units
except BudgetExceeded:
    print(units, made.session.lane_first)
"""


PAYER = """
import os, secrets, sys
from pathlib import Path
from aisa import faults
from aisa.channel.payer import Limits
from aisa.channel.wallet_sqlite.wallet import SqliteWallet
from aisa.channel.wallet_transfer import WalletTransfer
from aisa.errors import BudgetExceeded

faults.arm(os.environ)
wallet, made = SqliteWallet(Path(sys.argv[1])), 0
try:
    while True:
        nonce = secrets.token_bytes(32)
        plan = WalletTransfer(
            nonce, nonce.hex(), "GET", "u", nonce, "a", bytes(20), "USDC", 7, 99, b"", 0
        )
        wallet.begin_transfer(plan, Limits(per_day=700))
        made += 1
except BudgetExceeded:
    print(made)
"""


FORKER = """
import os
from dataclasses import replace
from pathlib import Path
from aisa.channel.payer import LeaseAsk, Limits
from aisa.channel.wallet import SessionPlan
from aisa.channel.wallet_sqlite.wallet import SqliteWallet

parent, other = SqliteWallet(Path({path!r})), SqliteWallet(Path({path!r}))
(channel,) = parent.channels()
made = parent.make_session(SessionPlan(channel.channel, bytes(32), bytes(32), bytes(32), 2**40))
parent.lease(channel.channel, made.lane, LeaseAsk(1, 1), Limits(), now_ms=0)
child = os.fork()
if child == 0:
    parent.close()
    os._exit(0)
os.waitpid(child, 0)
print("dead", len(other.dead_lanes(now_ms=0)), "channels", len(parent.channels()))
"""


class TestSqliteWallet(WalletSuite):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "home" / "wallet.sqlite"

    @pytest.fixture
    def open_wallet(self, path: Path) -> Iterator[Callable[[], SqliteWallet]]:
        made: list[SqliteWallet] = []

        def open_it() -> SqliteWallet:
            made.append(SqliteWallet(path))
            return made[-1]

        yield open_it
        for wallet in made:
            wallet.close()

    def test_only_its_owner_may_read_it(
        self, open_wallet: Callable[[], SqliteWallet], path: Path
    ) -> None:
        opened(open_wallet())
        for file in path.parent.glob("wallet.sqlite*"):
            assert file.stat().st_mode & 0o077 == 0, file

    def test_four_processes_cannot_spend_more_than_one(
        self, open_wallet: Callable[[], SqliteWallet], path: Path
    ) -> None:
        wallet = open_wallet()
        opened(wallet, deposit=10**6)
        command = [sys.executable, "-c", CLAIMER, str(path)]
        running = [
            subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True)
            for seed in range(1, 5)
        ]
        said = [process.communicate(timeout=60)[0].split() for process in running]
        total = sum(int(units) for units, _ in said)
        assert 998 <= total <= 1000
        assert len({lane for _, lane in said}) == 4
        (channel,) = wallet.channels()
        assert (channel.sent, channel.signed) == (total, total)
        assert len(wallet.dead_lanes(now_ms=0)) == 4

    def test_four_processes_sign_no_more_transfers_than_one(
        self, open_wallet: Callable[[], SqliteWallet], path: Path
    ) -> None:
        wallet = open_wallet()
        command = [sys.executable, "-c", PAYER, str(path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        made = [int(process.communicate(timeout=60)[0]) for process in running]
        assert sum(made) == 100
        assert wallet.spent("USDC", now_ms=0).day == 700
        assert len(wallet.unknown_spends()) == 100

    def test_a_file_of_format_2_gets_transfers(self, tmp_path: Path) -> None:
        path = tmp_path / "wallet"
        wallet = SqliteWallet(path)
        known = opened(wallet)
        wallet.close()
        with sqlite3.connect(path) as database:
            database.executescript("DROP TABLE transfers; PRAGMA user_version = 2;")
        database.close()
        wallet = SqliteWallet(path)
        assert wallet.channel(known.channel) == known
        wallet.begin_transfer(transfer(1, "a"), Limits())
        wallet.close()
        wallet = SqliteWallet(path)
        assert wallet.find_transfer("a") == transfer(1, "a")
        wallet.close()

    @pytest.mark.parametrize(
        ("point", "kept"), [("agent.transfer.before", 0), ("agent.transfer.after", 1)]
    )
    def test_a_kill_keeps_the_transfer_and_its_units_together(
        self, open_wallet: Callable[[], SqliteWallet], path: Path, point: str, kept: int
    ) -> None:
        environ = {**os.environ, "AISA_DEVNET": "1", "AISA_FAULTS": f"{point}:1=kill"}
        killed = subprocess.run(
            [sys.executable, "-c", PAYER, str(path)], env=environ, timeout=60, check=False
        )
        assert killed.returncode == -signal.SIGKILL
        wallet = open_wallet()
        assert len(wallet.open_transfers()) == kept
        assert wallet.spent("USDC", now_ms=0).day == 7 * kept

    def test_a_forked_copy_leaves_its_parents_place_alone(
        self, open_wallet: Callable[[], SqliteWallet], path: Path
    ) -> None:
        wallet = open_wallet()
        opened(wallet)
        code = FORKER.format(path=str(path))
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert said.stdout.split() == ["dead", "0", "channels", "1"]

    def test_a_file_of_another_kind_or_version_is_refused(self, tmp_path: Path) -> None:
        text = tmp_path / "text"
        text.write_text("this is not a database, however long it is " * 100)
        with pytest.raises(ConfigInvalid, match="not a wallet"):
            SqliteWallet(text)
        newer = tmp_path / "newer"
        with sqlite3.connect(newer) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        with pytest.raises(ConfigInvalid, match="format 99"):
            SqliteWallet(newer)

    def test_a_file_of_format_1_knows_channels_at_nodes_only(self, tmp_path: Path) -> None:
        path = tmp_path / "wallet"
        wallet = SqliteWallet(path)
        known = opened(wallet)
        wallet.close()
        with sqlite3.connect(path) as database:
            database.executescript(
                "DROP TABLE transfers; ALTER TABLE channels DROP COLUMN escrow;"
                " PRAGMA user_version = 1;"
            )
        database.close()
        wallet = SqliteWallet(path)
        assert wallet.channel(known.channel) == known
        terms = escrow_terms(
            evm.NETWORK,
            evm.ESCROW,
            payer=bytes(32),
            payee=bytes(32),
            currency="aiUSD",
            salt=bytes(16),
            config=evm.CONFIG,
        )
        planned = wallet.plan_channel(replace(plan(), terms=terms), now_ms=NOW)
        assert planned.terms == terms
        assert planned.channel == terms.channel_id
        wallet.close()
