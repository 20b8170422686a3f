"""Structure-aware mutations: of bytes, of text, and of the JSON inside a message.

Plain functions over a seeded `random.Random`, so that a seed and a number name a case for ever.
"""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any, Final

SPECIALS: Final = (
    *(',;="\\ \t()/*:?|.-_~%+'),
    *("\x00", "\x7f", "\r\n", "\n", "\ufeff", "\u00e9", "\u20ac", "\U0001f600", "\ud800", "\u202e"),
    *("\\u0041", "\\ud83d", "\\u000a", "%00", "Payment ", "payment", ", Basic realm=", "q=0.5"),
    *("0", "-0", "1e9", "9" * 30, "2147483648", "NaN", "Infinity", "null", "true", "{}", "[]"),
)

LITERALS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e300, -0.0, float("nan"), float("inf")),
    *(2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 2**256, -(2**63), 10**400),
    *("", "0", "00", "-1", "1.0", "1e-7", "+1", " 1", "\u0661", "9223372036854775807"),
    *("9223372036854775808", "NaN", "x" * 300, "x" * 9000, "\x00", "a\nb", "\ud800", "\U0001f600"),
    *(
        "\u202e",
        "a|b",
        'a"b',
        "a\\b",
        "https://evil.example",
        "../..",
        [],
        {},
        [[]],
        [{}],
        {"": {}},
    ),
)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Return the bytes with one to three small faults."""
    for _ in range(random.randint(1, 3)):
        data = _BYTE_FAULTS[random.randrange(len(_BYTE_FAULTS))](data, random)
    return data


def mutate_text(text: str, random: Random, others: tuple[str, ...]) -> str:
    """Return the text with one to three faults; pieces may come from the other seeds."""
    for _ in range(random.randint(1, 3)):
        fault = random.randrange(len(_TEXT_FAULTS) + 1)
        if fault == len(_TEXT_FAULTS):
            other = others[random.randrange(len(others))]
            text = text[: random.randint(0, len(text))] + other[random.randint(0, len(other)) :]
        else:
            text = _TEXT_FAULTS[fault](text, random)
    return text


def mutate_json(text: str, random: Random) -> str:
    """Return the JSON with one to three faults in its tree, and now and then in its text."""
    tree = json.loads(text)
    for _ in range(random.randint(1, 3)):
        tree = _mutate_tree(tree, random)
    written = json.dumps(tree, separators=(",", ":"))
    style = random.random()
    if style < 0.08:
        return _repeat_name(written, random)
    if style < 0.12:
        return _nest(written, random)
    if style < 0.18:
        return json.dumps(tree, indent=random.randint(0, 3), sort_keys=True)
    return written


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return b"\x00"
    at = random.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]


def _byte_at_will(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    filler = (0, 0xFF, 0x7F, 0x80)[random.randrange(4)]
    return data[:at] + bytes((filler,)) * random.randint(1, 8) + data[at + 8 :]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _drop(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.randint(1, 8) :]


def _double(data: bytes, random: Random) -> bytes:
    start, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    return data[:end] + data[start:]


def _swap_slices(data: bytes, random: Random) -> bytes:
    a, b, c = sorted(random.randint(0, len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


_BYTE_FAULTS = (_flip, _flip, _byte_at_will, _cut, _drop, _double, _swap_slices)


def _insert_special(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + SPECIALS[random.randrange(len(SPECIALS))] + text[at:]


def _replace_special(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    special = SPECIALS[random.randrange(len(SPECIALS))]
    return text[:at] + special + text[at + random.randint(1, 3) :]


def _replace_letter(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + chr(random.randint(33, 126)) + text[at + 1 :]


def _cut_text(text: str, random: Random) -> str:
    return text[: random.randint(0, len(text))]


def _drop_text(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + text[at + random.randint(1, 12) :]


def _double_text(text: str, random: Random) -> str:
    start, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
    return text[:end] + text[start:]


def _other_case(text: str, random: Random) -> str:
    start, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
    return text[:start] + text[start:end].swapcase() + text[end:]


def _grow(text: str, random: Random) -> str:
    if random.random() < 0.9:  # long inputs are slow to make, and a few show the bound
        return _insert_special(text, random)
    at = random.randint(0, len(text))
    piece = text[at : at + random.randint(1, 40)] or "x"
    return text[:at] + piece * (random.choice((100, 1000, 70_000)) // len(piece)) + text[at:]


def _swap_parts(text: str, random: Random) -> str:
    separator = ",;= ."[random.randrange(5)]
    parts = text.split(separator)
    first, second = random.randrange(len(parts)), random.randrange(len(parts))
    parts[first], parts[second] = parts[second], parts[first]
    return separator.join(parts)


_TEXT_FAULTS = (
    *(_insert_special, _replace_special, _replace_letter, _cut_text, _drop_text, _double_text),
    *(_other_case, _grow, _swap_parts),
)


def _mutate_tree(tree: Any, random: Random) -> Any:
    nodes: list[tuple[Any, Any]] = []
    _collect(tree, nodes)
    if not nodes:
        return _literal(random)
    parent, key = nodes[random.randrange(len(nodes))]
    fault = random.randrange(8)
    if fault <= 2:
        parent[key] = _literal(random)
    elif fault == 3:
        del parent[key]
    elif fault == 4:
        other_parent, other_key = nodes[random.randrange(len(nodes))]
        parent[key] = json.loads(json.dumps(other_parent[other_key]))
    elif fault == 5:
        if isinstance(parent, dict):
            parent[_name(key, random)] = parent.pop(key)
        else:
            parent.append(parent[key])
    elif fault == 6:
        value = parent[key]
        if isinstance(value, str):
            parent[key] = mutate_text(value, random, (value,))
        elif isinstance(value, int):
            parent[key] = value + random.choice((-1, 1, 2**32, 2**53))
        else:
            parent[key] = [value]
    elif isinstance(parent, dict):
        parent[_name(key, random)] = _literal(random)
    else:
        parent.extend(parent * random.choice((1, 10, 100)))
    return tree


def _literal(random: Random) -> Any:
    literal = LITERALS[random.randrange(len(LITERALS))]
    # A shared list or object would be changed by the next fault, or come to hold itself.
    return deepcopy(literal) if isinstance(literal, (list, dict)) else literal


def _collect(tree: Any, nodes: list[tuple[Any, Any]]) -> None:
    if isinstance(tree, dict):
        for key, value in tree.items():
            nodes.append((tree, key))
            _collect(value, nodes)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            nodes.append((tree, index))
            _collect(value, nodes)


def _name(key: str, random: Random) -> str:
    return random.choice((key.upper(), key + "s", "", "__proto__", "\u00e9", "x402Version", "type"))


def _repeat_name(written: str, random: Random) -> str:
    starts = [at for at in range(len(written)) if written[at : at + 2] == '{"']
    if not starts:
        return written + written
    at = starts[random.randrange(len(starts))]
    name_end = written.find('"', at + 2)
    return f"{written[: at + 1]}{written[at + 1 : name_end + 1]}:0,{written[at + 1 :]}"


def _nest(written: str, random: Random) -> str:
    depth = random.choice((1, 31, 32, 33, 200, 5000))
    if random.random() < 0.5:
        return "[" * depth + written + "]" * depth
    return '{"a":' * depth + written + "}" * depth
