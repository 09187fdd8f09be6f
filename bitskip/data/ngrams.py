"""What counting achieves: interpolated Kneser-Ney n-grams over token ids, the line that a model has to beat.

Kneser & Ney (1995) in the interpolated form of Chen & Goodman (1999), with one discount an order. For a context h of
k - 1 tokens, and h' the same without its first,

    P_k(w | h) = (max(c(hw) - D_k, 0) + D_k N(h) P_{k-1}(w | h')) / Σ_v c(hv)

where N(h) is the number of different tokens after h and D_k = n₁ / (n₁ + 2 n₂), of the numbers of k-grams that were
counted once and twice. c counts occurrences at the highest order, and below it in how many different tokens' company
the k-gram occurs (those before it). P₀ is uniform, and a context that was never seen leaves P_{k-1} as it is.

An n-gram lies within a sequence, as what a model sees does: the first tokens of a sequence have shorter contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WITHOUT_SINGLETONS = 0.5
"""The discount where no n-gram occurs once, as in text that repeats itself: any in (0, 1) leaves the rest a share."""


@dataclass(frozen=True)
class _Order:
    """The different k-grams of a text, numbered by their `keys`: number of the first k - 1 tokens * V + last token.

    `counts` are occurrences, `suffixes` the numbers of the last k - 1 tokens.
    """

    keys: np.ndarray
    counts: np.ndarray
    suffixes: np.ndarray


def kneser_ney_losses(
    train: Sequence[np.ndarray], held_out: Sequence[np.ndarray], vocab_size: int, orders: Sequence[int] = (2, 5)
) -> list[float]:
    """Nats per token of n-grams of each order on held-out sequences of token ids.

    All are counted on the training sequences, and measured as a model is: on every token of a sequence but its first.
    Memory is about 100 bytes per training token.
    """
    counted = _counted(*_joined(train), vocab_size, max(orders))
    tokens, places = _joined(held_out)
    return [_loss(counted[:order], tokens, places, vocab_size) for order in orders]


def _joined(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of all sequences, and the place of each in its own."""
    sizes = np.array([len(row) for row in rows])
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.concatenate(rows).astype(np.int64), np.arange(len(starts)) - starts


def _counted(tokens: np.ndarray, places: np.ndarray, vocab_size: int, highest: int) -> list[_Order]:
    """The n-grams of order 1 (numbered by their token) to `highest`."""
    found = [_Order(np.arange(vocab_size), np.bincount(tokens, minlength=vocab_size), np.zeros(vocab_size, np.int64))]
    ending = tokens  # the number of the (k - 1)-gram that ends at a token
    for order in range(2, highest + 1):
        ends = np.flatnonzero(places >= order - 1)
        keys, first, inverse, counts = np.unique(
            ending[ends - 1] * vocab_size + tokens[ends], return_index=True, return_inverse=True, return_counts=True
        )
        found.append(_Order(keys, counts, ending[ends[first]]))
        ending = np.zeros_like(tokens)
        ending[ends] = inverse
    return found


def _loss(counted: Sequence[_Order], tokens: np.ndarray, places: np.ndarray, vocab_size: int) -> float:
    """Mean of -ln P over all tokens but the first of each sequence."""
    probability = np.full(len(tokens), 1 / vocab_size)
    before = np.zeros(len(tokens), np.int64)  # the number of the (k - 1)-gram that ends before a token; -1: never seen
    shorter = 1  # how many (k - 1)-grams there are
    for index, order in enumerate(counted):
        if not len(order.keys):  # no sequence is as long
            break
        highest = index + 1 == len(counted)
        counts = order.counts if highest else np.bincount(counted[index + 1].suffixes, minlength=len(order.keys))
        contexts = order.keys // vocab_size if index else np.zeros_like(order.keys)
        totals, followers = (np.bincount(contexts, each, minlength=shorter) for each in (counts, counts > 0))
        shorter = len(order.keys)
        once, twice = ((counts == times).sum() for times in (1, 2))
        discount = once / (once + 2 * twice) if once else WITHOUT_SINGLETONS

        at = np.searchsorted(order.keys, before * vocab_size + tokens)
        at[at == len(order.keys)] = 0
        seen = (before >= 0) & (places >= index) & (order.keys[at] == before * vocab_size + tokens)
        own = np.where(seen, counts[at], 0)
        known = (before >= 0) & (places >= index)
        known[known] = totals[before[known]] > 0
        h = before[known]
        left = discount * followers[h] * probability[known]
        probability[known] = (np.maximum(own[known] - discount, 0) + left) / totals[h]
        ending = np.where(seen, at, -1)
        before = np.concatenate([[-1], ending[:-1]])
    return float(-np.log(probability[places > 0]).mean())
