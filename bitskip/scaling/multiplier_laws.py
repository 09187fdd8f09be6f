"""Laws of the loss in which a technique multiplies parameters and tokens (docs/scaling.md, The loss).

L_t(N, D) = E + A (m_t N)^-a + B (d_t D)^-b: trained with a technique, a model is as good as one of m_t times its
parameters on d_t times its tokens. What two techniques do beyond each is ln m_AB - ln m_A - ln m_B, and so for d (Kumar
et al., 2411.04330, for bits). Such a law is excellent where it is the right one and wrong with confidence elsewhere: it
stands beside the laws of effects, with what it foretells of the largest rung, held out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.contrasts import Treatment, moebius, treated
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import INDEX, Levels, level_label
from bitskip.analysis.student_t import NORMAL_95
from bitskip.scaling.contrast_laws import Scaling
from bitskip.scaling.ladder import scale_of
from bitskip.scaling.loss_law import EXPONENTS, EXPONENTS_SD, FEWEST, RESAMPLES, SCALE

MULTIPLIER_SD = 1.0
"""Prior deviation of the logarithms of a multiplier and, around half of the mean loss, of E: weak beside what rungs
tell, and finite where they tell nothing."""

TOLERANCE = 1e-6
"""Of the cost: it is flat where a term of the loss is small."""

Ends = tuple[float, float, float]
"""(value, low, high), 90 %."""

Term = tuple[Treatment, ...]
"""One technique's, or what two do beyond each."""


@dataclass(frozen=True)
class Multiplier:
    """By what a technique multiplies parameters and tokens, or two beyond the product of each.

    `foretold` and `measured` are the effect at the largest rung in nats per token, by the law of all other rungs and as
    it is there; None where its cells were not run.
    """

    techniques: tuple[str, ...]
    parameters: Ends
    tokens: Ends
    foretold: float | None
    measured: float | None


@dataclass(frozen=True)
class LossLaw:
    """E in nats per token, the exponents, and all multipliers, those of single techniques first.

    `misfit` is the root mean square of measured less fitted losses, `held_out` that at the largest rung by the law of
    the others, in nats per token.
    """

    irreducible: float
    exponents: tuple[float, float]
    multipliers: tuple[Multiplier, ...]
    misfit: float
    held_out: float


@dataclass(frozen=True)
class _Losses:
    """Losses [n] of every seed of every cell, where they were measured [n, 2], and which multipliers are on [n, t]."""

    cells: Sequence[tuple[tuple[int, int], int, Levels]]
    places: Array
    on: Array
    losses: Array


def loss_law(scaling: Scaling) -> LossLaw | None:
    """Fitted to every cell of a ladder; None below six rungs, three sizes or budgets, or for a metric that is no loss.

    Errors are those of a bootstrap over (size, budget, seed): what a seed does to all cells is one draw.
    """
    scales = scaling.scales
    terms = [*scaling.measured(1), *scaling.measured(2)]
    few = len(scales) <= FEWEST or min(len({scale[axis] for scale in scales}) for axis in (0, 1)) < 3
    if few or not terms or not scaling.metric.is_loss:
        return None
    rungs = _rungs(scaling)
    data = _losses(rungs, terms, scaling)
    everywhere = np.ones(len(data.losses))
    law = _fit(data, everywhere)
    last = np.array([scale == scales[-1] for scale, _, _ in data.cells])
    foretold = np.exp(_log_loss(_fit(data, everywhere * ~last), data))
    effects = [
        [_effect(rungs[scales[-1]], term, _means(data, last, values)) for values in (foretold, data.losses)]
        for term in terms
    ]
    drawn = np.stack([_fit(data, weights, law) for weights in _resampled(data)])
    bounds = [_ends(value, np.std(own, ddof=1)) for value, own in zip(law[5:], drawn[:, 5:].T, strict=True)]
    return LossLaw(
        math.exp(law[0]),
        (float(law[3]), float(law[4])),
        tuple(
            Multiplier(tuple(level_label(*each) for each in term), of_size, of_budget, *effect)
            for term, of_size, of_budget, effect in zip(
                terms, bounds[: len(terms)], bounds[len(terms) :], effects, strict=True
            )
        ),
        _root_mean_square(data.losses - np.exp(_log_loss(law, data))),
        _root_mean_square((data.losses - foretold)[last]),
    )


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _ends(logarithm: float, se: float) -> Ends:
    half = NORMAL_95 * se
    return math.exp(logarithm), math.exp(logarithm - half), math.exp(logarithm + half)


def _rungs(scaling: Scaling) -> dict[tuple[int, int], Stratum]:
    """Of several strata of one scale, as of a search of rates, that with most cells, then most trials."""
    found: dict[tuple[int, int], Stratum] = {}
    for stratum in sorted(scaling.ladder, key=lambda each: (-len(each.cells), -each.finished)):
        found.setdefault(scale_of(stratum), stratum)
    return found


def _losses(rungs: Mapping[tuple[int, int], Stratum], terms: Sequence[Term], scaling: Scaling) -> _Losses:
    cells, on, losses = [], [], []
    for scale, stratum in rungs.items():
        for cell in stratum.cells:
            held = [all(cell.levels[INDEX[factor]] == level for factor, level in term) for term in terms]
            for seed, loss in cell.values(scaling.metric).items():
                cells.append((scale, seed, cell.levels))
                on.append(held)
                losses.append(loss)
    places = np.log([scale for scale, _, _ in cells])
    return _Losses(cells, places - places.mean(axis=0), np.array(on, dtype=float), np.array(losses))


def _means(data: _Losses, where: Array, values: Array) -> dict[Levels, float]:
    """Over the seeds of each cell."""
    by_cell: dict[Levels, list[float]] = {}
    for index in np.flatnonzero(where).tolist():
        by_cell.setdefault(data.cells[index][2], []).append(float(values[index]))
    return {levels: statistics.fmean(own) for levels, own in by_cell.items()}


def _effect(stratum: Stratum, term: Term, losses: Mapping[Levels, float]) -> float | None:
    """Mean over the settings of the other techniques at which all cells have a loss."""
    off = [(factor, stratum.baseline[INDEX[factor]]) for factor, _ in term]
    settings = dict.fromkeys(treated(levels, off) for levels in losses)
    weights = [each for at in settings if (each := moebius(at, term)) and each.keys() <= losses.keys()]
    found = [math.fsum(weight * losses[levels] for levels, weight in each.items()) for each in weights]
    return statistics.fmean(found) if found else None


def _resampled(data: _Losses) -> Iterator[Array]:
    """Weights [n] of losses, by how often their (size, budget, seed) is drawn."""
    clusters, member = np.unique([(*scale, seed) for scale, seed, _ in data.cells], axis=0, return_inverse=True)
    source = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        drawn = source.integers(0, len(clusters), len(clusters))
        yield np.bincount(drawn, minlength=len(clusters))[member.ravel()].astype(float)


def _terms(law: Array, data: _Losses) -> Array:
    """Logarithms of the three terms of the loss, [3, n]; `law` is ln E, ln A, ln B, a, b, then every ln m and ln d."""
    count = data.on.shape[1]
    sizes = data.places[:, 0] + data.on @ law[5 : 5 + count]
    budgets = data.places[:, 1] + data.on @ law[5 + count :]
    return np.stack([np.full(len(sizes), law[0]), law[1] - law[3] * sizes, law[2] - law[4] * budgets])


def _log_loss(law: Array, data: _Losses) -> Array:
    return np.asarray(np.logaddexp.reduce(_terms(law, data), axis=0))


def _fit(data: _Losses, weights: Array, start: Array | None = None) -> Array:
    """By Huber's loss on log L, with the priors of `loss_law.py`, from many starts unless one is given."""
    from scipy.optimize import least_squares

    logs, count, scale = np.log(data.losses), data.on.shape[1], np.sqrt(weights) / SCALE
    middle = float(logs.mean())
    known = np.array([0, *range(3, 5 + 2 * count)])
    centre = np.concatenate([[middle + math.log(0.5)], EXPONENTS, np.zeros(2 * count)])
    sd = np.concatenate([[MULTIPLIER_SD], [EXPONENTS_SD] * 2, [MULTIPLIER_SD] * 2 * count])

    def residuals(law: Array) -> Array:
        return np.concatenate([(_log_loss(law, data) - logs) * scale, (law[known] - centre) / sd])

    def slopes(law: Array) -> Array:
        terms = _terms(law, data)
        constant, of_size, of_budget = np.exp(terms - np.logaddexp.reduce(terms, axis=0))
        a, b = law[3], law[4]
        sizes, budgets = (law[1] - terms[1]) / a, (law[2] - terms[2]) / b
        columns = [constant, of_size, of_budget, -of_size * sizes, -of_budget * budgets]
        of_losses = np.column_stack([*columns, -a * of_size[:, None] * data.on, -b * of_budget[:, None] * data.on])
        return np.concatenate([of_losses * scale[:, None], np.eye(len(law))[known] / sd[:, None]])

    starts = [
        np.concatenate([middle + np.log([share, (1 - share) / 2, (1 - share) / 2]), EXPONENTS, np.zeros(2 * count)])
        for share in (0.2, 0.5, 0.8)
    ]
    tried = starts if start is None else [start]
    options = {"jac": slopes, "loss": "huber", "x_scale": "jac", "ftol": TOLERANCE, "max_nfev": 200}
    fits = [least_squares(residuals, each, **options) for each in tried]
    return np.asarray(min(fits, key=lambda fit: float(fit.cost)).x)
