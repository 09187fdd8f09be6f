"""Corpora by name: each three streams of documents, for training, validation and test, that never share a document.

A corpus is a module of this package with a subclass of `Corpus`: that is all that adding one takes.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from bitskip.data.document_summary import DocumentSummary
from bitskip.data.pretrained import OWN, tokenizer_digest
from bitskip.data.sample import TextSample, beginning, spread
from bitskip.trial.config import DataConfig

Side = Literal["train", "validation", "test"]
ANY_OTHER = "*"
"""Name of the corpus that opens every name that no other has."""


class Corpus(abc.ABC):
    """What a configuration names, as text. Making one reads nothing; its methods raise UserError where they can't.

    `endless`: it is cut where a trial needs no more, so that its stream depends on the budget; any other is read whole.
    """

    name: ClassVar[str]
    endless: bool = False

    def __init__(self, config: DataConfig) -> None:
        self.config = config

    @property
    def of_three(self) -> bool:
        """Whether validation has documents of its own; else it is the test's, as in 0.1."""
        return self.config.split == "three"

    @property
    def sides(self) -> tuple[Side, ...]:
        return ("train", "validation", "test") if self.of_three else ("train", "test")

    @abc.abstractmethod
    def documents(self, side: Side) -> Iterator[str]:
        """A fresh iterator of the documents of one of the `sides`."""

    @property
    def ordered(self) -> bool:
        """Whether documents keep the order in which they stand. Else they are put in that of their draws, so that the
        same documents give the same stream, in whatever files and order they come."""
        return self.endless or not self.of_three

    def with_sides(self, sides: Sequence[Side]) -> Iterator[tuple[Side, str]]:
        """The documents of some sides, those of each in their order."""
        return ((side, document) for side in sides for document in self.documents(side))

    def size(self) -> int | None:
        """Bytes that reading all of it reads, where that is known."""
        return None

    @abc.abstractmethod
    def identity(self) -> dict[str, object]:
        """What determines the documents of all sides, as JSON-ready data: part of the keys of cached files."""

    def pinned(self) -> DataConfig:
        """The configuration with what identifies its text filled in, where the name alone does not.

        Of `split`, `auto` then stands for the two parts of 0.1, so that trials of then keep their identity.
        """
        return replace(self.config, split="auto" if self.config.split == "two" else "three")

    def check_unchanged(self) -> None:  # noqa: B027 (most texts have nothing that could change)
        """Raises UserError where the text is no longer what identifies it; asked before anything of it is published."""

    def summary(self) -> DocumentSummary | None:
        """How the text was cut into documents; None where it would have to be made or downloaded first."""
        return None

    def sample(self, size: int) -> TextSample:
        """At least `size` characters of the training text, or all there are: spread over it. Of a text without end, and
        with the two parts of 0.1, its beginning."""
        return (spread if self.of_three and not self.endless else beginning)(self.documents("train"), size)


def drawn(document: str) -> float:
    """A number from 0 to below 1 by which a document falls to a side: that of its text alone, so that copies of it fall
    on the same side, whatever their order."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") / 2**64


def open_corpus(config: DataConfig) -> Corpus:
    """The corpus that a configuration names."""
    found = _corpora()
    return found.get(config.corpus, found[ANY_OTHER])(config)


@functools.cache
def _corpora() -> dict[str, type[Corpus]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {each.name: each for each in Corpus.__subclasses__()}


def endless(config: DataConfig) -> bool:
    """Whether the length of the token stream depends on how many tokens a trial asks for."""
    return open_corpus(config).endless


@functools.lru_cache(maxsize=64)
def summary(config: DataConfig) -> DocumentSummary | None:
    """How a text was cut into documents. `config` is pinned; its tokenizer does not matter.

    Raises UserError where the text can't be read.
    """
    return open_corpus(config).summary()


def summaries(configs: Iterable[DataConfig]) -> list[DocumentSummary]:
    """Those of the distinct texts among configurations, as far as they can be told without a download."""
    plain = DataConfig()
    texts = (replace(each, tokenizer=plain.tokenizer, vocab_size=plain.vocab_size) for each in configs)
    return [found for text in dict.fromkeys(texts) if (found := summary(text))]


def pinned(config: DataConfig) -> DataConfig:
    """The configuration with what identifies its text and tokenizer filled in.

    Raises UserError where they can't be read, or are not what a digest that the configuration has says.
    """
    corpus = open_corpus(config)
    found = corpus.pinned()
    if config.digest:
        corpus.check_unchanged()
    own = found.tokenizer in OWN
    return replace(found, tokenizer_digest="" if own else found.tokenizer_digest or tokenizer_digest(found.tokenizer))
