"""Where the node of a home has its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The node's folder, and what of it the command line uses."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "node.toml"

    @property
    def process(self) -> Path:
        """Who runs the node, and where."""
        return self.folder / "node.json"

    @property
    def log(self) -> Path:
        """The output of a node in the background."""
        return self.folder / "node.log"


def node_files(home: Path) -> NodeFiles:
    """The files of the node in a home."""
    return NodeFiles(home / "node")
