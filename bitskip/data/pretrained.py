"""Tokenizer files by path or by name on the Hugging Face hub, and what identifies their content."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.hub import first_line, hub_connection
from bitskip.trial.config import CHECKPOINT_TOKENIZER, DataConfig
from bitskip.trial.pretrained import PretrainedFiles, located, pretrained_digest

OWN = ("bpe", "bytes")
"""Tokenizers that need no file."""

COMMITS = {"gpt2": "607a30d783dfa663caf39e06633721c8d4cfcd7e"}
"""Commits of the hub's tokenizers that their name alone stands for."""

_COMMIT = re.compile("[0-9a-f]{40}")


def tokenizer_digest(name: str) -> str:
    """SHA-256 of the tokenizer's file; empty where the name says what is in it.

    That is so for `bpe`, `bytes`, `gpt2`, and a name of the hub with its commit, `name@<40 hex digits>`. Raises
    UserError if the file is not to be had.
    """
    known = name in OWN or name in COMMITS or (not _path(name) and _COMMIT.fullmatch(name.partition("@")[2]))
    return "" if known else _read(name)[1]


def read_tokenizer(config: DataConfig) -> bytes:
    """The content of the tokenizer's file. Raises UserError if it is not to be had, or not what the digest says."""
    content, digest = _read(config.tokenizer)
    if config.tokenizer_digest not in ("", digest):
        raise UserError(
            f"data.tokenizer: '{config.tokenizer}' has another content than the trial was made with "
            f"(SHA-256 {config.tokenizer_digest[:12]}…); put that file back, or start the command again"
        )
    return content


def cannot_load(name: str, reason: str) -> UserError:
    """The error for a tokenizer that is not to be had, with the ways out."""
    return UserError(
        f"data.tokenizer: cannot load '{name}': {reason}; give the path of a tokenizer.json, or train one on the "
        "corpus with data.tokenizer=bpe"
    )


def _path(name: str) -> Path | None:
    """The file of that name, or the one in the folder of that name; None for a name of the hub."""
    path = Path(os.path.expanduser(name))
    if name.endswith(".json"):
        return path
    return path / "tokenizer.json" if name not in COMMITS and path.is_dir() else None


def of_checkpoint(name: str) -> bool:
    """Whether a tokenizer is that of a pretrained model, whose ids are rows of the model's embedding."""
    return name.startswith(CHECKPOINT_TOKENIZER)


def _read(name: str) -> tuple[bytes, str]:
    """The tokenizer as the `tokenizers` library writes it, and the SHA-256 of the file it is read from."""
    if not of_checkpoint(name):
        content = _file(name)
        return content, hashlib.sha256(content).hexdigest()
    place = name.removeprefix(CHECKPOINT_TOKENIZER)
    files = located(place)
    if files.gguf:
        return _of_gguf(place, files), pretrained_digest(place)
    content = _file(str(files.folder / "tokenizer.json"))
    return content, hashlib.sha256(content).hexdigest()


def _of_gguf(place: str, files: PretrainedFiles) -> bytes:
    require("transformers", "gguf")
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(files.folder, gguf_file=files.gguf)
        return str(found.backend_tokenizer.to_str()).encode()
    except Exception as error:  # many kinds, all of them a file without a tokenizer that the library can build
        raise cannot_load(place, first_line(error)) from None


def _file(name: str) -> bytes:
    trouble = ""
    try:
        if path := _path(name):
            return path.read_bytes()
        require("huggingface_hub")
        with hub_connection() as trouble:
            from huggingface_hub import hf_hub_download

            repository, _, revision = name.partition("@")
            revision = revision or COMMITS.get(repository, "main")
            return Path(hf_hub_download(repository, "tokenizer.json", revision=revision)).read_bytes()
    except UserError:
        raise
    except OSError as error:
        raise cannot_load(name, trouble or error.strerror or first_line(error)) from None
    except Exception as error:  # the hub's client raises many kinds, all of them an unreachable or unknown tokenizer
        raise cannot_load(name, trouble or first_line(error)) from None
