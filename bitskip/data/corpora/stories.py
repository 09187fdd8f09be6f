"""The built-in stories as a corpus: endless, and made without a download."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.data.corpora import Corpus, Side
from bitskip.data.stories import GENERATOR_VERSION, stories

SEEDS: dict[Side, int] = {"train": 1, "validation": 2}
"""Disjoint streams of the generator: two seeds share no story."""


class Stories(Corpus):
    """Small children's stories from the generator."""

    name = "stories"
    endless = True

    def documents(self, side: Side) -> Iterator[str]:
        return stories(SEEDS[side])

    def identity(self) -> dict[str, object]:
        return {"corpus": self.name, "version": GENERATOR_VERSION}
