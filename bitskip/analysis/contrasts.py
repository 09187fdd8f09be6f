"""Contrasts: weighted differences of a stratum's cells, formed per seed that all of them share (docs/effects.md).

Seeds fix initial weights and data order in every cell (common random numbers), so a seed's own shift cancels in a
contrast. Its standard error comes from the seed noise of the whole stratum. No model fills in cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import INDEX, TECHNIQUES, Level, Levels, inert, with_level
from bitskip.analysis.seed_noise import SeedNoise
from bitskip.analysis.student_t import Estimate

Treatment = tuple[str, Level]
"""A technique at a level off the baseline."""

Weights = Mapping[Levels, float]
Values = Mapping[Levels, Mapping[int, float]]
"""Finished trials' values by cell and seed."""


def treatment_combinations(stratum: Stratum, order: int) -> list[tuple[Treatment, ...]]:
    """Every combination of treatments of `order` different techniques."""
    choices = []
    for factor in TECHNIQUES:
        index = INDEX[factor]
        present = {cell.levels[index] for cell in stratum.cells} - {stratum.baseline[index]}
        choices.append([(factor, level) for level in sorted(present, key=repr)])
    return [combined for some in itertools.combinations(choices, order) for combined in itertools.product(*some)]


def treated(levels: Levels, treatments: Sequence[Treatment]) -> Levels:
    """The cell with these treatments."""
    for factor, level in treatments:
        levels = with_level(levels, factor, level)
    return levels


def moebius(context: Levels, treatments: Sequence[Treatment]) -> dict[Levels, float]:
    """Weights of the Möbius difference around a context; empty if a technique alone changes nothing."""
    weights: dict[Levels, float] = {}
    for size in range(len(treatments) + 1):
        for subset in itertools.combinations(treatments, size):
            levels = inert(treated(context, subset))
            weights[levels] = weights.get(levels, 0.0) + (-1.0) ** (len(treatments) - size)
    return {levels: weight for levels, weight in weights.items() if weight}


def shared_seeds(weights: Weights, values: Values) -> set[int]:
    """Seeds that finished in every cell of a contrast."""
    seeds = [set(values.get(levels, {})) for levels in weights]
    return set.intersection(*seeds) if seeds else set()


def estimate(contrasts: Sequence[Weights], values: Values, noise: SeedNoise) -> Estimate | None:
    """Mean of the contrasts over their shared seeds; its variance is that of the sum of its trials' weights.

    None where the cells of one of them share no seed.
    """
    by_seed: dict[int, dict[Levels, float]] = {}
    fewest = math.inf
    for weights in contrasts:
        seeds = shared_seeds(weights, values)
        if not seeds:
            return None
        fewest = min(fewest, len(seeds))
        for levels, weight in weights.items():
            for seed in seeds:
                own = by_seed.setdefault(seed, {})
                own[levels] = own.get(levels, 0.0) + weight / len(seeds) / len(contrasts)
    value = math.fsum(w * values[levels][seed] for seed, own in by_seed.items() for levels, w in own.items())
    if noise.variance is None:
        return Estimate(value, None, 0, int(fewest))
    variance, df = noise.of_contrast(by_seed)
    return Estimate(value, math.sqrt(variance), df, int(fewest))
