"""A token stream cut into the sequences that a model trains on and is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bitskip.errors import UserError
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import TrialConfig


@dataclass(frozen=True)
class Sequences:
    """Parts of a stream that are trained or measured on, each `length` inputs with their next-token targets.

    Sequence i is `stream[starts[i]:stops[i]]`: length + 1 tokens, or fewer where there is a `padding`.
    """

    stream: np.ndarray
    starts: Sequence[int] | np.ndarray
    stops: Sequence[int] | np.ndarray
    length: int
    padding: int | None = None
    count_padding: bool = False

    @property
    def count(self) -> int:
        return len(self.starts)

    def row(self, index: int) -> np.ndarray:
        """The tokens of a sequence: inputs, and the last target."""
        return self.stream[self.starts[index] : self.stops[index]]

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """(inputs, targets), both int64 [B, T]: targets are the inputs moved by one token, padding is ignored."""
        rows = np.full((len(indices), self.length + 1), self.padding or 0, np.int64)
        sizes = np.zeros((len(indices), 1), np.int64)
        for position, index in enumerate(indices):
            row = self.row(index)
            rows[position, : len(row)] = row
            sizes[position] = len(row)
        targets = rows[:, 1:]
        if not self.count_padding:
            targets = np.where(np.arange(1, self.length + 1) < sizes, targets, IGNORED_TARGET)
        return _on(rows[:, :-1], device), _on(targets, device)


def _on(rows: np.ndarray, device: torch.device | str) -> Tensor:
    """On a GPU through pinned memory: the copy then runs beside what the GPU is still busy with."""
    tensor = torch.from_numpy(rows.copy())
    return tensor.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else tensor


def packed(stream: np.ndarray, length: int) -> Sequences:
    """The stream as it runs on, documents one after another: no padding, and no overlap between sequences."""
    end = max(0, len(stream) - 1) // length * length
    return Sequences(stream, range(0, end, length), range(length + 1, end + 2, length), length)


def padded(stream: np.ndarray, length: int, end_of_document: int, count_padding: bool = False) -> Sequences:
    """A document a sequence, cut at `length` + 1 tokens or filled up with the end-of-document token.

    Padding after a document's own end is no target, unless `count_padding` (a defect of the published code).
    """
    ends = np.flatnonzero(stream == end_of_document) + 1
    starts = np.concatenate([[0], ends[:-1]])
    whole = ends - starts > 1  # an empty document is its end alone: nothing to predict
    starts, ends = starts[whole], ends[whole]
    return Sequences(stream, starts, np.minimum(ends, starts + length + 1), length, end_of_document, count_padding)


def chosen(sequences: Sequences, tokens: int, evenly: bool) -> Sequences:
    """Sequences that hold about so many tokens, at least one and at most all: spread evenly, or the first."""
    count = min(sequences.count, max(1, tokens // sequences.length))
    every = sequences.count / count if evenly else 1.0
    places = [int((index + 0.5) * every) for index in range(count)]
    starts, stops = ([bounds[place] for place in places] for bounds in (sequences.starts, sequences.stops))
    return replace(sequences, starts=starts, stops=stops)


@dataclass(frozen=True)
class Extent:
    """What sequences hold: tokens that are predicted, documents that these are of, and the text's UTF-8 bytes.

    `cut_share` is the part of their documents' tokens that no sequence holds, as `documents: padded` cuts them off.
    """

    tokens: int
    documents: int
    text_bytes: int
    cut_share: float

    @property
    def bytes_per_token(self) -> float:
        return self.text_bytes / self.tokens


def extent(sequences: Sequences, end_of_document: int, token_bytes: np.ndarray | None = None) -> Extent:
    """Count what is measured. `token_bytes` says how many bytes of text each token of the stream stands for."""
    ends = np.flatnonzero(sequences.stream == end_of_document)
    # The first token of a sequence is only seen, never predicted.
    first, last = np.asarray(sequences.starts, np.int64) + 1, np.asarray(sequences.stops, np.int64)
    tokens = int(np.sum(last - first))
    held: set[int] = set()
    for begin, end in zip(np.searchsorted(ends, first), np.searchsorted(ends, last - 1), strict=True):
        held.update(range(int(begin), int(end) + 1))
    cut_off = 0
    if sequences.padding is not None:
        cut_off = int(np.sum(ends[np.searchsorted(ends, first)] + 1 - last))
    text_bytes = 0
    if token_bytes is not None:
        before = np.concatenate([[0], np.cumsum(token_bytes, dtype=np.int64)])
        text_bytes = int(np.sum(before[last] - before[first]))
    return Extent(tokens, len(held), text_bytes, cut_off / max(1, tokens + cut_off))


def cut(stream: np.ndarray, trial: TrialConfig, end_of_document: int, part: str) -> Sequences:
    """The sequences of one part of the text as the trial asks for them. Raises UserError if there is not even one."""
    training = trial.training
    if training.documents == "padded":
        found = padded(stream, training.seq_len, end_of_document, trial.of(PublishedDefects).count_padding)
    else:
        found = packed(stream, training.seq_len)
    if found.count < 1:
        raise UserError(
            f"the {part} text has {len(stream)} tokens, fewer than one sequence of {training.seq_len}: "
            "give more text, or lower seq_len"
        )
    return found
