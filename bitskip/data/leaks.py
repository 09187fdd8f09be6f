"""How much of what is measured stands in the training text, in copies and near copies.

The documents that are measured are cut into passages of about 800 bytes (shorter documents are one each), and all
n-grams of about 50 bytes in a passage are looked up in the whole training text. A passage is a copy if 40 % of its
n-grams or more occur within one stretch of twice its length: one changed word in twenty leaves 55 to 65 % of them,
while phrases that a kind of text repeats come from all over the training text. Lengths in bytes make the same of all
tokenizers. Exact n-grams as in Lee et al. (2107.06499), containment as in Broder (1997); hashes are polynomials modulo
2^64 over random numbers for the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.data.sequences import Sequences

PASSAGE_BYTES = 800
NGRAM_BYTES = 50
COPIED = 0.4
"""Share of a passage's n-grams in one stretch of the training text from which it is a copy."""

FEWEST_NGRAMS = 8
"""A passage with fewer that no passage before it has is not judged."""

TOKENS_AT_ONCE = 2**20
CELLS_AT_ONCE = 2**23
_FILTER_BITS = 22
_BASE = np.uint64(0x9E3779B97F4A7C13)
"""Odd, and 3 modulo 4: powers of it then differ in their low bits."""


@dataclass(frozen=True)
class Leak:
    """`copied` of `judged` passages stand in the training text; `example` is the tokens of one of them."""

    copied: int
    judged: int
    example: tuple[int, ...] = ()

    @property
    def share(self) -> float | None:
        """None where no measured document is long enough to be judged."""
        return self.copied / self.judged if self.judged else None


def find_leak(
    train: np.ndarray, measured: Sequences, end_of_document: int, bytes_per_token: float, vocab_size: int
) -> Leak:
    """Look for what is measured in a training stream of token ids.

    Memory is about 200 MB besides the hashes of what is measured, whatever the length of the stream.
    """
    n, length = (math.ceil(size / bytes_per_token) for size in (NGRAM_BYTES, PASSAGE_BYTES))
    places = _passages(measured, end_of_document, length)
    values = np.random.default_rng(0).integers(0, 2**64, vocab_size, np.uint64, endpoint=False)
    hashes, owners = _distinct([_hashes(values[measured.stream[start:stop]], n) for start, stop in places])
    sizes = np.bincount(owners, minlength=len(places))
    judged = sizes >= FEWEST_NGRAMS
    needed = np.where(judged, np.ceil(COPIED * sizes), np.inf)
    most = _most_in_a_stretch(train, values, n, length, hashes, owners, needed)
    copied = most >= needed
    example: tuple[int, ...] = ()
    if copied.any():
        start, stop = places[int(np.argmax(np.where(copied, most / np.maximum(sizes, 1), 0)))]
        example = tuple(measured.stream[start:stop].tolist())
    return Leak(int(copied.sum()), int(judged.sum()), example)


def _passages(measured: Sequences, end_of_document: int, length: int) -> np.ndarray:
    """[passages, 2]: where equal parts of documents begin and end that hold something measured."""
    stream = measured.stream
    ends = np.unique(np.append(np.flatnonzero(stream == end_of_document), len(stream)))
    begins = np.concatenate([[0], ends[:-1] + 1])
    sizes = np.maximum(ends - begins, 0)
    parts = np.maximum(1, np.rint(sizes / length)).astype(np.int64)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    begins, sizes, parts = (np.repeat(each, parts) for each in (begins, sizes, parts))
    found = np.stack([begins + number * sizes // parts, begins + (number + 1) * sizes // parts], 1)
    starts, stops = np.asarray(measured.starts), np.asarray(measured.stops)
    # Sequences are in order and apart: as many begin before a part's end as have ended before it, if none is in it.
    held = np.searchsorted(starts, found[:, 1]) > np.searchsorted(stops, found[:, 0], side="right")
    return found[held]


def _hashes(numbers: np.ndarray, n: int) -> np.ndarray:
    """Of every n numbers in a row: differences of one running sum, each brought to the same power of the base."""
    if len(numbers) < n:
        return np.zeros(0, np.uint64)
    powers, inverses = _powers(len(numbers))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(numbers * powers, dtype=np.uint64)])
    found: np.ndarray = (sums[n:] - sums[:-n]) * inverses[: len(numbers) - n + 1]
    return found


def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers 0, 1, … of the base and of its inverse, modulo 2^64."""
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    found = np.ones((2, count), np.uint64)
    for row, base in zip(found, (_BASE, inverse), strict=True):
        row[1:] = base
        np.cumprod(row, dtype=np.uint64, out=row)
    return found[0], found[1]


def _distinct(by_passage: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The different hashes in order, and the first passage that has each: a phrase of many counts in one."""
    owners = np.repeat(np.arange(len(by_passage)), [len(each) for each in by_passage])
    hashes, first = np.unique(np.concatenate([np.zeros(0, np.uint64), *by_passage]), return_index=True)
    return hashes, owners[first]


def _most_in_a_stretch(
    train: np.ndarray,
    values: np.ndarray,
    n: int,
    length: int,
    hashes: np.ndarray,
    owners: np.ndarray,
    needed: np.ndarray,
) -> np.ndarray:
    """Of every passage the largest number of its n-grams in one stretch of 2 `length` training tokens, or 0.

    0 where fewer than `needed`. Stretches begin at all multiples of `length`.
    """
    passages = len(needed)
    most = np.zeros(passages, np.int64)
    parts = max(1, min(TOKENS_AT_ONCE // length, CELLS_AT_ONCE // max(1, passages)))
    shift = np.uint64(64 - _FILTER_BITS)
    maybe = np.zeros(2**_FILTER_BITS, bool)
    maybe[hashes >> shift] = True
    for start in range(0, len(train) - n + 1, parts * length):
        found = _hashes(values[train[start : start + (parts + 1) * length + n - 1]], n)
        at = np.flatnonzero(maybe[found >> shift])
        which = np.minimum(np.searchsorted(hashes, found[at]), len(hashes) - 1)
        same = hashes[which] == found[at]
        part, which = at[same] // length, which[same]
        # An n-gram that occurs twice counts once. Most stretches have too few even with both, and need no sorting.
        cells = np.bincount(part * passages + owners[which], minlength=(parts + 1) * passages).reshape(-1, passages)
        enough = cells[:-1] + cells[1:] >= needed
        stretch, gram = np.concatenate([part, part - 1]), np.concatenate([which, which])
        inside = (stretch >= 0) & (stretch < parts)
        stretch, gram = stretch[inside], gram[inside]
        kept = enough[stretch, owners[gram]]
        pairs = np.unique(stretch[kept] * len(hashes) + gram[kept])
        found_in, counts = np.unique(pairs // len(hashes) * passages + owners[pairs % len(hashes)], return_counts=True)
        np.maximum.at(most, found_in % passages, counts)
    return most
