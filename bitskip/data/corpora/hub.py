"""Documents of a Hugging Face dataset, through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bitskip.data.corpora import ANY_OTHER, Corpus, Side, drawn
from bitskip.data.documents import articles
from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.hub import first_line, hub_connection
from bitskip.trial.config import DataConfig

ALIASES = {"wikitext": ("Salesforce/wikitext", "wikitext-2-raw-v1")}
"""Short names in use, with the repository and the subset they stand for."""

WAYS_OUT = "use the built-in corpus (data: stories) or text files (data: {files: [...]})"


class HubDataset(Corpus):
    """The dataset of that name, one document a row; rows without a text are left out.

    Where a document is an article, as in WikiText, rows are lines. Without a `test_split`, the
    validation split's documents are dealt out to validation and test by a hash of their text; without a
    `validation_split` too, `validation_fraction` of the training split's are the test, and as many the validation.

    Its streams raise UserError if the hub, the dataset, the split or the column is missing, or if splits share rows.
    """

    name = ANY_OTHER

    def __init__(self, config: DataConfig) -> None:
        super().__init__(config)
        self.endless = config.streaming

    def pinned(self) -> DataConfig:
        found = super().pinned()
        lines = found.split == "three" and _repository(found)[0] == ALIASES["wikitext"][0]
        return replace(found, document="article") if lines and found.document == "auto" else found

    def identity(self) -> dict[str, object]:
        config = self.config
        names = ["corpus", "subset", "column", "streaming"] + ["document"] * (config.document != "auto")
        names += ["split", "test_split"] * self.of_three  # older keys of caches stay
        names += ["validation_fraction"] * (not config.validation_split)
        named = {key: getattr(config, key) for key in names}
        return {**named, "splits": [config.train_split, config.validation_split]}

    def documents(self, side: Side) -> Iterator[str]:
        config = self.config
        if not config.validation_split:
            yield from (text for text in self._texts(config.train_split) if self._side_of(text) == side)
            return
        _check_splits("train_split", config.train_split, "validation_split", config.validation_split)
        test = config.test_split if self.of_three else ""
        if test:
            _check_splits("train_split", config.train_split, "test_split", test)
            _check_splits("validation_split", config.validation_split, "test_split", test)
        held_out = test if test and side == "test" else config.validation_split
        split = config.train_split if side == "train" else held_out
        halves = self.of_three and not test and side != "train"
        for text in self._texts(split):
            if not halves or (drawn(text) < 0.5) == (side == "test"):
                yield text

    def _side_of(self, text: str) -> Side:
        """Where a document of the training split belongs if nothing else is held out."""
        fraction, draw = self.config.validation_fraction, drawn(text)
        if draw < fraction:
            return "test"
        return "validation" if self.of_three and draw < 2 * fraction else "train"

    def _texts(self, split: str) -> Iterator[str]:
        config = self.config
        repository, default_subset = _repository(config)
        rows = _load(repository, config.subset or default_subset, split, config.streaming)
        try:
            texts: Iterator[str] = (_text(row, config.column, repository) or "" for row in rows)
            if config.document == "article":
                texts = articles(texts, f"data: '{repository}'")
            yield from filter(None, map(str.strip, texts))
        except UserError:
            raise
        except Exception as error:  # a stream can break at any row, with whatever its transport raises
            raise UserError(
                f"data: reading '{repository}' broke off: {first_line(error)}; try again, or {WAYS_OUT}"
            ) from None


def _repository(config: DataConfig) -> tuple[str, str]:
    """The repository that a name stands for, and its subset if none is given."""
    return ALIASES.get(config.corpus, (config.corpus, ""))


def _text(row: dict[str, Any], column: str, repository: str) -> str | None:
    if column not in row:
        columns = ", ".join(row)
        raise UserError(f"data: '{repository}' has no column '{column}' (columns: {columns}); set data.column")
    text = row[column]
    if not isinstance(text, str | None):
        kind = type(text).__name__
        raise UserError(f"data: column '{column}' of '{repository}' holds {kind}, not text; set data.column")
    return text


def _check_splits(one: str, first_split: str, other: str, second_split: str) -> None:
    """Raises UserError if two settings name splits that share rows."""
    if first_split == second_split:
        raise UserError(
            f"data: {one} and {other} are both '{first_split}'; set data.{other}, for example to 'validation' or 'test'"
        )
    for first in first_split.split("+"):
        for second in second_split.split("+"):
            # Parts of a split, train[:90%] and train[90%:], are taken as given; a whole split contains its parts.
            same = first.partition("[")[0].strip() == second.partition("[")[0].strip()
            if same and (first.strip() == second.strip() or "[" not in first or "[" not in second):
                raise UserError(
                    f"data: {one} '{first_split}' and {other} '{second_split}' share rows; set data.{one} and "
                    f"data.{other} apart, for example 'train[5%:]' and 'train[:5%]'"
                )


def _load(repository: str, subset: str, split: str, streaming: bool) -> Any:
    require("datasets")
    trouble = ""
    try:
        with hub_connection(of_datasets=True) as trouble:
            import datasets

            datasets.disable_progress_bars()
            return datasets.load_dataset(repository, subset or None, split=split, streaming=streaming)
    except Exception as error:  # the hub's client raises many kinds, all of them an unreachable or unknown dataset
        reason = first_line(error)
        if not isinstance(error, ValueError):
            raise UserError(f"data: cannot load the dataset '{repository}': {trouble or reason}; {WAYS_OUT}") from None
        if "split" in reason.lower():
            raise UserError(
                f"data: '{repository}' has no split '{split}' ({reason}); set data.train_split and "
                "data.validation_split"
            ) from None
        raise UserError(
            f"data: cannot load '{repository}': {trouble or reason}; set data.subset, or {WAYS_OUT}"
        ) from None
