"""A sample of a long text that represents all of it: pieces spread over the whole, found in one reading."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE = 2_000
"""Characters of a piece: short enough that a book is not all of a sample."""

_RANGE = 2**64


@dataclass(frozen=True)
class TextSample:
    """Texts in their order in the corpus. `read` counts the characters that they were taken from."""

    texts: list[str]
    read: int

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))


def beginning(documents: Iterable[str], size: int) -> TextSample:
    """Documents from the first on, until they hold `size` characters."""
    texts: list[str] = []
    held = 0
    for document in documents:
        texts.append(document)
        held += len(document)
        if held >= size:
            break
    return TextSample(texts, held)


def spread(documents: Iterable[str], size: int) -> TextSample:
    """All documents if they hold at most `2 * size` characters, else about `size` to `2 * size` of them.

    Of a longer text each piece has the same chance, decided by a hash of it and its place in its document: which are
    taken is the same in whatever order documents come. No more than `2 * size` characters are held.
    """
    documents, whole, held = iter(documents), [], 0
    for document in documents:
        whole.append(document)
        held += len(document)
        if held > 2 * size:
            break
    else:
        return TextSample(whole, held)
    kept: list[tuple[int, str]] = []
    read, held, limit = 0, 0, _RANGE
    pieces = (each for document in itertools.chain(_drained(whole), documents) for each in enumerate(_pieces(document)))
    for place, piece in pieces:
        read += len(piece)
        draw = int.from_bytes(hashlib.blake2b(b"%d %b" % (place, piece.encode()), digest_size=8).digest(), "big")
        if draw >= limit:
            continue
        kept.append((draw, piece))
        held += len(piece)
        while held > 2 * size:
            limit //= 2
            kept = [each for each in kept if each[0] < limit]
            held = sum(len(text) for _, text in kept)
    return TextSample([text for _, text in kept], read)


def _drained(documents: list[str]) -> Iterator[str]:
    """The documents, each let go once it has been given."""
    documents.reverse()
    while documents:
        yield documents.pop()


def _pieces(document: str) -> Iterator[str]:
    """The document cut before blanks, or within a word where there is none."""
    start = 0
    while len(document) - start > PIECE:
        blank = document.rfind(" ", start + 1, start + PIECE)
        end = blank if blank > 0 else start + PIECE
        yield document[start:end]
        start = end
    yield document[start:]
