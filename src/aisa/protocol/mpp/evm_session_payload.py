"""The payload of a credential of method `evm`, intent `session`: open, topUp, voucher and close."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol import jcs
from aisa.protocol.eip712 import UINT128_MAX
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.evm_fields import (
    optional_address,
    read_digits,
    read_signature,
    read_word,
)
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonValue, malformed, parse_object, present

_EIP3009: Final = "eip-3009"


@dataclass(frozen=True, slots=True)
class Sent:
    """The payer funded the channel itself; the 32-byte hash of its transaction."""

    transaction_hash: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """The payer signed an EIP-3009 transfer to the escrow contract, for the seller to send."""

    authorization: Authorization
    signature: bytes


Funding: TypeAlias = Sent | Granted


@dataclass(frozen=True, slots=True)
class SessionOpen:
    """A channel with its first voucher; `signer` is None where the payer signs them itself."""

    channel: bytes
    salt: bytes
    funding: Funding
    cumulative: int
    voucher_signature: bytes
    signer: bytes | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        # The voucher's signature has the plain name only where no other signature stands beside it.
        name = "signature" if isinstance(self.funding, Sent) else "voucherSignature"
        return {
            "action": "open",
            "channelId": format_bytes(self.channel),
            "salt": format_bytes(self.salt),
            "cumulativeAmount": str(self.cumulative),
            **_funding(self.funding),
            name: format_bytes(self.voucher_signature),
            **_signer(self.signer),
        }


@dataclass(frozen=True, slots=True)
class SessionTopUp:
    """`amount` more units in a channel."""

    channel: bytes
    amount: int
    funding: Funding

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "action": "topUp",
            "channelId": format_bytes(self.channel),
            "additionalDeposit": str(self.amount),
            **_funding(self.funding),
        }


@dataclass(frozen=True, slots=True)
class Deposit:
    """Funds that come with a voucher; `salt` is set where they open the channel, else they add to it."""

    granted: Granted
    salt: bytes | None = None
    signer: bytes | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        opens: dict[str, JsonValue] = {} if self.salt is None else {"salt": format_bytes(self.salt)}
        return {
            "action": "topUp" if self.salt is None else "open",
            "authorization": _authorization(self.granted.authorization),
            "signature": format_bytes(self.granted.signature),
            **opens,
            **_signer(self.signer),
        }


@dataclass(frozen=True, slots=True)
class SessionVoucher:
    """The payee may take `cumulative` units in total."""

    channel: bytes
    cumulative: int
    signature: bytes
    deposit: Deposit | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        deposit = None if self.deposit is None else self.deposit.to_json()
        return present({"action": "voucher", **_voucher(self), "deposit": deposit})


@dataclass(frozen=True, slots=True)
class SessionClose:
    """The payer asks for the end, with its last voucher."""

    channel: bytes
    cumulative: int
    signature: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {"action": "close", **_voucher(self)}


SessionPayload: TypeAlias = "SessionOpen | SessionTopUp | SessionVoucher | SessionClose"


def format_session(payload: SessionPayload) -> bytes:
    """Return the canonical JSON of a credential's `payload`."""
    return jcs.canonical(payload.to_json(), "payload")


def parse_session(raw: bytes) -> SessionPayload:
    """Read a credential's `payload`; no signature is checked here.

    Raises:
        MalformedMessage: another action; a member is missing or breaks its bounds, and is named.
    """
    payload = Fields("payload", parse_object(raw, "payload"))
    reader = _READERS.get(payload.text("action", chars_max=16))
    if reader is None:
        raise malformed("payload.action", f"is not one of {', '.join(_READERS)}")
    return reader(payload)


def _read_open(payload: Fields) -> SessionOpen:
    funding = _read_funding(payload)
    name = "signature" if isinstance(funding, Sent) else "voucherSignature"
    return SessionOpen(
        channel=read_word(payload, "channelId"),
        salt=read_word(payload, "salt"),
        funding=funding,
        cumulative=read_digits(payload, "cumulativeAmount", UINT128_MAX),
        voucher_signature=read_signature(payload, name),
        signer=optional_address(payload, "authorizedSigner"),
    )


def _read_top_up(payload: Fields) -> SessionTopUp:
    return SessionTopUp(
        channel=read_word(payload, "channelId"),
        amount=read_digits(payload, "additionalDeposit", UINT128_MAX),
        funding=_read_funding(payload),
    )


def _read_voucher(payload: Fields) -> SessionVoucher:
    has_deposit = payload.optional_object("deposit") is not None
    return SessionVoucher(
        read_word(payload, "channelId"),
        read_digits(payload, "cumulativeAmount", UINT128_MAX),
        read_signature(payload),
        _read_deposit(payload.fields("deposit")) if has_deposit else None,
    )


def _read_close(payload: Fields) -> SessionClose:
    return SessionClose(
        read_word(payload, "channelId"),
        read_digits(payload, "cumulativeAmount", UINT128_MAX),
        read_signature(payload),
    )


_READERS: Final[dict[str, Callable[[Fields], SessionPayload]]] = {
    "open": _read_open,
    "topUp": _read_top_up,
    "voucher": _read_voucher,
    "close": _read_close,
}


def _read_funding(payload: Fields) -> Funding:
    kind = payload.text("type", chars_max=16)
    if kind == "hash":
        return Sent(read_word(payload, "hash"))
    if kind != "transaction":
        raise malformed(payload.path("type"), "is neither hash nor transaction")
    return Granted(_read_grant(payload), read_signature(payload))


def _read_deposit(deposit: Fields) -> Deposit:
    action = deposit.text("action", chars_max=16)
    granted = Granted(_read_grant(deposit), read_signature(deposit))
    if action == "topUp":
        if not {"salt", "authorizedSigner"}.isdisjoint(deposit.members):
            raise malformed(deposit.what, "says what only the opening of a channel may say")
        return Deposit(granted)
    if action != "open":
        raise malformed(deposit.path("action"), "is neither open nor topUp")
    return Deposit(
        granted, read_word(deposit, "salt"), optional_address(deposit, "authorizedSigner")
    )


def _read_grant(fields: Fields) -> Authorization:
    authorization = fields.fields("authorization")
    if authorization.text("type", chars_max=16) != _EIP3009:
        raise malformed(authorization.path("type"), f"is not {_EIP3009}")
    return Authorization.read(authorization)


def _funding(funding: Funding) -> dict[str, JsonValue]:
    if isinstance(funding, Sent):
        return {"type": "hash", "hash": format_bytes(funding.transaction_hash)}
    return {
        "type": "transaction",
        "authorization": _authorization(funding.authorization),
        "signature": format_bytes(funding.signature),
    }


def _authorization(authorization: Authorization) -> dict[str, JsonValue]:
    return {"type": _EIP3009, **authorization.to_json()}


def _voucher(voucher: SessionVoucher | SessionClose) -> dict[str, JsonValue]:
    return {
        "channelId": format_bytes(voucher.channel),
        "cumulativeAmount": str(voucher.cumulative),
        "signature": format_bytes(voucher.signature),
    }


def _signer(signer: bytes | None) -> dict[str, JsonValue]:
    return {} if signer is None else {"authorizedSigner": format_address(signer)}
