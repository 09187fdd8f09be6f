"""The random choices of one story, as digits of one large number hashed from (seed, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
ENTROPY_BYTES = 160
"""Twice what the longest story uses: an exhausted number would pick the first of everything."""


class Draws:
    """Mixed-radix digits of a hash: cheap, equal on every platform, no shared state."""

    __slots__ = ("_rest",)

    def __init__(self, seed: int, index: int) -> None:
        digest = hashlib.shake_128(b"%d/%d" % (seed, index)).digest(ENTROPY_BYTES)
        self._rest = int.from_bytes(digest, "little")

    def below(self, bound: int) -> int:
        """A whole number in 0 … bound - 1."""
        self._rest, digit = divmod(self._rest, bound)
        return digit

    def pick(self, items: Sequence[Item]) -> Item:
        self._rest, digit = divmod(self._rest, len(items))
        return items[digit]
