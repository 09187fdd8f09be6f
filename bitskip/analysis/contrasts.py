"""Contrasts: weighted differences of a stratum's cells, formed per seed that all of them share (docs/effects.md).

Seeds fix initial weights and data order in every cell (common random numbers), so a seed's own shift cancels in a
contrast. Its standard error comes from its own values by seed. No model fills in cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from bitskip.analysis.by_seed import BLOCKS, variance_over_seeds, variance_over_text
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import INDEX, TECHNIQUES, Level, Levels, inert, with_level
from bitskip.analysis.seed_noise import SeedNoise
from bitskip.analysis.student_t import Estimate, of_parts

Treatment = tuple[str, Level]
"""A technique at a level off the baseline."""

Weights = Mapping[Levels, float]
Values = Mapping[Levels, Mapping[int, float]]
"""Finished trials' values by cell and seed."""

Sequences = Mapping[Levels, Mapping[int, Array]]
"""Their values on every piece of held-out text whose mean they are, such as losses of sequences."""


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


def estimate(
    contrasts: Sequence[Weights],
    values: Values,
    noise: SeedNoise | None = None,
    text: Sequences | None = None,
    most_blocks: int | None = BLOCKS,
) -> Estimate | None:
    """Mean of the contrasts, each over its shared seeds; None where the cells of one of them share no seed.

    Its error is that of its own values by seed (`by_seed`), or, with `noise`, that of independent trials of this
    variance. `text`, values by piece of what was measured, adds what another text would change, as means of
    `most_blocks` of them vary.
    """
    settings: list[dict[int, float]] = []
    by_trial: dict[tuple[int, Levels], float] = {}
    for weights in contrasts:
        seeds = sorted(shared_seeds(weights, values))
        if not seeds:
            return None
        settings.append({seed: math.fsum(w * values[own][seed] for own, w in weights.items()) for seed in seeds})
        for levels, weight in weights.items():
            for seed in seeds:
                share = weight / len(seeds) / len(contrasts)
                by_trial[seed, levels] = by_trial.get((seed, levels), 0.0) + share
    value = math.fsum(math.fsum(own.values()) / len(own) for own in settings) / len(settings)
    fewest = min(map(len, settings))
    if noise is None:
        found = variance_over_seeds(settings)
    else:
        found = None if noise.variance is None else noise.of_trials(by_trial)
    if found is None:
        return Estimate(value, None, 0, fewest)
    parts = [found]
    of_text = _over_text(by_trial, text or {}, most_blocks)
    if of_text is not None:
        parts.append(of_text)
    return of_parts(value, parts, fewest, None if of_text is None else math.sqrt(of_text[0]))


def _over_text(
    by_trial: Mapping[tuple[int, Levels], float], text: Sequences, most_blocks: int | None
) -> tuple[float, float] | None:
    """None unless every trial has the values of the same pieces."""
    losses = [text.get(levels, {}).get(seed) for seed, levels in by_trial]
    known = [own for own in losses if own is not None]
    if not known or len(known) < len(losses) or len({len(own) for own in known}) > 1:
        return None
    seeds = sorted({seed for seed, _ in by_trial})
    rows = np.zeros((len(seeds), len(known[0])))
    for (seed, _), weight, own in zip(by_trial, by_trial.values(), known, strict=True):
        rows[seeds.index(seed)] += weight * own
    return variance_over_text(rows, most_blocks)
