"""How a text was cut into documents, counted for whoever asks: plans, `train` and `doctor`."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN_NAME = 60
"""Characters of a text's name that its line shows."""


@dataclass(frozen=True)
class DocumentSummary:
    """How a text, known by its name, was cut into documents.

    `found` counts all, `kept` those that are neither null nor empty, `held_out` those of them that are not trained on,
    `validation` those of these that are not for the test. Bytes are UTF-8; `shortest`, `median` and `longest` are
    characters of the kept ones (0 if there is none). `cut` says where documents end, `warnings` what may not be as its
    reader meant it.
    """

    name: str
    files: int
    cut: str
    found: int
    kept: int
    held_out: int
    validation: int
    empty: int
    null: int
    train_bytes: int
    held_out_bytes: int
    shortest: int
    median: int
    longest: int
    warnings: tuple[str, ...] = ()

    def line(self) -> str:
        """All of it but the warnings, in a line."""
        counts = ((self.empty, "empty"), (self.null, "null"))
        left_out = ", ".join(f"{count:,} {what}" for count, what in counts if count)
        files = f"{self.files:,} file{'s' * (self.files != 1)}"
        name = self.name if len(self.name) <= SHOWN_NAME else f"{self.name[: SHOWN_NAME - 2]} …"
        return (
            f"{name}: {self.found:,} document{'s' * (self.found != 1)} in {files} ({self.cut})"
            + f"{f', {left_out} left out' * bool(left_out)}: {self.kept - self.held_out:,} for training, "
            f"{f'{self.validation:,} for validation, ' * bool(self.validation)}"
            f"{self.held_out - self.validation:,} for the test; "
            f"{self.shortest:,} to {self.longest:,} characters, median {self.median:,}"
        )


def summarize(
    name: str,
    files: int,
    cut: str,
    documents: Iterable[tuple[str | None, str]],
    sides: Sequence[str],
    warnings: tuple[str, ...],
) -> DocumentSummary:
    """Count documents, each with its side, one of `sides`; None is a null, and a text of blanks is empty."""
    found = empty = null = 0
    counts, sizes, lengths = dict.fromkeys(sides, 0), dict.fromkeys(sides, 0), array("Q")
    for text, side in documents:
        found += 1
        null += text is None
        empty += text == ""
        if text:
            counts[side] += 1
            sizes[side] += len(text.encode())
            lengths.append(len(text))
    if lengths and (missing := [side for side, count in counts.items() if not count]):
        warnings += (f"no document is for {' or '.join(missing)}; give more text or change data.validation_fraction",)
    shortest, longest = min(lengths, default=0), max(lengths, default=0)
    middle = int(statistics.median(lengths)) if lengths else 0
    train, train_bytes = counts["train"], sizes["train"]
    return DocumentSummary(
        name,
        files,
        cut,
        found=found,
        kept=len(lengths),
        held_out=len(lengths) - train,
        validation=counts.get("validation", 0),
        empty=empty,
        null=null,
        train_bytes=train_bytes,
        held_out_bytes=sum(sizes.values()) - train_bytes,
        shortest=shortest,
        median=middle,
        longest=longest,
        warnings=warnings,
    )
