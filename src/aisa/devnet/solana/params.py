"""Reading the parameters of one JSON-RPC call, and refusing them by the codes that clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from solders.pubkey import Pubkey

INVALID_PARAMS = -32602
METHOD_NOT_FOUND = -32601
INVALID_REQUEST = -32600
PARSE_ERROR = -32700
INTERNAL_ERROR = -32603
PREFLIGHT_FAILED = -32002
BAD_SIGNATURE = -32003
BLOCK_NOT_AVAILABLE = -32004
VERSION_NOT_SUPPORTED = -32015
CONTEXT_SLOT_NOT_REACHED = -32016

LEVELS = ("processed", "confirmed", "finalized")
_LEVEL_BY_OLD_NAME = {"recent": "processed", "single": "confirmed", "max": "finalized"}


class RpcRefusal(Exception):
    """A call that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    def to_json(self) -> dict[str, object]:
        """The `error` member of the answer."""
        error: dict[str, object] = {"code": self.code, "message": str(self)}
        if self.data is not None:
            error["data"] = self.data
        return error


class Options:
    """The options object of a call; a member that is null counts as absent."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    def text(self, name: str, default: str = "") -> str:
        """A text member."""
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise RpcRefusal(INVALID_PARAMS, f"Invalid param: {name} is not a string")
        return value

    def flag(self, name: str) -> bool:
        """A boolean member, false if absent."""
        value = self._members.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise RpcRefusal(INVALID_PARAMS, f"Invalid param: {name} is not a boolean")

    def whole(self, name: str) -> int | None:
        """A member that is a whole number."""
        value = self._members.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RpcRefusal(INVALID_PARAMS, f"Invalid param: {name} is not a whole number")
        return value

    def inside(self, name: str) -> Options:
        """A member that is an object, empty if absent."""
        value = self._members.get(name)
        if value is None:
            return Options({})
        if not isinstance(value, dict):
            raise RpcRefusal(INVALID_PARAMS, f"Invalid param: {name} is not an object")
        return Options(cast("dict[str, object]", value))

    def items(self, name: str) -> list[object]:
        """A member that is a list, empty if absent."""
        value = self._members.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise RpcRefusal(INVALID_PARAMS, f"Invalid param: {name} is not a list")
        return cast("list[object]", value)

    def commitment(self, name: str = "commitment") -> str:
        """The commitment level asked for; finalized if none."""
        level = self.text(name, "finalized")
        level = _LEVEL_BY_OLD_NAME.get(level, level)
        if level not in LEVELS:
            raise RpcRefusal(INVALID_PARAMS, f"Invalid params: unknown commitment {level!r}")
        return level


class Params:
    """The positional parameters of a call."""

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def text(self, at: int, name: str) -> str:
        """A text parameter that must be there."""
        value = self._get(at)
        if not isinstance(value, str):
            raise RpcRefusal(INVALID_PARAMS, f"Invalid params: {name} must be a string")
        return value

    def whole(self, at: int, name: str) -> int:
        """A whole number that must be there."""
        value = self._get(at)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RpcRefusal(INVALID_PARAMS, f"Invalid params: {name} must be a whole number")
        return value

    def texts(self, at: int, name: str, *, most: int) -> list[str]:
        """A list of texts that must be there."""
        value = self._get(at)
        if not isinstance(value, list):
            raise RpcRefusal(INVALID_PARAMS, f"Invalid params: {name} must be a list")
        texts = [item for item in cast("list[object]", value) if isinstance(item, str)]
        if len(texts) != len(cast("list[object]", value)) or len(texts) > most:
            raise RpcRefusal(INVALID_PARAMS, f"Invalid params: {name} takes {most} strings at most")
        return texts

    def address(self, at: int, name: str = "pubkey") -> Pubkey:
        """An address that must be there."""
        return parse_address(self.text(at, name))

    def options(self, at: int) -> Options:
        """The options object at a place, empty if absent."""
        value = self._get(at)
        if value is None:
            return Options({})
        if not isinstance(value, dict):
            raise RpcRefusal(INVALID_PARAMS, "Invalid params: options must be an object")
        return Options(cast("dict[str, object]", value))

    def _get(self, at: int) -> object:
        return self._values[at] if at < len(self._values) else None


def parse_address(text: str) -> Pubkey:
    """An address in base58."""
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise RpcRefusal(INVALID_PARAMS, "Invalid param: Invalid") from error
