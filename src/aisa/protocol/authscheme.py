"""The grammar of `WWW-Authenticate` (RFC 9110, 11.3): schemes with parameters, several in a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aisa.protocol.strictjson import check_json, malformed

VALUE_CHARS_MAX: Final = 16 * 1024
PARAMETERS_MAX: Final = 32

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_GAP: Final = re.compile(r"[ \t,]*")
_SPACE: Final = re.compile(r"[ \t]+")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))", re.ASCII)
# Runs are possessive in effect: each character has one way to match, so this cannot backtrack far.
_QUOTED: Final = re.compile(r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*)"')
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SchemeChallenge:
    """One challenge of any scheme: the scheme in lower case, then a token68 or parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    token68: str = ""

    def mapping(self) -> dict[str, str]:
        """Return the parameters by their lower-case names."""
        return dict(self.parameters)


def split_challenges(value: str, what: str = "WWW-Authenticate") -> tuple[SchemeChallenge, ...]:
    """Return every challenge of one header value, of whatever scheme, in order.

    Raises:
        MalformedMessage: the value does not follow the grammar, is longer than 16 KiB, or a
            parameter is repeated.
    """
    if len(value) > VALUE_CHARS_MAX:
        raise malformed(what, f"is longer than {VALUE_CHARS_MAX} characters")
    check_json(value, what)  # some servers decode a stray byte as half a character
    return tuple(_Reader(value, what).challenges())


class _Reader:
    def __init__(self, value: str, what: str) -> None:
        self._value = value
        self._what = what
        self._at = 0

    def challenges(self) -> list[SchemeChallenge]:
        found: list[SchemeChallenge] = []
        self._take(_GAP)
        while self._at < len(self._value):
            found.append(self._challenge())
            self._take(_GAP)
        return found

    def _challenge(self) -> SchemeChallenge:
        scheme = self._take(TOKEN)
        if scheme is None:
            raise malformed(self._what, "has a challenge without a scheme")
        if self._take(_SPACE) is None:
            self._end_of_element()
            return SchemeChallenge(scheme.lower())
        token68 = self._take(_TOKEN68)
        # A bare token before the next comma could be the next scheme; only after it is it known.
        if token68 is not None:
            return SchemeChallenge(scheme.lower(), token68=token68)
        return SchemeChallenge(scheme.lower(), tuple(self._parameters()))

    def _parameters(self) -> list[tuple[str, str]]:
        found: dict[str, str] = {}
        while True:
            start = self._at
            name = self._take(TOKEN)
            if name is None or self._take(_EQUALS) is None:
                self._at = start  # the next challenge's scheme, or the end
                break
            if name.lower() in found:
                raise malformed(self._what, f"repeats the parameter {name.lower()[:40]}")
            if len(found) == PARAMETERS_MAX:
                raise malformed(self._what, f"has more than {PARAMETERS_MAX} parameters")
            found[name.lower()] = self._parameter_value(name)
            self._end_of_element()
            self._take(_GAP)
        return list(found.items())

    def _parameter_value(self, name: str) -> str:
        quoted = _QUOTED.match(self._value, self._at)
        if quoted is not None:
            self._at = quoted.end()
            return unescape(quoted[1], f"{self._what} {name.lower()[:40]}")
        token = self._take(TOKEN)
        if token is None:
            raise malformed(self._what, f"has no value for {name.lower()[:40]}")
        return token

    def _end_of_element(self) -> None:
        self._take(_SPACE)
        if self._at < len(self._value) and self._value[self._at] != ",":
            raise malformed(self._what, "lacks a comma between parameters")

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._value, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]


def quote(text: str, what: str) -> str:
    r"""Return the text as a quoted-string in ASCII; other characters as `\uXXXX`, as MPP peers do.

    Raises:
        MalformedMessage: it has a control character, or is not Unicode.
    """
    if _UNSAFE.search(text):
        raise malformed(what, "has a control character")
    return '"' + "".join(_escape(character, what) for character in text) + '"'


def unescape(text: str, what: str) -> str:
    r"""Return what the inside of a quoted-string stands for, `\uXXXX` included.

    Raises:
        MalformedMessage: an escape gives half a character or a control character.
    """
    if "\\" not in text:
        return text
    plain = _ESCAPED.sub(_unescaped, text)
    try:
        plain = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise malformed(what, "has an escape that is half a character") from None
    if _UNSAFE.search(plain):
        raise malformed(what, "has a control character")
    return plain


def _escape(character: str, what: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isascii():
        return character
    try:
        units = character.encode("utf-16-be")
    except UnicodeEncodeError:
        raise malformed(what, "has a text that is not Unicode") from None
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]
