"""The baseline's loss over size and tokens: L(N, D) = E + A N^-a + B D^-b (docs/scaling.md, The baseline).

Hoffmann et al. (2203.15556) with Huber's loss on log L and many starts. Its errors are those of a bootstrap over rungs,
widened by the error on the largest rung held out: of the law itself, the bootstrap knows nothing (Besiroglu et al.,
2404.10102).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.design_matrix import Array

EXPONENTS, EXPONENTS_SD = (0.34, 0.28), 0.15
"""Prior of a and b: as fitted by Hoffmann et al., weakly, for ladders that are too short to tell."""

SCALE = 0.01
"""Deviations of log L beyond 1 % count by their size, not its square."""

FEWEST = 5
RESAMPLES = 60


@dataclass(frozen=True)
class LossAtScale:
    """The loss at a scale, with its standard error, and measured less foretold at the largest rung, held out."""

    mean: float
    se: float
    held_out_error: float


def loss_at_scale(places: Array, losses: Array, asked: Array) -> LossAtScale | None:
    """The law fitted to `losses` [rungs] at `places` [rungs, 2], logarithms of (N, D), read at `asked` [2].

    None with fewer than six rungs, or fewer than three sizes or budgets.
    """
    if len(losses) <= FEWEST or min(len(set(places[:, axis])) for axis in (0, 1)) < 3:
        return None
    centre = places.mean(axis=0)
    at = places - centre
    largest = max(range(len(at)), key=lambda rung: tuple(at[rung]))
    rest = np.arange(len(at)) != largest
    error = losses[largest] - _read(_fit(at[rest], losses[rest]), at[largest])
    best = _fit(at, losses)
    source = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        some = source.integers(0, len(at), len(at))
        drawn.append(_read(_fit(at[some], losses[some], best), asked - centre))
    return LossAtScale(_read(best, asked - centre), float(np.hypot(np.std(drawn, ddof=1), error)), float(error))


def _read(law: Array, at: Array) -> float:
    return float(np.exp(_log_loss(law, at[None])[0]))


def _log_loss(law: Array, at: Array) -> Array:
    """`law` is ln E, ln A, ln B, a, b with N and D from the ladder's middle."""
    terms = np.stack([np.full(len(at), law[0]), law[1] - law[3] * at[:, 0], law[2] - law[4] * at[:, 1]])
    return np.asarray(np.logaddexp.reduce(terms, axis=0))


def _fit(at: Array, losses: Array, start: Array | None = None) -> Array:
    from scipy.optimize import least_squares

    logs = np.log(losses)

    def residuals(law: Array) -> Array:
        return np.concatenate([(_log_loss(law, at) - logs) / SCALE, (law[3:] - EXPONENTS) / EXPONENTS_SD])

    middle = float(logs.mean())
    starts = [
        np.array([middle + np.log(share), *[middle + np.log((1 - share) / 2)] * 2, a, b])
        for share, a, b in itertools.product((0.2, 0.5, 0.8), (0.2, 0.5), (0.2, 0.5))
    ]
    tried = starts if start is None else [start]
    fits = [least_squares(residuals, each, loss="huber", max_nfev=200) for each in tried]
    return np.asarray(min(fits, key=lambda fit: float(fit.cost)).x)
