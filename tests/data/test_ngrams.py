"""Kneser-Ney counted on arrays, against the formulas on dictionaries and against what is known of a source."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.data.ngrams import kneser_ney_losses

V = 6
TEXTS = st.lists(st.lists(st.integers(0, V - 1), min_size=2, max_size=14), min_size=1, max_size=6)


class KneserNey:
    """Interpolated Kneser-Ney by its formulas: Kneser & Ney (1995), Chen & Goodman (1999, section 3)."""

    def __init__(self, sentences: list[list[int]], order: int) -> None:
        grams = {
            k: Counter(tuple(s[i : i + k]) for s in sentences for i in range(len(s) - k + 1))
            for k in range(1, order + 1)
        }
        self.order, self.counts = order, {order: grams[order]}
        for k in range(1, order):
            before = defaultdict(set)
            for gram in grams[k + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[k] = Counter({gram: len(tokens) for gram, tokens in before.items()})

    def discount(self, k: int) -> float:
        times = Counter(self.counts[k].values())
        return times[1] / (times[1] + 2 * times[2]) if times[1] else 0.5

    def probability(self, word: int, context: tuple[int, ...]) -> float:
        k = len(context) + 1
        below = self.probability(word, context[1:]) if context else 1 / V
        after = {gram[-1]: count for gram, count in self.counts[k].items() if gram[:-1] == context}
        if not after:
            return below
        total, d = sum(after.values()), self.discount(k)
        return (max(after.get(word, 0) - d, 0) + d * len(after) * below) / total

    def loss(self, sentences: list[list[int]]) -> float:
        terms = [
            math.log(self.probability(s[i], tuple(s[max(0, i - self.order + 1) : i])))
            for s in sentences
            for i in range(1, len(s))
        ]
        return -sum(terms) / len(terms)


def arrays(sentences: list[list[int]]) -> list[np.ndarray]:
    return [np.array(s, np.uint16) for s in sentences]


@settings(max_examples=150, deadline=None)
@given(TEXTS, TEXTS)
def test_equals_the_formulas_on_dictionaries(train: list[list[int]], held_out: list[list[int]]) -> None:
    found = kneser_ney_losses(arrays(train), arrays(held_out), V, (2, 3, 5))
    expected = [KneserNey(train, order).loss(held_out) for order in (2, 3, 5)]
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.lists(st.integers(0, V - 1), max_size=4))
def test_probabilities_of_all_tokens_after_a_context_add_up_to_one(train: list[list[int]], context: list[int]) -> None:
    """The losses of a context followed by each token differ in its last token only."""
    for order in (2, 5):
        n = len(context)
        all_but_last = kneser_ney_losses(arrays(train), arrays([context]), V, (order,))[0] * (n - 1) if n > 1 else 0.0
        if n:
            losses = [kneser_ney_losses(arrays(train), arrays([[*context, w]]), V, (order,))[0] * n for w in range(V)]
            assert sum(math.exp(all_but_last - loss) for loss in losses) == pytest.approx(1.0)


def test_more_context_helps_where_the_source_has_it() -> None:
    """A token that is the sum of the two before it: bigrams see noise, longer n-grams know."""
    draws = np.random.default_rng(0)
    sequences = []
    for _ in range(400):
        row = draws.integers(0, 7, 2).tolist()
        while len(row) < 30:
            row.append((row[-1] + row[-2]) % 7 if draws.random() < 0.9 else int(draws.integers(7)))
        sequences.append(np.array(row))
    bigram, fivegram = kneser_ney_losses(sequences[:300], sequences[300:], 7)
    entropy = -(0.9 + 0.1 / 7) * math.log(0.9 + 0.1 / 7) - 6 * (0.1 / 7) * math.log(0.1 / 7)
    assert bigram == pytest.approx(math.log(7), rel=0.02)
    assert entropy < fivegram < entropy + 0.15


def test_text_without_a_pattern_costs_its_entropy() -> None:
    draws = np.random.default_rng(1).integers(0, 50, (60, 500))
    assert kneser_ney_losses(list(draws[:50]), list(draws[50:]), 50)[0] == pytest.approx(math.log(50), rel=0.02)


def test_an_n_gram_does_not_reach_into_another_sequence() -> None:
    apart = [np.array([1, 2, 1, 2, 1, 2]), np.array([3, 4, 3, 4, 3, 4])]
    assert kneser_ney_losses(apart, [np.array([2, 3])], 6)[0] > kneser_ney_losses(apart, [np.array([2, 1])], 6)[0] + 1
    assert kneser_ney_losses(apart[::-1], apart, 6) == kneser_ney_losses(apart, apart, 6)


def test_text_that_repeats_itself_is_known_almost_surely_and_never_quite() -> None:
    period = [np.arange(2000) % 9]
    assert 0 < kneser_ney_losses(period, period, 9)[1] < 0.01
