"""Packed token streams: documents one after another, each closed by the end-of-document token, no padding.

A stream is one flat array, cached under its content key and memory-mapped by every trial that reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bitskip.data.cache import cache_folder, content_key, publish
from bitskip.data.corpora import Corpus, open_corpus
from bitskip.data.pretrained import OWN
from bitskip.data.round_trip import RoundTrip
from bitskip.data.tokenizer import Tokenizer, load_tokenizer
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

SIZE_CLASS = 262_144
"""An endless corpus is cut at a power-of-two multiple of this many tokens: similar budgets share one stream."""

DOCUMENTS_PER_BATCH = 256
FORMAT = 2
"""Part of every key: raised when the same corpus and tokenizer give another stream."""

PRETRAINED_FORMAT = 1
"""Part of the keys of pretrained tokenizers' streams: raised when these are checked or numbered in another way."""

TOKENS_PER_COUNT = 2**22


@dataclass(frozen=True)
class TokenData:
    """Token ids of a corpus, memory-mapped: what is trained on, what guides training, and what is reported on.

    `validation` is None where the text has two parts only: the test then has both its roles. `test_bytes` says how many
    UTF-8 bytes of the text each token of `test` stands for; they add up to those of its documents. `unigram_entropy` is
    that of the training tokens, in nats: what counting alone achieves.
    """

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray
    test_bytes: np.ndarray
    vocab_size: int
    end_of_document: int
    unigram_entropy: float
    fingerprint: str


def load_data(
    config: DataConfig,
    train_tokens: int,
    held_out_tokens: int,
    cache: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> TokenData:
    """The streams of a corpus, from the cache or built into it.

    An endless corpus gives at least the tokens asked for, any other all it has. Raises UserError if a part is empty.
    """
    folder, corpus = cache_folder(cache), open_corpus(config)
    tokenizer = load_tokenizer(config, folder, corpus, report)
    pretrained = config.tokenizer not in OWN
    if pretrained and tokenizer.vocab_size != config.vocab_size:
        raise UserError(
            f"data.vocab_size is {config.vocab_size}, but the tokenizer '{config.tokenizer}' has "
            f"{tokenizer.vocab_size} tokens: set data.vocab_size={tokenizer.vocab_size}"
        )
    check = partial(RoundTrip, tokenizer, config.tokenizer, report)
    streams: dict[str, _Stream] = {}
    keys: dict[str, str] = {}
    for side in corpus.sides:
        limit = size_class(train_tokens if side == "train" else held_out_tokens) if corpus.endless else None
        named = side if side != "test" or corpus.of_three else "validation"  # older keys of caches stay
        parts = {"side": named, "limit": limit, "tokenizer": tokenizer.fingerprint, "format": FORMAT}
        parts |= {"parts": 3} if corpus.of_three and side != "train" else {}
        parts |= {"pretrained": PRETRAINED_FORMAT} if pretrained else {}
        keys[side] = content_key({**parts, **corpus.identity()})
        path = folder / f"tokens-{keys[side]}.bin"
        if report and not _is_whole(path):
            report(f"preparing {side} tokens of {config.corpus}")
        streams[side] = _stream(path, partial(corpus.documents, side), tokenizer, limit, check)
        if len(streams[side].tokens) == 0:
            more = " or a larger data.validation_fraction" if side != "train" else ""
            raise UserError(f"data: the {side} part of '{config.corpus}' holds no text; give more text{more}")
    train, test = streams["train"], streams["test"]
    validation = streams.get("validation")
    return TokenData(
        train=train.tokens,
        validation=None if validation is None else validation.tokens,
        test=test.tokens,
        test_bytes=_bytes_of(folder / f"bytes-{keys['test']}.bin", corpus, tokenizer, test),
        vocab_size=tokenizer.vocab_size,
        end_of_document=tokenizer.end_of_document,
        unigram_entropy=_unigram_entropy(train.tokens, tokenizer.vocab_size),
        fingerprint=content_key(keys),
    )


def _bytes_of(path: Path, corpus: Corpus, tokenizer: Tokenizer, test: _Stream) -> np.ndarray:
    """How many bytes of the text each token of the test stands for, from the cache or into it."""
    count = len(test.tokens)

    def build(temporary: Path) -> None:
        parts: list[np.ndarray] = []
        documents, held = corpus.documents("test"), 0
        while held < count:
            batch = list(itertools.islice(documents, DOCUMENTS_PER_BATCH))
            parts += tokenizer.text_bytes(batch)
            held += sum(len(part) for part in parts[len(parts) - len(batch) :])
        np.concatenate(parts).astype(np.uint32).tofile(temporary)

    publish(path, build, lambda path: path.exists() and path.stat().st_size == 4 * count)
    return np.memmap(path, np.uint32, "r")


def _unigram_entropy(tokens: np.ndarray, vocab_size: int) -> float:
    """In nats per token. Counted by parts: `bincount` copies what it counts to 64 bits."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, len(tokens), TOKENS_PER_COUNT):
        counts += np.bincount(tokens[start : start + TOKENS_PER_COUNT], minlength=vocab_size)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def size_class(tokens: int) -> int:
    """Length at which an endless corpus is cut when so many tokens are asked for."""
    size = SIZE_CLASS
    while size < tokens + 1:
        size *= 2
    return size


@dataclass(frozen=True)
class _Stream:
    tokens: np.ndarray
    text_bytes: int


_HEADER = np.dtype([("magic", "S8"), ("tokens", "<u8"), ("text_bytes", "<u8"), ("itemsize", "<u8")])
_MAGIC = b"bitskip1"


def _stream(
    path: Path,
    documents: Callable[[], Iterator[str]],
    tokenizer: Tokenizer,
    limit: int | None,
    check: Callable[[], RoundTrip],
) -> _Stream:
    def build(temporary: Path) -> None:
        _write(temporary, documents(), tokenizer, limit, check())

    publish(path, build, _is_whole)
    header = _read_header(path)
    dtype = np.uint16 if header["itemsize"] == 2 else np.uint32
    if header["tokens"] == 0:
        return _Stream(np.zeros(0, dtype), 0)
    tokens = np.memmap(path, dtype, "r", offset=_HEADER.itemsize, shape=(int(header["tokens"]),))
    return _Stream(tokens, int(header["text_bytes"]))


def _write(path: Path, documents: Iterator[str], tokenizer: Tokenizer, limit: int | None, check: RoundTrip) -> None:
    """Header, then ids; the header's counts are written last."""
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
    tokens = text_bytes = 0
    end = np.array([tokenizer.end_of_document], dtype)
    with path.open("wb") as sink:
        sink.write(bytes(_HEADER.itemsize))
        while limit is None or tokens < limit:
            batch = list(itertools.islice(documents, DOCUMENTS_PER_BATCH))
            if not batch:
                break
            encoded = tokenizer.encode(batch)
            check.add(batch, encoded)
            packed = np.concatenate([part for ids in encoded for part in (ids.astype(dtype), end)])
            packed.tofile(sink)
            tokens += len(packed)
            text_bytes += sum(len(document.encode()) for document in batch)
        check.conclude()
        sink.seek(0)
        sink.write(np.array([(_MAGIC, tokens, text_bytes, dtype.itemsize)], _HEADER).tobytes())


def _read_header(path: Path) -> np.ndarray:
    header: np.ndarray = np.fromfile(path, _HEADER, count=1)[0]
    return header


def _is_whole(path: Path) -> bool:
    """Whether the file is there, ours, and as long as its header says."""
    if not path.exists() or path.stat().st_size < _HEADER.itemsize:
        return False
    header = _read_header(path)
    expected = _HEADER.itemsize + int(header["tokens"]) * int(header["itemsize"])
    return bool(header["magic"] == _MAGIC) and path.stat().st_size == expected
