"""Ports of this machine's loopback: the usual ones, or free ones where those are taken."""

from __future__ import annotations

import socket
from dataclasses import astuple, dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"
SELLER_PORT: Final = 8402
NODE_PORT: Final = 8401
SOLANA_PORT: Final = 8899
ETHEREUM_PORT: Final = 8545
POLYGON_PORT: Final = 8546
PORT_COUNT: Final = 5
"""How many in a row a devnet may take."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts of a devnet listen; 0 lets the system choose."""

    node: int
    seller: int
    solana: int
    ethereum: int = 0
    polygon: int = 0

    def taken(self) -> list[int]:
        """Those of them on which somebody listens already."""
        return [port for port in astuple(self) if not is_free(port)]


def usual_ports(base: int | None = None) -> Ports:
    """The usual ports, or as many in a row from `base`."""
    if base is None:
        return Ports(NODE_PORT, SELLER_PORT, SOLANA_PORT, ETHEREUM_PORT, POLYGON_PORT)
    return Ports(*range(base, base + PORT_COUNT))


def with_free_ones(ports: Ports) -> Ports:
    """The same ports, each that is taken replaced by a free one."""
    spare = iter(free_ports(PORT_COUNT))
    return Ports(*(port if is_free(port) else next(spare) for port in astuple(ports)))


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that the system says are free."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
