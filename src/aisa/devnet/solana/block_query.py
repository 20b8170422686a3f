"""RPC methods about the node, slots, blocks and fees."""

from __future__ import annotations

import base64

from solders.message import VersionedMessage, from_bytes_versioned
from solders.pubkey import Pubkey

from aisa.devnet.solana.account_query import API_VERSION, with_context
from aisa.devnet.solana.blocks import RING_SLOTS, START_SLOT
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.genesis import LABEL
from aisa.devnet.solana.params import (
    BLOCK_NOT_AVAILABLE,
    CONTEXT_SLOT_NOT_REACHED,
    INVALID_PARAMS,
    Options,
    Params,
    RpcRefusal,
)

_SIGNATURE_LAMPORTS = 5_000
_FEE_ROWS = 150


def slot_at(chain: Chain, options: Options) -> int:
    """The newest slot of the commitment asked for; refuses one that `minContextSlot` forbids."""
    slot = chain.slot_at(options.commitment())
    wanted = options.whole("minContextSlot")
    if wanted is not None and slot < wanted:
        message = "Minimum context slot has not been reached"
        raise RpcRefusal(CONTEXT_SLOT_NOT_REACHED, message, {"contextSlot": slot})
    return slot


def get_health(chain: Chain, params: Params) -> object:
    """`getHealth`."""
    del chain, params
    return "ok"


def get_version(chain: Chain, params: Params) -> object:
    """`getVersion`, with the label that says what this is."""
    del chain, params
    return {"solana-core": API_VERSION, "feature-set": 0, "aisa": LABEL}


def get_genesis_hash(chain: Chain, params: Params) -> object:
    """`getGenesisHash`."""
    del params
    return chain.genesis.genesis_hash


def get_identity(chain: Chain, params: Params) -> object:
    """`getIdentity`."""
    del params
    return {"identity": str(chain.genesis.keypair("validator").pubkey())}


def get_slot(chain: Chain, params: Params) -> object:
    """`getSlot`."""
    return slot_at(chain, params.options(0))


def get_block_height(chain: Chain, params: Params) -> object:
    """`getBlockHeight`."""
    return chain.blocks.height(slot_at(chain, params.options(0)))


def get_epoch_info(chain: Chain, params: Params) -> object:
    """`getEpochInfo`."""
    slot = slot_at(chain, params.options(0))
    schedule = chain.svm.get_epoch_schedule()
    epoch, index = schedule.get_epoch_and_slot_index(slot)
    return {
        "absoluteSlot": slot,
        "blockHeight": chain.blocks.height(slot),
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": schedule.get_slots_in_epoch(epoch),
        "transactionCount": len(chain.history),
    }


def get_epoch_schedule(chain: Chain, params: Params) -> object:
    """`getEpochSchedule`."""
    del params
    schedule = chain.svm.get_epoch_schedule()
    return {
        "slotsPerEpoch": schedule.slots_per_epoch,
        "leaderScheduleSlotOffset": schedule.leader_schedule_slot_offset,
        "warmup": schedule.warmup,
        "firstNormalEpoch": schedule.first_normal_epoch,
        "firstNormalSlot": schedule.first_normal_slot,
    }


def get_block_time(chain: Chain, params: Params) -> object:
    """`getBlockTime`."""
    slot = params.whole(0, "slot")
    if not START_SLOT <= slot <= chain.blocks.slot:
        raise RpcRefusal(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    return chain.blocks.time_s(slot)


def get_transaction_count(chain: Chain, params: Params) -> object:
    """`getTransactionCount`."""
    del params
    return len(chain.history)


def get_first_available_block(chain: Chain, params: Params) -> object:
    """`getFirstAvailableBlock` and `minimumLedgerSlot`: how far back the history reaches."""
    del params
    return chain.history.first_slot(START_SLOT)


def get_latest_blockhash(chain: Chain, params: Params) -> object:
    """`getLatestBlockhash`."""
    options = params.options(0)
    slot = slot_at(chain, options)
    if chain.disturbance.take("stale_blockhash"):
        slot -= RING_SLOTS + 1
    value = {
        "blockhash": chain.blocks.hash_at(slot),
        "lastValidBlockHeight": chain.blocks.height(slot) + RING_SLOTS,
    }
    return with_context(chain, value, options.commitment())


def is_blockhash_valid(chain: Chain, params: Params) -> object:
    """`isBlockhashValid`."""
    known = chain.blocks.slot_of(params.text(0, "blockhash")) is not None
    return with_context(chain, known, params.options(1).commitment())


def get_fee_for_message(chain: Chain, params: Params) -> object:
    """`getFeeForMessage`: signatures and the priority fee that the message asks for."""
    message = _message(params.text(0, "message"))
    if chain.blocks.slot_of(str(message.recent_blockhash)) is None:
        return with_context(chain, None)
    fee = message.header.num_required_signatures * _SIGNATURE_LAMPORTS
    return with_context(chain, fee + _priority_lamports(message))


def get_recent_prioritization_fees(chain: Chain, params: Params) -> object:
    """`getRecentPrioritizationFees`: nobody competes here, so all are zero."""
    del params
    newest = chain.blocks.slot
    return [
        {"slot": slot, "prioritizationFee": 0}
        for slot in range(max(START_SLOT, newest - _FEE_ROWS + 1), newest + 1)
    ]


def _message(text: str) -> VersionedMessage:
    try:
        return from_bytes_versioned(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise RpcRefusal(INVALID_PARAMS, "Invalid params: not a base64 message") from error


def _priority_lamports(message: VersionedMessage) -> int:
    budget = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
    units, price = 200_000 * len(message.instructions), 0
    for one in message.instructions:
        if message.account_keys[one.program_id_index] != budget or not one.data:
            continue
        if one.data[0] == 2:
            units = int.from_bytes(one.data[1:5], "little")
        elif one.data[0] == 3:
            price = int.from_bytes(one.data[1:9], "little")
    return -(-units * price // 1_000_000)
