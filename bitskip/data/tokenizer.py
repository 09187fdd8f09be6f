"""Text to token ids and back: a BPE trained on the corpus, a pretrained tokenizer by name, or bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bitskip import progress
from bitskip.data.cache import cache_folder, content_key, publish
from bitskip.data.corpora import Corpus, open_corpus
from bitskip.data.pretrained import cannot_load, of_checkpoint, read_tokenizer
from bitskip.data.words import WordTable, splits_at_blanks
from bitskip.errors import UserError
from bitskip.hub import first_line
from bitskip.trial.config import DataConfig

if TYPE_CHECKING:
    import tokenizers

END_OF_DOCUMENT = "<|endoftext|>"
END_OF_DOCUMENT_NAMES = (END_OF_DOCUMENT, "<|end_of_text|>", "</s>")
"""What ends a document in the training text of SmolLM2, Qwen and OLMo, of Llama 3, and of Llama 2 and Mistral."""

TRAINING_CHARACTERS = 4_000_000
"""A BPE is learned from at least so many, spread over the training text, or from all there are."""

LONGEST_WORD = 4_096
"""Bytes of a word: a BPE is learned from the parts of longer ones, as its time grows with the square of a word."""


LARGEST_ID = 2**24
"""Of a token. The library takes time and memory for all ids up to the largest when it writes a tokenizer out."""

MEND = "mend the file, or set data.tokenizer to bpe or bytes"


class Tokenizer(Protocol):
    """Ids 0 … vocab_size - 1, one of which ends a document; `fingerprint` identifies the mapping."""

    vocab_size: int
    end_of_document: int
    fingerprint: str

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        """Ids of each document, without the end-of-document token."""

    def text_bytes(self, documents: Sequence[str]) -> list[np.ndarray]:
        """UTF-8 bytes of each document that each of its tokens stands for, the end-of-document token's as the last.

        They add up to the document's: what no token stands for counts with the next one. Of tokens that share a
        character, the first has its bytes.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; the end-of-document token gives nothing."""


class ByteTokenizer:
    """The 256 byte values, then the end of a document."""

    vocab_size, end_of_document, fingerprint = 257, 256, "bytes"

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(document.encode(), dtype=np.uint8) for document in documents]

    def text_bytes(self, documents: Sequence[str]) -> list[np.ndarray]:
        return [np.append(np.ones(len(document.encode()), np.int64), 0) for document in documents]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < self.end_of_document).decode(errors="replace")


@dataclass
class LibraryTokenizer:
    """A tokenizer of the `tokenizers` library that has an end-of-document token.

    What is stored with it and would change the text is switched off: truncation, padding, and BPE dropout, which draws
    at random. Where its ids leave gaps, they are numbered anew, in their order; not so with `rows`, those of a
    pretrained model's embedding, whose numbers they are.
    """

    inner: tokenizers.Tokenizer
    rows: int | None = None

    def __post_init__(self) -> None:
        self.inner.no_truncation()
        self.inner.no_padding()
        if getattr(self.inner.model, "dropout", None):
            self.inner.model.dropout = None
        names = END_OF_DOCUMENT_NAMES if self.rows else (END_OF_DOCUMENT,)
        name = next((each for each in names if self.inner.token_to_id(each) is not None), None)
        if name is None:
            raise UserError(
                f"data.tokenizer: it has no end-of-document token {' or '.join(names)}; name the token that ends its "
                "documents so in the file, or set data.tokenizer to bpe or bytes"
            )
        end = int(self.inner.token_to_id(name) or 0)
        if not any(token.special and token.content == name for token in self._added()):
            self.inner.add_special_tokens([name])  # a word of the vocabulary so far: decoding leaves it out
        self.inner.encode_special_tokens = True  # "<|endoftext|>" in a document is text, it ends none
        token_of: dict[int, str] = {}
        for token, at in self.inner.get_vocab().items():
            if (other := token_of.setdefault(at, token)) != token:
                raise UserError(f"data.tokenizer: its tokens {other!r} and {token!r} have one id, {at}; {MEND}")
        if self.rows and max(token_of) >= self.rows:
            raise UserError(f"data.tokenizer: it has a token with the id {max(token_of)}, the model {self.rows} tokens")
        self._stored = np.arange(self.rows) if self.rows else np.array(sorted(token_of), np.int64)
        if self._stored[-1] > LARGEST_ID:
            raise UserError(f"data.tokenizer: it has a token with the id {self._stored[-1]}; {MEND}")
        self.vocab_size: int = len(self._stored)
        self.end_of_document: int = int(np.searchsorted(self._stored, end))
        self.fingerprint: str = hashlib.sha256(self.inner.to_str().encode()).hexdigest()
        self._words = WordTable(self._encode) if splits_at_blanks(self.inner) else None

    @property
    def has_gaps(self) -> bool:
        """Whether ids of the file are others here."""
        return int(self._stored[-1]) >= self.vocab_size

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        return self._words.encoded(documents) if self._words else self._encode(list(documents))

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        with _cannot_encode():
            encoded = self.inner.encode_batch_fast(texts, add_special_tokens=False)
        return [self._numbered(np.asarray(entry.ids, dtype=np.uint32)) for entry in encoded]

    def text_bytes(self, documents: Sequence[str]) -> list[np.ndarray]:
        with _cannot_encode():
            encoded = self.inner.encode_batch(list(documents), add_special_tokens=False)
        found = []
        for document, entry in zip(documents, encoded, strict=True):
            # Bytes before each character, from how many bytes UTF-8 takes for a code point.
            points = np.frombuffer(document.encode("utf-32-le"), np.uint32)
            sizes = 1 + sum((points >= least).astype(np.int64) for least in (0x80, 0x800, 0x10000))
            before = np.concatenate([[0], np.cumsum(sizes)])
            ends = np.array([end for _, end in entry.offsets], np.int64).reshape(-1)
            reached = np.maximum.accumulate(before[np.append(ends, len(points))])
            found.append(np.diff(reached, prepend=0))
        return found

    def decode(self, ids: Sequence[int]) -> str:
        with _library_errors(
            lambda reason: UserError(f"data.tokenizer: cannot decode its own tokens: {reason}; {MEND}")
        ):
            return str(self.inner.decode(self._stored[list(ids)].tolist(), skip_special_tokens=True))

    def _added(self) -> Iterable[tokenizers.AddedToken]:
        return self.inner.get_added_tokens_decoder().values()

    def _numbered(self, ids: np.ndarray) -> np.ndarray:
        """Ids of the file as ids without gaps."""
        if len(ids) == 0 or (gapless := self._stored[-1] + 1 == self.vocab_size) and ids.max() < self.vocab_size:
            return ids
        found = np.searchsorted(self._stored, ids).astype(np.uint32)
        if gapless or not np.array_equal(self._stored[np.minimum(found, self.vocab_size - 1)], ids):
            raise UserError(f"data.tokenizer: it gives ids that none of its tokens has; {MEND}")
        return found


@contextlib.contextmanager
def _library_errors(told: Callable[[str], UserError]) -> Iterator[None]:
    """What the `tokenizers` library raises as an error of the user's; a panic in its Rust code is no `Exception`."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise told(first_line(error)) from None
        raise


@contextlib.contextmanager
def _silent_panics() -> Iterator[None]:
    """A panic of the Rust code is an exception here, whose trace it prints itself, past Python's streams."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _cannot_encode() -> contextlib.AbstractContextManager[None]:
    return _library_errors(lambda reason: UserError(f"data.tokenizer: cannot encode the text: {reason}; {MEND}"))


def as_library_tokenizer(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """A copy as the `tokenizers` library has it, for other programs. Raises UserError if its ids have gaps there."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    if isinstance(tokenizer, LibraryTokenizer):
        if tokenizer.has_gaps:
            raise UserError("data.tokenizer: its ids leave gaps, and the model's do not; other programs cannot use it")
        return tokenizers.Tokenizer.from_str(tokenizer.inner.to_str())
    found = tokenizers.Tokenizer(models.BPE({byte_character(byte): byte for byte in range(256)}, []))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens([END_OF_DOCUMENT])
    return found


def byte_character(byte: int) -> str:
    """The character that stands for a byte in a byte-level BPE (GPT-2): itself, where it is printable."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return chr(byte if byte in printable else 256 + byte - sum(other < byte for other in printable))


def load_tokenizer(
    config: DataConfig,
    cache: Path | None = None,
    corpus: Corpus | None = None,
    report: Callable[[str], None] | None = None,
) -> Tokenizer:
    """The tokenizer of a configuration; a BPE is trained once on the corpus and kept in the cache.

    `report` is told when a BPE is learned from a sample. Raises UserError if a pretrained one is not to be had, or if
    its file is not the one of `tokenizer_digest`.
    """
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    if config.tokenizer == "bpe":
        return _trained(config, corpus or open_corpus(config), cache_folder(cache), report)
    return _pretrained(config)


def prompt_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text to be continued, behind an end-of-document token: so every document begins in a packed stream."""
    return [tokenizer.end_of_document, *tokenizer.encode([text])[0].tolist()]


def _trained(
    config: DataConfig, corpus: Corpus, cache: Path, report: Callable[[str], None] | None = None
) -> LibraryTokenizer:
    import tokenizers

    parts = {"bpe": config.vocab_size, "characters": TRAINING_CHARACTERS, **corpus.identity()}
    path = cache / f"bpe-{content_key(parts)}.json"

    def build(temporary: Path) -> None:
        with progress.stage("reading a sample for a BPE", corpus.size()):
            sample = corpus.sample(TRAINING_CHARACTERS)
        if report and sample.characters < sample.read:
            report(f"learning a BPE from {sample.characters:,} of {sample.read:,} characters, spread over all")
        with progress.stage("learning a BPE"):
            _train_bpe(iter(sample.texts), config.vocab_size).save(str(temporary))
        corpus.check_unchanged()

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
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer, byte_level = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel(add_prefix_space=False)
    parts = pre_tokenizers.Split(Regex(f".{{1,{LONGEST_WORD}}}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([byte_level, parts])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.pre_tokenizer = byte_level  # encoding cuts no word: its time grows with the length alone
    return tokenizer


def _pretrained(config: DataConfig) -> LibraryTokenizer:
    import tokenizers

    content = read_tokenizer(config)
    with _silent_panics(), _library_errors(lambda reason: cannot_load(config.tokenizer, reason)):
        rows = config.vocab_size if of_checkpoint(config.tokenizer) else None
        return LibraryTokenizer(tokenizers.Tokenizer.from_str(content.decode()), rows)
