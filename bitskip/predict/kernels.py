"""Covariances of Gaussian processes over cells, with their derivatives (docs/prediction.md, Model).

Each factor j has a kernel k_j = a_j Z_j Z_j' + b_j I_j I_j' of its contrasts and of indicators of its measured levels.
A covariance is a sum of parts:

- *mains*: the sum of all k_j; alone, the additive model;
- *interactions*: t2 e2(k) + t3 e3(k), the elementary symmetric polynomials, in which techniques with large effects have
  large interactions (additive Gaussian processes, Duvenaud, Nickisch and Rasmussen, arXiv 1112.4394), and u e2(Z Z'),
  in which all pairs are alike;
- *rough*: w exp(-sum_g r_g |s_g - s_g'|) over the gaps g between neighbouring levels, each with a rate of its own: a
  forest's kernel (Balog et al., arXiv 1606.05241), flat over gaps where nothing happens, any interaction at the others;
- *smooth*: a Matern kernel (5/2) of the same places with a length for each factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.predict.features import Array, Inputs

INTERCEPT_VARIANCE = 1e2
"""In units of the variance of y: so large that the mean level is free, so small that matrices stay well conditioned."""

PRIORS = {
    "noise": (0.02, 1.5, 1.0),
    "mains": (0.2, 1.5, 3.0),
    "own": (0.03, 1.5, 3.0),
    "pairs": (0.5, 1.2, 3.0),
    "alike": (0.01, 1.2, 3.0),
    "triples": (0.1, 1.2, 3.0),
    "rough": (0.3, 1.5, 3.0),
    "rates": (0.7, 1.5, 2.0),
    "smooth": (0.3, 1.5, 3.0),
    "smooth lengths": (1.5, 1.5, 1.0),
}
"""Median and standard deviation of the logarithm of a hyper-parameter, for y of unit variance; the last number widens
the lower side, so that a part that the data do not need can vanish."""


@dataclass(frozen=True)
class Kernel:
    """Which parts a covariance has; `warped` processes model a transform of y (see `gaussian_process`)."""

    mains: bool = False
    interactions: bool = False
    rough: bool = False
    smooth: bool = False
    warped: bool = False

    def sizes(self, inputs: Sequence[Inputs]) -> dict[str, int]:
        """Number of hyper-parameters by name, in the order of their vector; the first is the noise."""
        factors, stepwise = len(inputs), sum(each.own is not None for each in inputs)
        sizes = {"noise": 1}
        if self.mains:
            sizes |= {"mains": factors, "own": stepwise}
        if self.interactions:
            sizes |= {"pairs": 1, "alike": 1, "triples": 1}
        if self.rough:
            sizes |= {"rough": 1, "rates": sum(each.steps.shape[1] for each in inputs)}
        if self.smooth:
            sizes |= {"smooth": 1, "smooth lengths": factors}
        return sizes


class Pairwise:
    """What covariances between two lists of cells are made of, factor by factor, [first, second]."""

    def __init__(self, first: Sequence[Inputs], second: Sequence[Inputs]):
        pairs = list(zip(first, second, strict=True))
        self.shape = (len(first[0].place), len(second[0].place)) if pairs else (0, 0)
        self.contrasts = [one.contrasts @ other.contrasts.T for one, other in pairs]
        self.own = [None if one.own is None or other.own is None else one.own @ other.own.T for one, other in pairs]
        self.steps = [
            np.abs(one.steps[:, None, gap] - other.steps[None, :, gap])
            for one, other in pairs
            for gap in range(one.steps.shape[1])
        ]
        self.squares = [((one.place[:, None] - other.place[None]) ** 2).sum(axis=2) for one, other in pairs]


def covariance(kernel: Kernel, parameters: Array, pairwise: Pairwise, slopes: list[Array] | None = None) -> Array:
    """The covariance at log hyper-parameters, without noise; `slopes` receives its derivative by each but the noise."""
    values = iter(np.exp(parameters[1:]))
    found = np.full(pairwise.shape, INTERCEPT_VARIANCE)
    factors = range(len(pairwise.squares))
    if kernel.mains:
        graded = [next(values) * each for each in pairwise.contrasts]
        own = [None if each is None else next(values) * each for each in pairwise.own]
        terms = [one if other is None else one + other for one, other in zip(graded, own, strict=True)]
        first, second, third = symmetric_polynomials(terms)
        found = found + first
        by_term: list[Array | float] = [1.0 for _ in factors]
        extra: list[Array] = []
        if kernel.interactions:
            pairs, alike, triples = (next(values) for _ in range(3))
            both = zip(pairwise.contrasts, pairwise.own, strict=True)
            fullest = [one if other is None else other for one, other in both]
            even = alike * symmetric_polynomials(fullest)[1] / max(1, math.comb(len(factors), 2))
            extra = [pairs * second, even, triples * third]
            found = found + extra[0] + extra[1] + extra[2]
            if slopes is not None:
                for j in factors:
                    without = first - terms[j]
                    by_term[j] = 1 + pairs * without + triples * (second - terms[j] * without)
        if slopes is not None:
            slopes += [graded[j] * by_term[j] for j in factors]
            slopes += [each * by_term[j] for j, each in enumerate(own) if each is not None]
            slopes += extra
    if kernel.rough:
        scale, shares = next(values), [next(values) * step for step in pairwise.steps]
        part = scale * np.exp(-sum(shares))
        found = found + part
        if slopes is not None:
            slopes += [part, *(-part * share for share in shares)]
    if kernel.smooth:
        scale, lengths = next(values), [next(values) for _ in factors]
        shares = [pairwise.squares[j] / lengths[j] ** 2 for j in factors]
        distance = np.sqrt(5 * sum(shares))
        decay = scale * np.exp(-distance)
        part = (1 + distance + distance**2 / 3) * decay
        found = found + part
        if slopes is not None:
            slopes += [part, *(5 / 3 * (1 + distance) * decay * share for share in shares)]
    return found


def symmetric_polynomials(terms: Sequence[Array]) -> tuple[Array, Array, Array]:
    """e_1, e_2 and e_3 of the terms: the sums of all products of that many different ones."""
    first = second = third = np.zeros_like(terms[0])
    for term in terms:
        third = third + term * second
        second = second + term * first
        first = first + term
    return first, second, third
