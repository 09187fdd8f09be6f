"""Whether the Hugging Face hub can be reached, and its client kept from retrying where it cannot."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

CONNECT_SECONDS = 5


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
    before = [module.HF_HUB_OFFLINE for module in flags]
    for module in flags:
        module.HF_HUB_OFFLINE |= bool(trouble)
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
        return f"{endpoint} does not answer ({first_line(error)})"
    return ""


def first_line(error: BaseException) -> str:
    """What an error says in its first line, else its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]
