"""Fixtures: an Ethereum devnet for the whole session, wound back after each test, and chains of one's own.

Importing this module starts nothing; `tests/conftest.py` makes its fixtures known everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aisa

if TYPE_CHECKING:
    from aisa.devnet.ethereum.anvil import Anvil
    from aisa.devnet.ethereum.devnet import EthereumDevnet

ARTIFACTS = Path(aisa.__file__).parent / "settlement" / "evm" / "artifacts"


@pytest.fixture(scope="session")
def ethereum_devnet() -> Iterator[EthereumDevnet]:
    """Chain 31337 with every token and contract; take `ethereum` unless the whole session may see it."""
    from aisa.devnet.ethereum.devnet import EthereumDevnet

    with EthereumDevnet(ARTIFACTS) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def polygon_devnet() -> Iterator[EthereumDevnet]:
    """Chain 31338 with every token and contract."""
    from aisa.devnet.ethereum.devnet import EthereumDevnet
    from aisa.devnet.ethereum.setting import POLYGON

    with EthereumDevnet(ARTIFACTS, POLYGON) as devnet:
        yield devnet


@pytest.fixture
def ethereum(ethereum_devnet: EthereumDevnet) -> Iterator[EthereumDevnet]:
    """The session's Ethereum, with a block for each chain tx; what a test does to it is undone after it."""
    yield from _wound_back(ethereum_devnet)


@pytest.fixture
def polygon(polygon_devnet: EthereumDevnet) -> Iterator[EthereumDevnet]:
    """The session's Polygon; what a test does to it is undone after it."""
    yield from _wound_back(polygon_devnet)


@pytest.fixture
def start_anvil() -> Iterator[Callable[..., Anvil]]:
    """Starts bare chains with the arguments of `Anvil`; all are stopped at the end."""
    from aisa.devnet.ethereum.anvil import Anvil

    with ExitStack() as stack:

        def start(**options: Any) -> Anvil:
            return stack.enter_context(Anvil(**options))

        yield start


def _wound_back(devnet: EthereumDevnet) -> Iterator[EthereumDevnet]:
    before = devnet.control.snapshot()
    yield devnet
    devnet.control.drop_all()
    devnet.control.revert(before)
    devnet.control.set_block_time(0)
