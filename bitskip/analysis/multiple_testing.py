"""Many comparisons at once: corrected p-values and the declared headlines (docs/effects.md, Verdicts)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.levels import Level


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
