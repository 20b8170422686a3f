"""RPC methods that no real network has; their names start with `aisa_`."""

from __future__ import annotations

from typing import cast

from aisa.devnet.solana import issue
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.disturbance import FAULT_NAMES, FaultName
from aisa.devnet.solana.genesis import LABEL
from aisa.devnet.solana.params import INVALID_PARAMS, Params, RpcRefusal, parse_address

_WARP_SLOTS_MAX = 10_000_000


def aisa_warp(chain: Chain, params: Params) -> object:
    """`aisa_warp {slots | seconds}`: let time pass; answers the slot reached."""
    options = params.options(0)
    slots = options.whole("slots") or 0
    seconds = options.whole("seconds") or 0
    slots += -(-seconds * 1000 // chain.genesis.slot_ms)
    if slots > _WARP_SLOTS_MAX:
        raise RpcRefusal(INVALID_PARAMS, f"Invalid params: {_WARP_SLOTS_MAX} slots at most")
    chain.warp(slots)
    return {"slot": chain.blocks.slot}


def aisa_mint(chain: Chain, params: Params) -> object:
    """`aisa_mint {mint, owner, units}`: the issuer makes tokens for an owner, on record."""
    options = params.options(0)
    units = options.text("units")
    if not (units.isascii() and units.isdecimal() and len(units) < 20):
        raise RpcRefusal(INVALID_PARAMS, "Invalid params: units is not a whole number")
    mint, owner = parse_address(options.text("mint")), parse_address(options.text("owner"))
    minted = issue.mint(chain, mint, owner, int(units))
    return {
        "signature": minted.signature,
        "account": minted.account,
        "units": str(minted.units),
    }


def aisa_fault(chain: Chain, params: Params) -> object:
    """`aisa_fault {name, count, slots}`: disturb the next calls; answers what is armed."""
    options = params.options(0)
    name = options.text("name")
    if name not in FAULT_NAMES:
        raise RpcRefusal(INVALID_PARAMS, f"Invalid params: name is one of {', '.join(FAULT_NAMES)}")
    count = options.whole("count")
    chain.disturbance.arm(cast("FaultName", name), 1 if count is None else count)
    chain.disturbance.delay_slots = options.whole("slots") or chain.disturbance.delay_slots
    return {one: getattr(chain.disturbance, one) for one in FAULT_NAMES}


def aisa_label(chain: Chain, params: Params) -> object:
    """`aisa_label`: what this is, for anyone who shows it to a person."""
    del params
    return {"label": LABEL, "network": chain.genesis.network}
