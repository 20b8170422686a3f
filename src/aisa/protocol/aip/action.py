"""The payload of an AIP credential: open, voucher, topUp, close and closeLane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import msgspec

from aisa.errors import MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.aip.channel import ChannelTerms
from aisa.protocol.aip.deposit import DepositStatement
from aisa.protocol.aip.field import parse_json, parse_units_text
from aisa.protocol.aip.session import Session
from aisa.protocol.aip.voucher import Voucher

SIZE_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class OpenAction:
    """Open a channel at the seller, or add a session to one that is open."""

    terms: ChannelTerms
    statement: DepositStatement
    session: Session
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class VoucherAction:
    """Raise the ceiling without a call."""

    voucher: Voucher


@dataclass(frozen=True, slots=True)
class TopUpAction:
    """Show a statement with a higher deposit."""

    statement: DepositStatement


@dataclass(frozen=True, slots=True)
class CloseAction:
    """Ask the seller to redeem for the last time; signed by the payer over `close_bytes`."""

    channel: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CloseLaneAction:
    """Ask the seller to close a lane; signed by the payer over `close_lane_bytes`."""

    channel: bytes
    lane: int
    signature: bytes


Action: TypeAlias = OpenAction | VoucherAction | TopUpAction | CloseAction | CloseLaneAction


class _TermsJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: str
    holder: str
    payer: str
    payee: str
    currency: str
    salt: str


class _StatementJson(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    channel: str
    deposit: str
    fee_ppm: int
    issued: int
    signature: str


class _SessionJson(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    channel: str
    payer_x25519: str = msgspec.field(name="payerX25519")
    payee_x25519: str = msgspec.field(name="payeeX25519")
    lane_first: int
    lane_count: int
    expiry: int
    signature: str


class _OpenJson(msgspec.Struct, frozen=True, tag_field="action", tag="open"):
    channel: _TermsJson
    statement: _StatementJson
    session: _SessionJson
    voucher: str


class _VoucherJson(msgspec.Struct, frozen=True, tag_field="action", tag="voucher"):
    voucher: str


class _TopUpJson(msgspec.Struct, frozen=True, tag_field="action", tag="topUp"):
    statement: _StatementJson


class _CloseJson(msgspec.Struct, frozen=True, tag_field="action", tag="close"):
    channel: str
    signature: str


class _CloseLaneJson(msgspec.Struct, frozen=True, tag_field="action", tag="closeLane"):
    channel: str
    lane: int
    signature: str


_ActionJson: TypeAlias = _OpenJson | _VoucherJson | _TopUpJson | _CloseJson | _CloseLaneJson
_ActionShape: Any = _ActionJson
"""The union as a value: msgspec reads it, but `type[T]` cannot name a union."""

_encode = base64url.encode


def format_action(action: Action) -> bytes:
    """Return the JSON of a credential's payload."""
    return msgspec.json.encode(_to_json(action), order="sorted")


def parse_action(raw: bytes) -> Action:
    """Read the JSON of a credential's payload; no signature is checked here.

    Raises:
        MalformedMessage: an unknown action, or a field is missing, out of range or of another type.
    """
    document = cast("_ActionJson", parse_json(raw, _ActionShape, "payload", SIZE_MAX))
    match document:
        case _OpenJson():
            return OpenAction(
                _terms(document.channel),
                _statement(document.statement),
                _session(document.session),
                Voucher.decode(document.voucher),
            )
        case _VoucherJson():
            return VoucherAction(Voucher.decode(document.voucher))
        case _TopUpJson():
            return TopUpAction(_statement(document.statement))
        case _CloseJson():
            return CloseAction(_key(document.channel, "channel"), _signature(document.signature))
        case _CloseLaneJson():
            if not 0 <= document.lane < 2**32:
                raise MalformedMessage("lane must fit 32 bits")
            return CloseLaneAction(
                _key(document.channel, "channel"), document.lane, _signature(document.signature)
            )


def _to_json(action: Action) -> _ActionJson:
    match action:
        case OpenAction(terms, statement, session, voucher):
            return _OpenJson(
                _terms_json(terms),
                _statement_json(statement),
                _session_json(session),
                voucher.encode(),
            )
        case VoucherAction(voucher):
            return _VoucherJson(voucher.encode())
        case TopUpAction(statement):
            return _TopUpJson(_statement_json(statement))
        case CloseAction(channel, signature):
            return _CloseJson(_encode(channel), _encode(signature))
        case CloseLaneAction(channel, lane, signature):
            return _CloseLaneJson(_encode(channel), lane, _encode(signature))


def _key(text: str, field: str) -> bytes:
    return base64url.decode_exact(text, field, 32)


def _signature(text: str) -> bytes:
    return base64url.decode_exact(text, "signature", 64)


def _terms(document: _TermsJson) -> ChannelTerms:
    return ChannelTerms(
        document.network,
        _key(document.holder, "holder"),
        _key(document.payer, "payer"),
        _key(document.payee, "payee"),
        document.currency,
        base64url.decode_exact(document.salt, "salt", 16),
    )


def _terms_json(terms: ChannelTerms) -> _TermsJson:
    return _TermsJson(
        terms.network,
        _encode(terms.holder),
        _encode(terms.payer),
        _encode(terms.payee),
        terms.currency,
        _encode(terms.salt),
    )


def _statement(document: _StatementJson) -> DepositStatement:
    """Read a statement's JSON shape.

    Raises:
        MalformedMessage: a field is out of range.
    """
    return DepositStatement(
        _key(document.channel, "channel"),
        parse_units_text(document.deposit, "deposit"),
        document.fee_ppm,
        document.issued,
        _signature(document.signature),
    )


def _statement_json(statement: DepositStatement) -> _StatementJson:
    """Return a statement's JSON shape."""
    return _StatementJson(
        _encode(statement.channel),
        str(statement.deposit),
        statement.fee_ppm,
        statement.issued,
        _encode(statement.signature),
    )


def _session(document: _SessionJson) -> Session:
    return Session(
        _key(document.channel, "channel"),
        _key(document.payer_x25519, "payerX25519"),
        _key(document.payee_x25519, "payeeX25519"),
        document.lane_first,
        document.lane_count,
        document.expiry,
        _signature(document.signature),
    )


def _session_json(session: Session) -> _SessionJson:
    return _SessionJson(
        _encode(session.channel),
        _encode(session.payer_x25519),
        _encode(session.payee_x25519),
        session.lane_first,
        session.lane_count,
        session.expiry,
        _encode(session.signature),
    )
