"""The recommended exit: fastest within a share of the full model's perplexity."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.training.exits import best_exit


def test_takes_the_fastest_exit_within_five_percent():
    losses = [math.log(ppl) for ppl in (20.0, 10.6, 10.4, 10.0)]
    assert best_exit(losses, [3.0, 1.0, 0.3, 0.0]) == 3
    assert best_exit(losses, [3.0, 1.0, 0.3, 0.0], within=0.07) == 2


def test_full_model_always_qualifies_and_ties_go_deeper():
    assert best_exit([5.0, 5.0, 1.0], [2.0, 1.0, 0.0]) == 3
    assert best_exit([1.0, 1.0, 1.0], [0.5, 0.5, 0.0]) == 2


def test_an_exit_slower_than_the_full_model_is_not_recommended():
    assert best_exit([1.0, 1.0], [-0.1, 0.0]) == 2


@pytest.mark.parametrize(("losses", "gains"), [([], []), ([1.0], [])])
def test_refuses_missing_measures(losses, gains):
    with pytest.raises(ValueError, match="one speed gain per exit"):
        best_exit(losses, gains)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(-1, 10)), min_size=1, max_size=30))
def test_no_acceptable_exit_is_faster(measures):
    losses, gains = zip(*measures, strict=True)
    best = best_exit(losses, gains)
    ceiling = losses[-1] + math.log1p(0.05)
    acceptable = [g for loss, g in zip(losses, gains, strict=True) if loss <= ceiling]
    assert gains[best - 1] == max(acceptable)
