"""Many comparisons at once: corrected p-values, the declared headlines, and a joint test (docs/effects.md)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.design_matrix import Array, indicators, pair_products
from bitskip.analysis.levels import Level, Levels
from bitskip.analysis.seed_noise import SeedNoise


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the chance of any false finding (Holm 1979, Scand. J. Stat. 6: 65)."""
    p, count = np.array(p_values), len(p_values)
    rising = np.argsort(p, kind="stable")
    p[rising] = np.maximum.accumulate(np.minimum((count - np.arange(count)) * p[rising], 1.0))
    return [float(each) for each in p]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the expected share of false findings (J. R. Stat. Soc. B 57: 289, 1995)."""
    p, count = np.array(p_values), len(p_values)
    falling = np.argsort(p, kind="stable")[::-1]
    p[falling] = np.minimum.accumulate(np.minimum(p[falling] * count / np.arange(count, 0, -1), 1.0))
    return [float(each) for each in p]


def headlines(pairs: Sequence[tuple[Treatment, ...]]) -> set[tuple[Treatment, ...]]:
    """The at most four pairs that are declared before looking: what the method is about.

    Rotation with each of the two lowest bit widths, rotation with the strongest exit loss, and the lowest bit width
    with it. Of several rotations BitNet v2's counts, or the first by name.
    """
    levels: dict[str, set[Level]] = {}
    for factor, level in itertools.chain.from_iterable(pairs):
        levels.setdefault(factor, set()).add(level)
    rotations = sorted(levels.get("hadamard", ()), key=lambda level: (level[0] != "bitnet-v2", repr(level)))[:1]
    widths = sorted(levels.get("bits", ()), key=lambda level: (level[0], repr(level)))[:2]
    exits = sorted(levels.get("exit_weight", ()), key=lambda level: (-level[0], repr(level)))[:1]
    declared: set[tuple[Treatment, ...]] = set()
    declared |= {(("bits", width), ("hadamard", rotation)) for width in widths for rotation in rotations}
    declared |= {(("hadamard", rotation), ("exit_weight", weight)) for rotation in rotations for weight in exits}
    declared |= {(("bits", width), ("exit_weight", weight)) for width in widths[:1] for weight in exits}
    return declared & set(pairs)


@dataclass(frozen=True)
class JointTest:
    """F-test of all pairs of techniques at once against the additive model, on pure seed error."""

    f: float
    numerator_df: int
    denominator_df: float
    p_value: float


def joint_test(values: Mapping[Levels, Mapping[int, float]], noise: SeedNoise) -> JointTest | None:
    """None without repeats or where no pair is distinguishable. Weighted by each cell's seeds over its variance.

    The additive and the pairwise model are fitted to the cells' means without the seeds' shifts; the difference of
    their weighted squares, per degree of freedom, is F.
    """
    cells = [levels for levels, own in values.items() if own]
    if not noise.variance or len(cells) < 4:
        return None
    means = np.array([np.mean([v - noise.seed_shifts.get(s, 0.0) for s, v in values[c].items()]) for c in cells])
    weights = np.sqrt(np.array([len(values[cell]) / noise.of(cell)[0] for cell in cells]))
    error_df = noise.df
    if noise.by_technique is not None and len(noise.by_technique.bases) > 1:
        # Where seeds favour pairs of techniques, that is what a pair must exceed.
        weights = np.sqrt(np.array([len(values[cell]) for cell in cells]) / noise.by_technique.squares[1])
        error_df = noise.by_technique.dfs[1]
    blocks = indicators(cells)
    additive = np.hstack([np.ones((len(cells), 1)), *blocks])
    null, null_rank = _weighted_squares(additive, means, weights)
    full, full_rank = _weighted_squares(np.hstack([additive, *pair_products(blocks)]), means, weights)
    gained = full_rank - null_rank
    if not gained:
        return None
    from scipy.special import chdtrc, fdtrc

    f = max(null - full, 0.0) / gained
    p_value = chdtrc(gained, gained * f) if np.isinf(error_df) else fdtrc(gained, error_df, f)
    return JointTest(f, gained, error_df, float(p_value))


def _weighted_squares(design: Array, values: Array, weights: Array) -> tuple[float, int]:
    """(residual sum of squares, rank) of the design."""
    solution, _, rank, _ = np.linalg.lstsq(design * weights[:, None], values * weights, rcond=None)
    residual = weights * (values - design @ solution)
    return float(residual @ residual), int(rank)
