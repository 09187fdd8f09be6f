"""Packed token streams: documents one after another, each closed by the end-of-document token, no padding.

A stream is one flat array, cached under its content key and memory-mapped by every trial that reads it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from bitskip import progress
from bitskip.data.cache import cache_folder, content_key, publish
from bitskip.data.corpora import Corpus, Side, drawn, endless, open_corpus
from bitskip.data.pretrained import OWN
from bitskip.data.round_trip import RoundTrip
from bitskip.data.tokenizer import Tokenizer, load_tokenizer
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig, TrialConfig

SIZE_CLASS = 262_144
"""An endless corpus is cut at a power-of-two multiple of this many tokens: similar budgets share one stream."""

DOCUMENTS_PER_BATCH = 256
CHARACTERS_PER_BATCH = 4_000_000
"""Of a corpus that is read whole: the more words at once, the more of them are looked up once."""

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
    that of the training tokens, in nats: what counting alone achieves. `source` is the `fingerprint` of an endless
    corpus wherever its training part is cut: what is read from the beginning is the same in all of these.
    `train_documents` counts the documents of `train`.
    """

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray
    test_bytes: np.ndarray
    vocab_size: int
    end_of_document: int
    unigram_entropy: float
    fingerprint: str
    source: str | None = None
    train_documents: int | None = None


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
    wanted: dict[Side, int] = {side: train_tokens if side == "train" else held_out_tokens for side in corpus.sides}
    limits = {side: size_class(tokens) if corpus.endless else None for side, tokens in wanted.items()}

    def key(side: Side, limit: int | None) -> str:
        named = side if side != "test" or corpus.of_three else "validation"  # older keys of caches stay
        parts = {"side": named, "limit": limit, "tokenizer": tokenizer.fingerprint, "format": FORMAT}
        parts |= {"parts": 3} if corpus.of_three and side != "train" else {}
        parts |= {} if corpus.ordered else {"order": "drawn"}
        parts |= {"pretrained": PRETRAINED_FORMAT} if pretrained else {}
        return content_key({**parts, **corpus.identity()})

    keys: dict[str, str] = {side: key(side, limit) for side, limit in limits.items()}
    paths = {side: folder / f"tokens-{keys[side]}.bin" for side in wanted}
    if missing := {side: path for side, path in paths.items() if not _is_whole(path)}:
        if report:
            report(f"preparing {' and '.join(missing)} tokens of {config.corpus}")
        _build(missing, corpus, tokenizer, limits, check)
    for side, path in paths.items():
        streams[side] = _mapped(path)
        if len(streams[side].tokens) == 0:
            more = " or a larger data.validation_fraction" if side != "train" else ""
            raise UserError(f"data: the {side} part of '{config.corpus}' holds no text; give more text{more}")
    train, test = streams["train"], streams["test"]
    validation = streams.get("validation")
    counts = _counts(train.tokens, tokenizer.vocab_size)
    return TokenData(
        train=train.tokens,
        validation=None if validation is None else validation.tokens,
        test=test.tokens,
        test_bytes=_bytes_of(folder / f"bytes-{keys['test']}.bin", corpus, tokenizer, test),
        vocab_size=tokenizer.vocab_size,
        end_of_document=tokenizer.end_of_document,
        unigram_entropy=_entropy(counts),
        fingerprint=content_key(keys),
        source=content_key({**keys, "train": key("train", None)}),
        train_documents=int(counts[tokenizer.end_of_document]),
    )


def _bytes_of(path: Path, corpus: Corpus, tokenizer: Tokenizer, test: _Stream) -> np.ndarray:
    """How many bytes of the text each token of the test stands for, from the cache or into it."""
    count = len(test.tokens)

    def build(temporary: Path) -> None:
        parts: list[tuple[float, np.ndarray]] = []
        documents, held = corpus.documents("test"), 0
        while held < count and (batch := list(itertools.islice(documents, DOCUMENTS_PER_BATCH))):
            found = tokenizer.text_bytes(batch)
            parts += [
                (0.0 if corpus.ordered else drawn(document), own) for document, own in zip(batch, found, strict=True)
            ]
            held += sum(map(len, found))
        corpus.check_unchanged()
        if held != count:
            raise UserError(
                f"{path.parent}: the cached test part has {count:,} tokens, and its text {held:,}; remove it"
            )
        parts.sort(key=lambda part: part[0])
        np.concatenate([own for _, own in parts]).astype(np.uint32).tofile(temporary)

    publish(path, build, lambda path: path.exists() and path.stat().st_size == 4 * count)
    return np.memmap(path, np.uint32, "r")


def _counts(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Of each token. Counted by parts: `bincount` copies what it counts to 64 bits."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, len(tokens), TOKENS_PER_COUNT):
        counts += np.bincount(tokens[start : start + TOKENS_PER_COUNT], minlength=vocab_size)
    return counts


def _entropy(counts: np.ndarray) -> float:
    """Of the counts' shares, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def size_class(tokens: int) -> int:
    """Length at which an endless corpus is cut when so many tokens are asked for."""
    size = SIZE_CLASS
    while size < tokens + 1:
        size *= 2
    return size


def window(trial: TrialConfig) -> int | None:
    """How many sequences are shuffled among themselves before the next ones are read; None: all of the text.

    With the schedule `wsd` budgets train alike until the shorter one's cooldown, wherever an endless corpus is cut for
    them: so its stream is read by windows of a fixed size. Padded documents are not: how many of them a stream has is
    known only when it is there.
    """
    training = trial.training
    if training.schedule != "wsd" or training.documents != "packed" or not endless(trial.data):
        return None
    return max(1, (SIZE_CLASS - 1) // training.seq_len)


def training_tokens(trial: TrialConfig) -> int:
    """Tokens of an endless corpus that a trial asks for: its budget, or all of the windows that it begins."""
    training, size = trial.training, window(trial)
    if size is None:
        return training.tokens
    return math.ceil(trial.steps * training.batch_size / size) * size * training.seq_len


@dataclass(frozen=True)
class _Stream:
    tokens: np.ndarray
    text_bytes: int


_HEADER = np.dtype([("magic", "S8"), ("tokens", "<u8"), ("text_bytes", "<u8"), ("itemsize", "<u8")])
_MAGIC = b"bitskip1"


def _build(
    missing: Mapping[Side, Path],
    corpus: Corpus,
    tokenizer: Tokenizer,
    limits: Mapping[Side, int | None],
    check: Callable[[], RoundTrip],
) -> None:
    """Build the streams of some sides: of a corpus that is read whole all in one reading, else one by one."""
    if not corpus.endless:
        _build_together({}, list(missing.items()), corpus, tokenizer, check)
        return
    for side, path in missing.items():
        limit = limits[side]
        assert limit is not None

        def build(temporary: Path, side: Side = side, limit: int = limit) -> None:
            documents = corpus.documents(side)
            with (
                _Writer(temporary, tokenizer, check(), ordered=True) as writer,
                progress.stage("tokenizing", limit) as stage,
                ThreadPoolExecutor(1) as encoder,
            ):
                batch = list(itertools.islice(documents, DOCUMENTS_PER_BATCH))
                while batch and writer.tokens < limit:
                    writing = encoder.submit(writer.add, batch)
                    batch = list(itertools.islice(documents, DOCUMENTS_PER_BATCH))  # read while the last is encoded
                    writing.result()
                    stage.done = writer.tokens

        publish(path, build, _is_whole)


def _build_together(
    opened: dict[Side, Path],
    others: Sequence[tuple[Side, Path]],
    corpus: Corpus,
    tokenizer: Tokenizer,
    check: Callable[[], RoundTrip],
) -> None:
    """Publish the streams of the other sides, whose locks are taken in turn, and write these with those opened."""
    if not others:
        _write(opened, corpus, tokenizer, check)
        return
    (side, path), *rest = others
    built = False

    def build(temporary: Path) -> None:
        nonlocal built
        _build_together({**opened, side: temporary}, rest, corpus, tokenizer, check)
        built = True

    publish(path, build, _is_whole)
    if not built:  # another process has built this side meanwhile
        _build_together(opened, rest, corpus, tokenizer, check)


def _write(opened: Mapping[Side, Path], corpus: Corpus, tokenizer: Tokenizer, check: Callable[[], RoundTrip]) -> None:
    if not opened:
        return
    batches: dict[Side, list[str]] = {side: [] for side in opened}
    held = dict.fromkeys(opened, 0)
    writing: Future[None] | None = None

    def hand_over(side: Side) -> None:
        """The batch to the other thread, once that is through with the one before."""
        nonlocal writing
        if writing:
            writing.result()
        writing = encoder.submit(writers[side].add, batches[side])
        batches[side], held[side] = [], 0

    with contextlib.ExitStack() as stack:
        writers = {
            side: stack.enter_context(_Writer(path, tokenizer, check(), corpus.ordered))
            for side, path in opened.items()
        }
        stack.enter_context(progress.stage("tokenizing", corpus.size()))
        encoder = stack.enter_context(ThreadPoolExecutor(1))  # most of its work needs no lock of the interpreter's
        for side, text in corpus.with_sides(tuple(opened)):
            batches[side].append(text)
            held[side] += len(text)
            if held[side] >= CHARACTERS_PER_BATCH:
                hand_over(side)
        for side in opened:
            hand_over(side)
        if writing:
            writing.result()
    corpus.check_unchanged()


class _Writer:
    """A stream's file: header, then ids; the header's counts are written when all documents are in it.

    Documents that are not `ordered` are put in the order of their draws then.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer, check: RoundTrip, ordered: bool) -> None:
        self.path, self.tokenizer, self.check, self.ordered = path, tokenizer, check, ordered
        self.draws, self.lengths = array("d"), array("q")
        self.dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
        self.tokens = self.text_bytes = 0

    def __enter__(self) -> Self:
        self.sink = self.path.open("wb")
        self.sink.write(bytes(_HEADER.itemsize))
        return self

    def add(self, documents: Sequence[str]) -> None:
        """Put documents behind those before. Raises UserError if the tokenizer does not give them back."""
        if not documents:
            return
        encoded = self.tokenizer.encode(documents)
        self.check.add(documents, encoded)
        end = np.array([self.tokenizer.end_of_document], self.dtype)
        packed = np.concatenate([part for ids in encoded for part in (ids, end)]).astype(self.dtype)
        packed.tofile(self.sink)
        if not self.ordered:
            self.draws.extend(map(drawn, documents))
            self.lengths.extend(len(ids) + 1 for ids in encoded)
        self.tokens += len(packed)
        self.text_bytes += sum(len(document.encode()) for document in documents)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.sink:
            if kind is None:
                self.check.conclude()
                self.sink.seek(0)
                counts = (_MAGIC, self.tokens, self.text_bytes, self.dtype.itemsize)
                self.sink.write(np.array([counts], _HEADER).tobytes())
        if kind is None and len(self.draws):
            self._reorder()

    def _reorder(self) -> None:
        """Put the documents in the order of their draws, a part at a time: the stream need not fit in memory."""
        tokens = np.memmap(self.path, self.dtype, "r+", offset=_HEADER.itemsize)
        stops = np.cumsum(np.frombuffer(self.lengths, np.int64))
        starts = stops - np.frombuffer(self.lengths, np.int64)
        order = np.argsort(np.frombuffer(self.draws), kind="stable")
        with tempfile.TemporaryFile(dir=self.path.parent) as other:
            for first in range(0, len(order), DOCUMENTS_PER_BATCH):
                found = [tokens[starts[at] : stops[at]] for at in order[first : first + DOCUMENTS_PER_BATCH]]
                np.concatenate(found).tofile(other)
            other.seek(0)
            at = 0
            while len(part := np.fromfile(other, self.dtype, TOKENS_PER_COUNT)):
                tokens[at : at + len(part)] = part
                at += len(part)
        tokens.flush()


def _mapped(path: Path) -> _Stream:
    header = _read_header(path)
    dtype = np.uint16 if header["itemsize"] == 2 else np.uint32
    if header["tokens"] == 0:
        return _Stream(np.zeros(0, dtype), 0)
    tokens = np.memmap(path, dtype, "r", offset=_HEADER.itemsize, shape=(int(header["tokens"]),))
    return _Stream(tokens, int(header["text_bytes"]))


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
