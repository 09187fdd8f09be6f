"""A corpus as two streams of documents, for training and held out, which never share a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bitskip.data.files import files_digest, held_out_files, training_files
from bitskip.data.hub import hub_documents
from bitskip.data.stories import GENERATOR_VERSION, stories
from bitskip.trial.config import DataConfig

STORY_TRAIN_SEED, STORY_VALIDATION_SEED = 1, 2
"""Disjoint streams of the generator: two seeds share no story."""


@dataclass(frozen=True)
class Corpus:
    """`train` and `validation` open fresh iterators of documents; `identity` determines their content.

    An endless corpus is cut where a trial needs no more; any other is read whole.
    """

    train: Callable[[], Iterator[str]]
    validation: Callable[[], Iterator[str]]
    identity: dict[str, object]
    endless: bool


def open_corpus(config: DataConfig) -> Corpus:
    """The corpus that a configuration names. Raises UserError where it can't be read."""
    if config.corpus == "stories":
        return Corpus(
            lambda: stories(STORY_TRAIN_SEED),
            lambda: stories(STORY_VALIDATION_SEED),
            {"corpus": "stories", "version": GENERATOR_VERSION},
            endless=True,
        )
    if config.corpus == "files":
        return Corpus(
            lambda: training_files(config),
            lambda: held_out_files(config),
            {
                "corpus": "files",
                "digest": config.digest or files_digest(config.files),  # a trial made in Python has none yet
                "column": config.column,
                "separator": config.separator,
                "validation_fraction": config.validation_fraction,
            },
            endless=False,
        )
    return Corpus(
        lambda: hub_documents(config, config.train_split),
        lambda: hub_documents(config, config.validation_split),
        {
            "corpus": config.corpus,
            "subset": config.subset,
            "splits": [config.train_split, config.validation_split],
            "column": config.column,
            "streaming": config.streaming,
        },
        endless=config.streaming,
    )


def sample_text(corpus: Corpus, size: int) -> Iterator[str]:
    """Training documents up to about `size` characters."""
    seen = 0
    for document in corpus.train():
        yield document
        seen += len(document)
        if seen >= size:
            return
