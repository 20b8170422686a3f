"""AIP: the messages, bytes and bounds of docs/reference/aip.md, as pure types and functions."""

from aisa.protocol.aip.action import (
    Action,
    CloseAction,
    CloseLaneAction,
    OpenAction,
    TopUpAction,
    VoucherAction,
    format_action,
    parse_action,
)
from aisa.protocol.aip.challenge import Hub, SessionRequest
from aisa.protocol.aip.channel import (
    ChannelTerms,
    escrow_of,
    escrow_terms,
    holder_of,
    hub_network,
    key_of_hub_network,
)
from aisa.protocol.aip.deposit import DepositStatement
from aisa.protocol.aip.notice import (
    LaneClosed,
    close_bytes,
    close_lane_bytes,
    open_bytes,
    payee_exchange_bytes,
)
from aisa.protocol.aip.receipt import (
    CallReceipt,
    ReceiptLeaf,
    ReceiptProof,
    merkle_path,
    merkle_root,
)
from aisa.protocol.aip.session import Session
from aisa.protocol.aip.tick import Tick, request_digest
from aisa.protocol.aip.voucher import Voucher

__all__ = [
    "Action",
    "CallReceipt",
    "ChannelTerms",
    "CloseAction",
    "CloseLaneAction",
    "DepositStatement",
    "Hub",
    "LaneClosed",
    "OpenAction",
    "ReceiptLeaf",
    "ReceiptProof",
    "Session",
    "SessionRequest",
    "Tick",
    "TopUpAction",
    "Voucher",
    "VoucherAction",
    "close_bytes",
    "close_lane_bytes",
    "escrow_of",
    "escrow_terms",
    "format_action",
    "holder_of",
    "hub_network",
    "key_of_hub_network",
    "merkle_path",
    "merkle_root",
    "open_bytes",
    "parse_action",
    "payee_exchange_bytes",
    "request_digest",
]
