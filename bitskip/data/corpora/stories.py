"""The built-in stories as a corpus: endless, and made without a download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bitskip.data.corpora import Corpus, Side
from bitskip.data.stories import GENERATOR_VERSION, stories
from bitskip.trial.config import DataConfig

SEEDS: dict[Side, int] = {"train": 1, "test": 2, "validation": 3}
"""Disjoint streams of the generator: two seeds share no story."""


class Stories(Corpus):
    """Small children's stories from the generator."""

    name = "stories"
    endless = True

    @property
    def of_three(self) -> bool:
        return True

    def documents(self, side: Side) -> Iterator[str]:
        return stories(SEEDS[side])

    def pinned(self) -> DataConfig:
        return replace(self.config, split="auto")  # it has three parts in any case

    def identity(self) -> dict[str, object]:
        return {"corpus": self.name, "version": GENERATOR_VERSION}
