"""Text to token ids and back: a BPE trained on the corpus, a pretrained tokenizer by name, or bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bitskip.data.cache import cache_folder, content_key, publish
from bitskip.data.corpora import Corpus, open_corpus
from bitskip.data.hub import hub_connection
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

if TYPE_CHECKING:
    import tokenizers

END_OF_DOCUMENT = "<|endoftext|>"
TRAINING_CHARACTERS = 4_000_000
"""Length of the training text that a BPE is learned from."""


class Tokenizer(Protocol):
    """Ids 0 … vocab_size - 1, one of which ends a document; `fingerprint` identifies the mapping."""

    vocab_size: int
    end_of_document: int
    fingerprint: str

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        """Ids of each document, without the end-of-document token."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; the end-of-document token gives nothing."""


class ByteTokenizer:
    """The 256 byte values, then the end of a document."""

    vocab_size, end_of_document, fingerprint = 257, 256, "bytes"

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(document.encode(), dtype=np.uint8) for document in documents]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < self.end_of_document).decode(errors="replace")


@dataclass
class LibraryTokenizer:
    """A tokenizer of the `tokenizers` library that has an end-of-document token."""

    inner: tokenizers.Tokenizer

    def __post_init__(self) -> None:
        end = self.inner.token_to_id(END_OF_DOCUMENT)
        if end is None:
            raise UserError(f"data.tokenizer: it has no end-of-document token {END_OF_DOCUMENT}")
        self.inner.encode_special_tokens = True  # "<|endoftext|>" in a document is text, it ends none
        self.end_of_document: int = end
        self.vocab_size: int = self.inner.get_vocab_size()
        self.fingerprint: str = hashlib.sha256(self.inner.to_str().encode()).hexdigest()

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        encoded = self.inner.encode_batch(list(documents), add_special_tokens=False)
        return [np.asarray(entry.ids, dtype=np.uint32) for entry in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.inner.decode(list(ids), skip_special_tokens=True))


def load_tokenizer(config: DataConfig, cache: Path | None = None, corpus: Corpus | None = None) -> Tokenizer:
    """The tokenizer of a configuration; a BPE is trained once on the corpus and kept in the cache.

    Raises UserError if a pretrained one is not to be had.
    """
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    if config.tokenizer == "bpe":
        return _trained(config, corpus or open_corpus(config), cache_folder(cache))
    return LibraryTokenizer(_pretrained(config.tokenizer))


def prompt_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text to be continued, behind an end-of-document token: so every document begins in a packed stream."""
    return [tokenizer.end_of_document, *tokenizer.encode([text])[0].tolist()]


def _trained(config: DataConfig, corpus: Corpus, cache: Path) -> LibraryTokenizer:
    import tokenizers

    key = content_key({"bpe": config.vocab_size, "characters": TRAINING_CHARACTERS, **corpus.identity()})
    path = cache / f"bpe-{key}.json"

    def build(temporary: Path) -> None:
        _train_bpe(corpus.sample(TRAINING_CHARACTERS), config.vocab_size).save(str(temporary))

    publish(path, build, _is_tokenizer)
    tokenizer = LibraryTokenizer(tokenizers.Tokenizer.from_file(str(path)))
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError(
            f"data.vocab_size: the corpus only yields {tokenizer.vocab_size} tokens, not {config.vocab_size}: "
            f"set data.vocab_size={tokenizer.vocab_size} or give more text"
        )
    return tokenizer


def _is_tokenizer(path: Path) -> bool:
    """Whether the file is there and whole; the library writes JSON."""
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _train_bpe(documents: Iterator[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Byte-level BPE: every text can be encoded, and decoding gives it back."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def _pretrained(name: str) -> tokenizers.Tokenizer:
    import tokenizers

    trouble = ""
    try:
        if name.endswith(".json"):
            return tokenizers.Tokenizer.from_file(name)
        with hub_connection() as trouble:
            return tokenizers.Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises bare Exception for a missing file and an unreachable hub alike
        reason = trouble or (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"data.tokenizer: cannot load '{name}': {reason}; give the path of a tokenizer.json, or train one on the "
            "corpus with data.tokenizer=bpe"
        ) from None
