"""Sequences of a stream: which are measured, and what they hold, counted by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.data.sequences import chosen, extent, packed, padded

END = 9


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=20))
    return np.array(list(itertools.chain.from_iterable([*range(min(n, 8)), *[8] * (n - 8), END] for n in lengths)))


@given(streams(), st.integers(2, 7))
def test_packed_sequences_predict_every_token_once_but_the_first_and_a_tail(stream: np.ndarray, length: int) -> None:
    found = packed(stream, length)
    targets = [token for at in range(found.count) for token in found.row(at)[1:]]
    assert targets == stream[1 : 1 + found.count * length].tolist()
    assert len(stream) - 1 - len(targets) < length


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
