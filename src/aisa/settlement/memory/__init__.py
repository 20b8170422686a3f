"""A real rail over a network that lives in memory: tests use it, nothing that claims a network.

Its delay, fee, failures, doubt and finality are set on `MemoryNetwork`.
"""

from aisa.settlement.memory.journal import MemoryDepositAddresses, MemoryJournal
from aisa.settlement.memory.network import MemoryNetwork
from aisa.settlement.memory.rail import MemoryRail

__all__ = ["MemoryDepositAddresses", "MemoryJournal", "MemoryNetwork", "MemoryRail"]
