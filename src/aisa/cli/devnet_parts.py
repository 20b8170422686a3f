"""What a person asks a devnet to consist of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.demo.devnet_file import DevnetFile
from aisa.errors import StateConflict

CHAIN_NAMES: Final = ("ethereum", "polygon")


@dataclass(frozen=True, slots=True)
class Parts:
    """What is started beside Solana and a node; `chains` are names of EVM chains."""

    seller: bool = False
    chains: tuple[str, ...] = ()
    real_pace: bool = False

    @property
    def options(self) -> list[str]:
        """The options of `aisa devnet up` that ask for the same."""
        return [
            *(["--seller"] if self.seller else []),
            *(f"--{name}" for name in self.chains),
            *(["--real-pace"] if self.real_pace else []),
        ]

    def check_running(self, running: DevnetFile) -> None:
        """Do nothing where a devnet that runs has every chain that is asked for.

        Raises:
            StateConflict: it has not.
        """
        there = {one.name for one in running.chains}
        missing = [name for name in self.chains if name not in there]
        if missing:
            raise StateConflict(
                f"the devnet runs already, without {' and '.join(missing)}",
                hint=f"aisa devnet down, then aisa devnet up {' '.join(self.options)}",
            )
