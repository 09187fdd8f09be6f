"""Documents of a Hugging Face dataset, through the `datasets` library."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

ALIASES = {"wikitext": ("Salesforce/wikitext", "wikitext-2-raw-v1")}
"""Short names in use, with the repository and the subset they stand for."""

WAYS_OUT = "use the built-in corpus (data: stories) or text files (data: {files: [...]})"
CONNECT_SECONDS = 5


def hub_documents(config: DataConfig, split: str) -> Iterator[str]:
    """Non-empty texts of one split; rows without a text are left out.

    Raises UserError if the hub, the dataset, the split or the column is missing, or if the two splits share rows.
    """
    _check_splits(config.train_split, config.validation_split)
    repository, default_subset = ALIASES.get(config.corpus, (config.corpus, ""))
    rows = _load(repository, config.subset or default_subset, split, config.streaming)
    try:
        for row in rows:
            if config.column not in row:
                raise UserError(
                    f"data: '{repository}' has no column '{config.column}' (columns: {', '.join(row)}); set data.column"
                )
            text = row[config.column]
            if not isinstance(text, str | None):
                raise UserError(
                    f"data: column '{config.column}' of '{repository}' holds {type(text).__name__}, not text; "
                    "set data.column"
                )
            if text and (stripped := text.strip()):
                yield stripped
    except UserError:
        raise
    except Exception as error:  # a stream can break at any row, with whatever its transport raises
        raise UserError(
            f"data: reading '{repository}' broke off: {_first_line(error)}; try again, or {WAYS_OUT}"
        ) from None


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
    except ValueError as error:
        reason = _first_line(error)
        if "split" in reason.lower():
            raise UserError(
                f"data: '{repository}' has no split '{split}' ({reason}); set data.train_split and "
                "data.validation_split"
            ) from None
        raise UserError(
            f"data: cannot load '{repository}': {trouble or reason}; set data.subset, or {WAYS_OUT}"
        ) from None
    except Exception as error:  # the hub's client raises many kinds, all of them an unreachable or unknown dataset
        reason = trouble or _first_line(error)
        raise UserError(f"data: cannot load the dataset '{repository}': {reason}; {WAYS_OUT}") from None


@contextlib.contextmanager
def hub_connection(of_datasets: bool = False) -> Iterator[str]:
    """Yields why the hub is out of reach, else an empty string.

    Out of reach, its client answers from its cache only: left alone it retries for half a minute before it says so.
    """
    # Read when huggingface_hub is imported: without a limit an unreachable hub is waited for.
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(CONNECT_SECONDS))
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    from huggingface_hub import constants

    flags: list[Any] = [constants]
    if of_datasets:  # it keeps a copy of the flag; a tokenizer is spared its import of two seconds
        import datasets

        flags.append(datasets.config)

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are told once, in our error
    trouble = "" if constants.HF_HUB_OFFLINE else _trouble(constants.ENDPOINT)
    if not trouble:
        yield ""
        return
    before = [module.HF_HUB_OFFLINE for module in flags]
    for module in flags:
        module.HF_HUB_OFFLINE = True
    try:
        yield trouble
    finally:
        for module, offline in zip(flags, before, strict=True):
            module.HF_HUB_OFFLINE = offline


def _trouble(endpoint: str) -> str:
    """Why the hub does not answer, or an empty string if it does; any answer will do."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=CONNECT_SECONDS)
    except Exception as error:  # the transport differs between versions of the client, and so do its errors
        return f"{endpoint} does not answer ({_first_line(error)})"
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
