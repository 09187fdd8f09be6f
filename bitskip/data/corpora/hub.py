"""Documents of a Hugging Face dataset, through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bitskip.data.corpora import ANY_OTHER, Corpus, Side
from bitskip.data.documents import articles
from bitskip.data.hub import first_line, hub_connection
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

ALIASES = {"wikitext": ("Salesforce/wikitext", "wikitext-2-raw-v1")}
"""Short names in use, with the repository and the subset they stand for."""

WAYS_OUT = "use the built-in corpus (data: stories) or text files (data: {files: [...]})"


class HubDataset(Corpus):
    """The dataset of that name, one document a row; rows without a text are left out.

    With `document: article`, rows are lines, and an article of WikiText is a document.

    Its streams raise UserError if the hub, the dataset, the split or the column is missing, or if splits share rows.
    """

    name = ANY_OTHER

    def __init__(self, config: DataConfig) -> None:
        super().__init__(config)
        self.endless = config.streaming

    def identity(self) -> dict[str, object]:
        config = self.config
        names = ["corpus", "subset", "column", "streaming"] + ["document"] * (config.document != "auto")
        named = {key: getattr(config, key) for key in names}
        return {**named, "splits": [config.train_split, config.validation_split]}

    def documents(self, side: Side) -> Iterator[str]:
        config = self.config
        _check_splits(config.train_split, config.validation_split)
        repository, default_subset = ALIASES.get(config.corpus, (config.corpus, ""))
        split = config.train_split if side == "train" else config.validation_split
        rows = _load(repository, config.subset or default_subset, split, config.streaming)
        try:
            texts: Iterator[str] = (_text(row, config.column, repository) or "" for row in rows)
            if config.document == "article":
                texts = articles(texts, f"data: '{repository}'")
            yield from (stripped for text in texts if (stripped := text.strip()))
        except UserError:
            raise
        except Exception as error:  # a stream can break at any row, with whatever its transport raises
            raise UserError(
                f"data: reading '{repository}' broke off: {first_line(error)}; try again, or {WAYS_OUT}"
            ) from None


def _text(row: dict[str, Any], column: str, repository: str) -> str | None:
    if column not in row:
        columns = ", ".join(row)
        raise UserError(f"data: '{repository}' has no column '{column}' (columns: {columns}); set data.column")
    text = row[column]
    if not isinstance(text, str | None):
        kind = type(text).__name__
        raise UserError(f"data: column '{column}' of '{repository}' holds {kind}, not text; set data.column")
    return text


def _check_splits(train: str, held_out: str) -> None:
    if train == held_out:
        raise UserError(
            f"data: training and held-out split are both '{train}'; set data.validation_split, "
            "for example to 'validation' or 'test'"
        )
    for first in train.split("+"):
        for second in held_out.split("+"):
            # Parts of a split, train[:90%] and train[90%:], are taken as given; a whole split contains its parts.
            same = first.partition("[")[0].strip() == second.partition("[")[0].strip()
            if same and (first.strip() == second.strip() or "[" not in first or "[" not in second):
                raise UserError(
                    f"data: training split '{train}' and held-out split '{held_out}' share rows; set data.train_split "
                    "and data.validation_split apart, for example 'train[5%:]' and 'train[:5%]'"
                )


def _load(repository: str, subset: str, split: str, streaming: bool) -> Any:
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
