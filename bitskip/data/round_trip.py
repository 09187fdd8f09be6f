"""Whether a tokenizer gives the text back: one that does not is measured on a text of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitskip.errors import UserError

if TYPE_CHECKING:
    from bitskip.data.tokenizer import Tokenizer

LOST_SHARE = 0.001
"""Share of the characters that a tokenizer may lose: bits per byte, which counts them all, is wrong by as much."""

DOCUMENTS_PER_CHECK = 32
"""One document of so many is decoded, once the first have been."""

SURE_CHARACTERS = 100_000
"""So many are all decoded; the share lost is then known well enough to stop."""

_CURES = {
    "capitals": "take the lower-casing out of its normalizer",
    "blanks and line ends": "give it a pre-tokenizer and a decoder that keep them, such as ByteLevel",
    "unknown or rewritten": "use one whose vocabulary covers the text",
}
CAPITALS, BLANKS, OTHER = _CURES


class RoundTrip:
    """Counts the characters that decoding does not give back, over a sample of the documents that are encoded."""

    def __init__(self, tokenizer: Tokenizer, name: str, report: Callable[[str], None] | None = None) -> None:
        self.tokenizer, self.name, self.report = tokenizer, name, report
        self.seen = self.checked = 0
        self.lost: Counter[str] = Counter()
        self.examples: Counter[str] = Counter()

    def add(self, documents: Sequence[str], encoded: Sequence[np.ndarray]) -> None:
        """Check some of a batch.

        Raises UserError once it is sure that too much is lost, or if a document holds an end-of-document token.
        """
        if any(self.tokenizer.end_of_document in ids for ids in encoded):
            raise UserError(
                f"data.tokenizer: '{self.name}' makes its end-of-document token of text, which would end a document in "
                "its middle; set data.tokenizer to bpe or bytes"
            )
        for text, ids in zip(documents, encoded, strict=True):
            self.seen += 1
            if self.checked >= SURE_CHARACTERS and self.seen % DOCUMENTS_PER_CHECK:
                continue
            back = self.tokenizer.decode(ids.tolist())
            self.checked += len(text)
            if back != text:
                self._count(text, back)
        if self.checked >= SURE_CHARACTERS:
            self._refuse()

    def conclude(self) -> None:
        """Say what is lost. Raises UserError if that is more than `LOST_SHARE`."""
        self._refuse()
        if self.report and self.lost:
            self.report(f"the tokenizer '{self.name}' loses, of all characters, {self.told()}")

    def _refuse(self) -> None:
        if self.lost.total() > LOST_SHARE * self.checked:
            most = self.lost.most_common(1)[0][0]
            raise UserError(
                f"data.tokenizer: '{self.name}' does not give the text back: of its characters it loses {self.told()}; "
                f"{_CURES[most]}, or set data.tokenizer to bpe or bytes"
            )

    def told(self) -> str:
        """What is lost, by kind, as shares of the characters; empty if nothing is."""
        shares = [f"{100 * count / self.checked:.2g} % ({kind})" for kind, count in self.lost.most_common()]
        examples = ", ".join(repr(character) for character, _ in self.examples.most_common(3))
        return " and ".join(shares) + (f", such as {examples}" if examples else "")

    def _count(self, text: str, back: str) -> None:
        missing, added = Counter(text), Counter(back)
        missing, added = missing - added, added - missing
        before = self.lost.total()
        for character, count in missing.items():
            lowered = character.lower() != character and character.lower() in added
            kind = CAPITALS if lowered else BLANKS if character.isspace() else OTHER
            self.lost[kind] += count
            self.examples[character] += count
        # More is added than is missing where tokens are joined by blanks; neither where characters change places.
        surplus = max(added.total(), 1) - (self.lost.total() - before)
        if surplus > 0:
            spaces = sum(count for character, count in added.items() if character.isspace())
            self.lost[BLANKS if 2 * spaces > added.total() else OTHER] += surplus
