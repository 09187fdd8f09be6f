"""Documents of a Hugging Face dataset, through the `datasets` library."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

from bitskip.config import DataConfig
from bitskip.errors import UserError

ALIASES = {"wikitext": ("Salesforce/wikitext", "wikitext-2-raw-v1")}
"""Short names in use, with the repository and the subset they stand for."""

WAYS_OUT = "use the built-in corpus (data: stories) or text files (data: {files: [...]})"
CONNECT_SECONDS = "5"


def hub_documents(config: DataConfig, split: str) -> Iterator[str]:
    """Non-empty texts of one split. Raises UserError if the hub, the dataset, the split or the column is missing."""
    if config.train_split == config.validation_split:
        raise UserError(
            f"data: training and held-out split are both '{split}'; set data.validation_split, "
            "for example to 'validation' or 'test'"
        )
    repository, default_subset = ALIASES.get(config.corpus, (config.corpus, ""))
    rows = _load(repository, config.subset or default_subset, split, config.streaming)
    columns = rows.column_names
    if columns and config.column not in columns:
        raise UserError(
            f"data: '{repository}' has no column '{config.column}' (columns: {', '.join(columns)}); set data.column"
        )
    for row in rows:
        if text := str(row[config.column]).strip():
            yield text


def _load(repository: str, subset: str, split: str, streaming: bool) -> Any:
    # Read when huggingface_hub is imported: without a limit an unreachable hub is waited for.
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", CONNECT_SECONDS)
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    import datasets

    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are told once, in our error
    try:
        return datasets.load_dataset(repository, subset or None, split=split, streaming=streaming)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        if "split" in reason.lower():
            raise UserError(
                f"data: '{repository}' has no split '{split}' ({reason}); set data.train_split and "
                "data.validation_split"
            ) from None
        raise UserError(f"data: cannot load '{repository}': {reason}; set data.subset, or {WAYS_OUT}") from None
    except Exception as error:  # the hub's client raises many kinds, all of them an unreachable or unknown dataset
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"data: cannot load the dataset '{repository}': {reason}; {WAYS_OUT}") from None
