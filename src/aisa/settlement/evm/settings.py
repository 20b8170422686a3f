"""What an operator may set on an EVM rail."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import ConfigInvalid


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """Finality, fees and pace of one chain.

    `confirmations` is how many blocks, a chain tx's own included, make it final; 0 takes the
    chain's own finalized block. `agreeing_min` RPC servers must say the same before anything
    counts as final; 0 is the majority of them. `fee_wei_max` bounds the price of one gas, tip
    included. A chain tx that waits for `replace_after_s` is sent again for an eighth more, and one
    that waits for `give_up_after_s` is cancelled. `coin` is the native coin's SLIP-44 number.

    Raises:
        ConfigInvalid: a value cannot work.
    """

    confirmations: int = 0
    agreeing_min: int = 0
    fee_wei_max: int = 500_000_000_000
    tip_wei_max: int = 100_000_000_000
    tip_wei_min: int = 0
    coin: int = 60
    replace_after_s: float = 60.0
    give_up_after_s: float = 6 * 3600.0
    send_timeout_s: float = 20.0
    rpc_timeout_s: float = 10.0
    poll_s: float = 1.0
    repeat_s: float = 10.0
    log_blocks_max: int = 1_000

    def __post_init__(self) -> None:
        if min(self.confirmations, self.agreeing_min, self.tip_wei_min, self.coin) < 0:
            raise ConfigInvalid("an EVM setting is negative")
        if not self.tip_wei_min <= self.tip_wei_max <= self.fee_wei_max:
            raise ConfigInvalid("an EVM rail's tip is at least its minimum and at most the fee")
        paces = (self.poll_s, self.repeat_s, self.replace_after_s, self.rpc_timeout_s)
        if min(paces) <= 0 or self.log_blocks_max < 1:
            raise ConfigInvalid("an EVM rail's pace must be more than nothing")
