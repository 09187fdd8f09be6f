"""A sample of a text: all of a short one, pieces from everywhere of a long one, the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.data.sample import PIECE, beginning, spread

DOCUMENTS = st.lists(st.text("abc ", max_size=50), max_size=60)


@given(DOCUMENTS, st.integers(1, 500))
@settings(deadline=None)
def test_a_sample_holds_its_size_and_keeps_the_order(documents: list[str], size: int) -> None:
    sample = spread(documents, size)
    assert sample.read == len("".join(documents))
    if sample.read <= 2 * size:
        assert sample.texts == documents
    else:
        assert sample.characters <= 2 * size
        left = iter(documents)
        assert all(text in left for text in sample.texts)
    assert spread(documents, size) == sample


@given(DOCUMENTS, st.integers(1, 500))
def test_a_beginning_ends_with_the_document_that_reaches_the_size(documents: list[str], size: int) -> None:
    texts = beginning(documents, size).texts
    assert texts == documents[: len(texts)]
    assert len("".join(texts[:-1])) < size
    assert len(texts) == len(documents) or len("".join(texts)) >= size


@pytest.mark.parametrize("period", [2, 4, 7])
def test_all_parts_of_a_text_are_in_the_sample_alike(period: int) -> None:
    """By parts, and by documents that alternate. Shares of 1,000 pieces or more, within 5 standard deviations."""
    documents = [f"{i % period} {i:05}" + "x" * 92 for i in range(20_000)]
    sample = spread(documents, 100_000)
    assert 100_000 / 1.3 < sample.characters <= 200_000
    at = [int(text[2:7]) for text in sample.texts]
    for part in range(10):
        share = sum(i // 2_000 == part for i in at) / len(at)
        assert abs(share - 0.1) < 5 * (0.1 * 0.9 / len(at)) ** 0.5
    for kind in range(period):
        share = sum(i % period == kind for i in at) / len(at)
        assert abs(share - 1 / period) < 5 * (0.25 / len(at)) ** 0.5


@given(st.text("ab ", min_size=1).map(lambda text: text * 200), st.integers(1, 400))
@settings(deadline=None)
def test_one_long_document_is_sampled_in_pieces(book: str, size: int) -> None:
    sample = spread([book], size)
    assert sample.characters <= 2 * size
    assert all(len(text) <= PIECE and text in book for text in sample.texts)


def test_pieces_end_before_blanks() -> None:
    sample = spread(["word " * 10_000], 20_000)
    assert len(sample.texts) > 1
    assert all(text.strip().split(" ") == ["word"] * text.count("word") for text in sample.texts)
