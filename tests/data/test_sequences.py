"""Sequences against plain slicing, padding that counts in nothing, and what is measured, counted by a loop."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitskip.data.sequences import chosen, cut, extent, packed, padded
from bitskip.errors import UserError
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.trial.config import make_trial

END = 9
DOCUMENTS = [[1, 2, 3], [4], [], [5, 6, 7, 8, 1, 2, 3]]
STREAM = np.array([token for document in DOCUMENTS for token in [*document, END]], np.uint16)


@given(st.integers(2, 200), st.integers(2, 40))
def test_packed_sequences_tile_the_stream(size: int, length: int) -> None:
    stream = np.arange(size)
    sequences = packed(stream, length)
    assert sequences.count == max(0, (size - 1) // length)
    if sequences.count:
        inputs, targets = sequences.batch(range(sequences.count))
        assert inputs.flatten().tolist() == list(range(sequences.count * length))
        assert torch.equal(targets, inputs + 1)


def test_a_padded_sequence_is_one_document() -> None:
    inputs, targets = padded(STREAM, 4, END).batch([0, 1, 2])
    assert inputs.tolist() == [[1, 2, 3, END], [4, END, END, END], [5, 6, 7, 8]]
    ignored = IGNORED_TARGET
    assert targets.tolist() == [[2, 3, END, ignored], [END, ignored, ignored, ignored], [6, 7, 8, 1]]


def test_counted_padding_is_a_target() -> None:
    _, targets = padded(STREAM, 4, END, count_padding=True).batch([0, 1])
    assert targets.tolist() == [[2, 3, END, END], [END, END, END, END]]


@given(st.lists(st.lists(st.integers(0, 8), max_size=12), min_size=1, max_size=20), st.integers(2, 10))
def test_every_document_of_some_text_is_seen_once(documents: list[list[int]], length: int) -> None:
    stream = np.array([token for document in documents for token in [*document, END]])
    sequences = padded(stream, length, END)
    wanted = [[*document, END][: length + 1] for document in documents if document]
    assert sequences.count == len(wanted)
    for index, document in enumerate(wanted):
        inputs, targets = sequences.batch([index])
        counted = targets[0] != IGNORED_TARGET
        assert targets[0][counted].tolist() == document[1:]
        assert inputs[0][: len(document)].tolist() == document[:length]


def test_text_without_a_sequence_is_refused() -> None:
    trial = make_trial(seq_len=64, documents="padded")
    with pytest.raises(UserError, match="the held-out text has 3 tokens, fewer than one sequence of 64"):
        cut(np.array([END, END, END]), trial, END, "held-out")


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=20))
    return np.array(list(itertools.chain.from_iterable([*range(min(n, 8)), *[8] * (n - 8), END] for n in lengths)))


@given(streams(), st.integers(2, 7), st.booleans())
def test_an_extent_is_what_a_loop_over_the_targets_counts(stream: np.ndarray, length: int, pads: bool) -> None:
    found = padded(stream, length, END) if pads else packed(stream, length)
    token_bytes = np.where(stream == END, 0, stream + 1)
    owner = np.cumsum(stream == END) - (stream == END)
    tokens, documents, text_bytes, cut_off = 0, set(), 0, 0
    for start, stop in zip(found.starts, found.stops, strict=True):
        for at in range(start + 1, stop):
            tokens, text_bytes = tokens + 1, text_bytes + int(token_bytes[at])
            documents.add(int(owner[at]))
        cut_off += sum(owner[at] == owner[start] for at in range(stop, len(stream))) if pads else 0
    measured = extent(found, END, token_bytes)
    assert (measured.tokens, measured.documents, measured.text_bytes) == (tokens, len(documents), text_bytes)
    assert measured.cut_share == pytest.approx(cut_off / max(1, tokens + cut_off))


@given(st.integers(1, 200), st.integers(1, 300))
def test_chosen_sequences_are_spread_over_the_whole(count: int, wanted: int) -> None:
    every = packed(np.arange(count * 4 + 1), 4)
    found = chosen(every, wanted * 4, evenly=True)
    starts = [int(start) // 4 for start in found.starts]
    assert len(starts) == min(count, wanted)
    assert starts == sorted(set(starts))
    # As many from each half as from the other, whatever lies there.
    assert abs(sum(at < count / 2 for at in starts) - sum(at >= count / 2 for at in starts)) <= 1
    assert list(chosen(every, wanted * 4, evenly=False).starts) == list(every.starts)[:wanted]


def test_at_least_one_sequence_is_measured() -> None:
    assert chosen(packed(np.arange(100), 16), 3, evenly=True).count == 1
