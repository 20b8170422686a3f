"""Compiled contracts as files: ours, and those of npm packages, which Hardhat or Truffle wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aisa.errors import ConfigInvalid


class _Place(msgspec.Struct, frozen=True):
    start: int
    length: int


class _Parameter(msgspec.Struct, frozen=True):
    type: str


class _Entry(msgspec.Struct, frozen=True):
    type: str
    inputs: tuple[_Parameter, ...] = ()


class _File(msgspec.Struct, frozen=True, rename="camel"):
    """What our format and Hardhat's have in common, by either's name."""

    abi: tuple[_Entry, ...]
    bytecode: str
    link_references: Mapping[str, Mapping[str, tuple[_Place, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract that can be deployed: its name, its constructor's types, its bytecode as hex."""

    name: str
    constructor: tuple[str, ...]
    bytecode: str
    links: Mapping[str, tuple[_Place, ...]]

    def linked(self, libraries: Mapping[str, str]) -> str:
        """The bytecode with the addresses of its libraries, by their names.

        Raises:
            ConfigInvalid: a library is missing.
        """
        code = self.bytecode
        for name, places in self.links.items():
            address = libraries.get(name)
            if address is None:
                raise ConfigInvalid(f"{self.name} needs the address of its library {name}")
            for place in places:
                at = 2 + 2 * place.start
                code = (
                    code[:at] + address.removeprefix("0x").lower() + code[at + 2 * place.length :]
                )
        return code


def read_artifact(path: Path) -> Artifact:
    """Read a compiled contract.

    Raises:
        ConfigInvalid: there is no such file, or it is none of a contract with bytecode.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigInvalid(f"{path.name} is not a compiled contract: {error}") from error
    if len(found.bytecode) <= len("0x"):
        raise ConfigInvalid(f"{path.name} has no bytecode")
    types = next((one.inputs for one in found.abi if one.type == "constructor"), ())
    links = {
        name: places for file in found.link_references.values() for name, places in file.items()
    }
    return Artifact(path.stem, tuple(one.type for one in types), found.bytecode, links)


def read_if_there(folder: Path, name: str) -> Artifact | None:
    """The compiled contract of that name in a folder of ours, None if there is none."""
    path = folder / f"{name}.json"
    return read_artifact(path) if path.exists() else None
