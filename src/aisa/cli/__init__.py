"""The command line: one module per noun, each imported only when its noun is used."""

from aisa.cli.entry import main

__all__ = ["main"]
