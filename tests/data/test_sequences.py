"""Sequences against plain slicing, and padding that counts in nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitskip.data.sequences import cut, packed, padded
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
