"""Byte-level BPE by distinct words: each is encoded once by the library, and a text is looked up word by word.

A pre-tokenizer that splits at blanks makes every token lie within a word, so that a word's tokens do not depend on the
words beside it. The library looks at every letter of every word anew, which is the time that a large text takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tokenizers

MOST_WORDS = 500_000
"""Words that are remembered; of a text with more, all are forgotten now and then."""

LONGEST_REMEMBERED = 64
"""Letters of a remembered word: longer ones, such as lines without blanks, do not come again."""

Ids = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int64]

_BLANK = np.zeros(256, bool)
_BLANK[list(b" \t\n\r")] = True
_MAY_END_BLANK = np.zeros(256, bool)
_MAY_END_BLANK[[*range(0x80, 0x8B), 0x9F, 0xA0, 0xA8, 0xA9, 0xAF]] = True
_MAY_BE_BEFORE = np.zeros(256, bool)
_MAY_BE_BEFORE[[0xC2, 0x9A, 0x80, 0x81]] = True
"""The last two bytes of all blanks beyond ASCII, from U+0085 to U+3000, in UTF-8; they are of some letters, too."""


def splits_at_blanks(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether the library's tokenizer is a BPE without draws behind GPT-2's pre-tokenizer, with nothing before it."""
    facts = json.loads(tokenizer.to_str())
    before, model = facts["pre_tokenizer"] or {}, facts["model"]
    return (
        facts["normalizer"] is None
        and before.get("type") == "ByteLevel"
        and before.get("add_prefix_space") is False
        and before.get("use_regex") is True
        and model["type"] == "BPE"
        and not model.get("dropout")
        and all(token["special"] for token in facts["added_tokens"])  # which are text here, and split nothing
    )


def word_starts(content: bytes, starts: Positions) -> Positions:
    """Where words begin in texts that begin at `starts`: at those, and at every blank behind what is none.

    There no token goes on, as GPT-2's pre-tokenizer has blanks only at the beginning of its pieces or in pieces of
    nothing else. A place is left out where a letter might be a blank beyond ASCII.
    """
    letters = np.frombuffer(content, np.uint8)
    behind = np.flatnonzero(_BLANK[letters[1:]] & (letters[:-1] > 0x20)) + 1
    last, before = letters[behind - 1], letters[np.maximum(behind - 2, 0)]
    behind = behind[~(_MAY_END_BLANK[last] & _MAY_BE_BEFORE[before])]
    marks = np.zeros(len(letters) + 1, bool)
    marks[behind] = True
    marks[starts] = True
    marks[-1] = False
    found: Positions = np.flatnonzero(marks)
    return found


class WordTable:
    """Ids of the words met so far. `encode` gives those of whole words, through the library."""

    def __init__(self, encode: Callable[[list[str]], list[Ids]]) -> None:
        self._encode = encode
        self._forget()

    def _forget(self) -> None:
        self._place: dict[str, int] = {}
        self._ids, self._ends = np.zeros(0, np.uint32), np.zeros(1, np.int64)

    def encoded(self, documents: Sequence[str]) -> list[Ids]:
        """The ids of each document."""
        import pyarrow as pa

        parts = [document.encode() for document in documents]
        content = b"".join(parts)
        if not content:
            return [np.zeros(0, np.uint32) for _ in documents]
        if len(content) >= 2**31:  # what the offsets of an array of strings can say
            middle = len(documents) // 2
            if not middle:
                return self._encode(list(documents))
            return [*self.encoded(documents[:middle]), *self.encoded(documents[middle:])]
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        ends = np.cumsum(sizes)
        starts = word_starts(content, (ends - sizes)[sizes > 0])
        offsets = np.append(starts, len(content)).astype(np.int32)
        words = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets.tobytes()), pa.py_buffer(content))
        coded = words.dictionary_encode()
        places = self._places(coded.dictionary.to_pylist())[coded.indices.to_numpy()]
        first, lengths = self._ends[places], self._ends[places + 1] - self._ends[places]
        upto = np.cumsum(lengths)
        ids = self._ids[np.arange(upto[-1]) + np.repeat(first - (upto - lengths), lengths)]
        behind = np.concatenate([[0], upto])[np.searchsorted(starts, ends)]  # each document's end, in ids
        self._let_go()
        return np.split(ids, behind[:-1])

    def _places(self, words: list[str]) -> Positions:
        """Where the table has each of the words, which come to stand in it."""
        if len(self._place) > MOST_WORDS:
            self._forget()
        new = sorted((word for word in words if word not in self._place), key=_too_long)
        if new:
            found = self._encode(new)
            lengths = np.fromiter(map(len, found), np.int64, len(found))
            self._place |= {word: at for at, word in enumerate(new, start=len(self._ends) - 1)}
            self._ids = np.concatenate([self._ids, *found])
            self._ends = np.concatenate([self._ends, self._ends[-1] + np.cumsum(lengths)])
        self._passing = [word for word in new if _too_long(word)]
        return np.fromiter(map(self._place.__getitem__, words), np.int64, len(words))

    def _let_go(self) -> None:
        """Forget the long words, which stand behind all others."""
        for word in self._passing:
            del self._place[word]
        self._ends = self._ends[: len(self._place) + 1]
        self._ids = self._ids[: self._ends[-1]]


def _too_long(word: str) -> bool:
    return len(word) > LONGEST_REMEMBERED
