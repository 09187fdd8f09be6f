"""The texts that stories are made of: data files of this package, each with its notation described on top."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def read_tables(name: str) -> dict[str, Any]:
    """A file of named tables: `lexicon.toml`, `sentences.toml`."""
    return tomllib.loads(_read(name))


def read_entries(name: str) -> list[str]:
    """The paragraphs of a file such as `plots.txt`, less its comments."""
    lines = [line for line in _read(name).splitlines() if not line.startswith("#")]
    return "\n".join(lines).strip().split("\n\n")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
