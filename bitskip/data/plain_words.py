"""Token streams as words without case, blanks and punctuation: what a copy keeps that was wrapped or marked up anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from bitskip.data.leaks import Leak, find_leak
from bitskip.data.sequences import Sequences
from bitskip.data.tokenizer import Tokenizer

WORD_BITS = 22
"""Of a word's id. Words that share one are rare, and n-grams of 8 words that do are none."""

END = 0
TOKENS_AT_ONCE = 2**20
LONGEST = 4096
"""Letters of a word before their places repeat."""

_BASE = np.uint64(0x9E3779B97F4A7C13)
_PLACES = np.cumprod(np.full(LONGEST, _BASE), dtype=np.uint64)


@dataclass(frozen=True)
class PlainTokens:
    """Of every token its letters, as a polynomial and their number, and whether a word begins or ends with it."""

    letters: np.ndarray
    sizes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    end_of_document: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> PlainTokens:
        """Tokens as they are decoded behind another: by themselves some tokenizers strip their blanks."""
        size = tokenizer.vocab_size
        letters = np.random.default_rng(0).integers(0, 2**64, size, np.uint64, endpoint=False)
        sizes, begins, ends = np.ones(size, np.int64), np.zeros(size, bool), np.zeros(size, bool)
        anchor = next((at for at in range(size) if tokenizer.decode([at]).isalnum()), tokenizer.end_of_document)
        before = len(tokenizer.decode([anchor]))
        for at in range(size):
            text = tokenizer.decode([anchor, at])[before:]
            if "\ufffd" in text:  # a part of a letter keeps a number of its own
                continue
            plain = [ord(letter) for letter in text.lower() if letter.isalnum()]
            begins[at] = ends[at] = not plain
            if text and plain:
                begins[at], ends[at] = not text[0].isalnum(), not text[-1].isalnum()
            sizes[at] = len(plain)
            places = _PLACES[np.arange(len(plain)) % LONGEST]
            letters[at] = np.sum(np.array(plain, np.uint64) * places, dtype=np.uint64)
        return cls(letters, sizes, begins, ends, tokenizer.end_of_document)

    def words(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the words of a stream, and the place of each one's first token."""
        closes = tokens == self.end_of_document
        starts = self.begins[tokens] | closes
        starts[0] = True
        starts[1:] |= (self.ends[tokens] | closes)[:-1]
        firsts = np.flatnonzero(starts)
        before = np.cumsum(self.sizes[tokens]) - self.sizes[tokens]
        inside = before - np.repeat(before[firsts], np.diff(np.append(firsts, len(tokens))))
        # The letters' places go on from token to token, so that it does not matter how a word is cut into tokens.
        sums = np.add.reduceat(self.letters[tokens] * _shift(inside), firsts)
        held = np.add.reduceat(self.sizes[tokens], firsts)
        mixed = ((sums ^ (sums >> np.uint64(29))) * _BASE) >> np.uint64(64 - WORD_BITS)
        ids = np.where(closes[firsts], END, mixed.astype(np.uint32) + 1).astype(np.uint32)
        kept = closes[firsts] | (held > 0)
        return ids[kept], firsts[kept]


def _shift(places: np.ndarray) -> np.ndarray:
    """The power of the base that moves letters on by so many places."""
    powers: np.ndarray = np.concatenate([np.ones(1, np.uint64), _PLACES[:-1]])[places % LONGEST]
    return powers


def find_plain_leak(
    train: np.ndarray, measured: Sequences, tokenizer: Tokenizer, bytes_per_token: float, folder: Path
) -> Leak:
    """`find_leak` among words: `folder` holds those of the training text meanwhile. The example is tokens, as there."""
    plain = PlainTokens.of(tokenizer)
    words, firsts = plain.words(measured.stream)
    starts, stops = (np.searchsorted(firsts, np.asarray(at)) for at in (measured.starts, measured.stops))
    bytes_per_word = bytes_per_token * len(measured.stream) / max(1, len(words))
    with TemporaryFile(dir=folder) as sink:
        start = 0
        while start < len(train):
            part = np.asarray(train[start : start + TOKENS_AT_ONCE])
            ids, at = plain.words(part)
            if start + len(part) < len(train) and len(at) > 1:  # the last word may go on
                part, ids = part[: at[-1]], ids[:-1]
            ids.tofile(sink)
            start += len(part)
        sink.flush()
        trained = np.memmap(sink, np.uint32, "r") if sink.tell() else np.zeros(0, np.uint32)
        held = replace(measured, stream=words, starts=starts, stops=np.maximum(stops, starts))
        found = find_leak(trained, held, END, bytes_per_word, 2**WORD_BITS + 1)
    if not found.example:
        return found
    place = next(at for at in range(len(words)) if tuple(words[at : at + len(found.example)].tolist()) == found.example)
    last = firsts[place + len(found.example) - 1] + 1
    return replace(found, example=tuple(measured.stream[firsts[place] : last].tolist()))
