"""The shape of commands: bounds that hold whatever the ledger contains.

The check never raises, whatever objects it is given: one bad command must not stop the writer that
a thousand others wait for.
"""

from __future__ import annotations

from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import Command, Operation, Outcome, Reason, Status
from aisa.ledger.record import PutRecord
from aisa.ledger.transfer import EXPIRY_PREFIX, Hold, PostHold, Transfer, VoidHold

UNITS_MAX = 2**63 - 1
ID_CHARS_MAX = 128
CODE_CHARS_MAX = 64
NAME_CHARS_MAX = 200
REFERENCE_CHARS_MAX = 512
BODY_BYTES_MAX = 256 * 1024
OPERATIONS_MAX = 256


def check(command: Command) -> Outcome | None:
    """Return the refusal of a malformed command, or None if it is well formed."""
    if not command:
        return Outcome(Status.REFUSED, Reason.EMPTY_COMMAND)
    if len(command) > OPERATIONS_MAX:
        return Outcome(Status.REFUSED, Reason.TOO_MANY_OPERATIONS, OPERATIONS_MAX)
    for index, operation in enumerate(command):
        reason = _check(operation)
        if reason is not None:
            return Outcome(Status.REFUSED, reason, index)
    return None


def _check(operation: Operation) -> Reason | None:
    match operation:
        case Transfer():
            return _move(operation)
        case Hold():
            return _hold(operation)
        case PostHold():
            return _post(operation)
        case VoidHold():
            return _void(operation)
        case PutRecord():
            return _put(operation)
        case OpenAccount():
            return _open(operation)
        case _:  # a caller without a type checker
            return Reason.MALFORMED


def is_name(text: object, chars_max: int) -> bool:
    """Tell whether the text is printable ASCII of 1 to `chars_max` characters."""
    return (
        type(text) is str and 0 < len(text) <= chars_max and text.isascii() and text.isprintable()
    )


def _is_reference(text: object) -> bool:
    return text == "" or (
        type(text) is str and len(text) <= REFERENCE_CHARS_MAX and text.isprintable()
    )


def _is_id(text: object) -> bool:
    return is_name(text, ID_CHARS_MAX) and not str(text).startswith(EXPIRY_PREFIX)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 < number <= UNITS_MAX


def _open(operation: OpenAccount) -> Reason | None:
    names = is_name(operation.account, NAME_CHARS_MAX) and is_name(
        operation.currency, CODE_CHARS_MAX
    )
    return None if names and type(operation.floor) is Floor else Reason.MALFORMED


def _move(operation: Transfer | Hold) -> Reason | None:
    own_id, debit, credit = operation.id, operation.debit, operation.credit
    currency, code = operation.currency, operation.code
    # One look at all characters together: this rule is a tenth of the cost of a batch.
    try:
        text = "".join((own_id, debit, credit, currency, code))
    except TypeError:
        return Reason.MALFORMED
    if not (
        text.isascii()
        and text.isprintable()
        and 0 < len(own_id) <= ID_CHARS_MAX
        and 0 < len(debit) <= NAME_CHARS_MAX
        and 0 < len(credit) <= NAME_CHARS_MAX
        and 0 < len(currency) <= CODE_CHARS_MAX
        and 0 < len(code) <= CODE_CHARS_MAX
        and not own_id.startswith(EXPIRY_PREFIX)
        and _is_reference(operation.reference)
    ):
        return Reason.MALFORMED
    if not _is_count(operation.units):
        return Reason.UNITS_OUT_OF_RANGE
    return Reason.SAME_ACCOUNT if debit == credit else None


def _hold(operation: Hold) -> Reason | None:
    expires = operation.expires_at_ms
    if expires is not None and not _is_count(expires):
        return Reason.MALFORMED
    return _move(operation)


def _post(operation: PostHold) -> Reason | None:
    if not (_is_id(operation.id) and _is_id(operation.hold)):
        return Reason.MALFORMED
    if operation.units is not None and not _is_count(operation.units):
        return Reason.UNITS_OUT_OF_RANGE
    return None


def _void(operation: VoidHold) -> Reason | None:
    return None if _is_id(operation.id) and _is_id(operation.hold) else Reason.MALFORMED


def _put(operation: PutRecord) -> Reason | None:
    version = operation.expected_version
    fits = (
        is_name(operation.kind, CODE_CHARS_MAX)
        and is_name(operation.id, NAME_CHARS_MAX)
        and type(version) is int
        and 0 <= version < UNITS_MAX
        and type(operation.body) is bytes
        and len(operation.body) <= BODY_BYTES_MAX
    )
    return None if fits else Reason.MALFORMED
