"""Which configurations to run: error of the predictor on all others, by design, where the truth is known.

python benchmarks/designs.py [--draws N]

`fractional` and `suggest` (from nothing) choose all at once, `guided` in batches of a sixth; `random` is drawn anew for
each truth. One seed, noise 1.5 %; *two seeds* is half as many configurations by `fractional` with two seeds each.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from truths import SPACES, TRUTHS, Array, Space

from bitskip.analysis.factorial import Cell, Family, Stratum, baseline_of
from bitskip.analysis.levels import levels_of
from bitskip.analysis.metrics import METRICS
from bitskip.predict.response_surface import fit_surface
from bitskip.sweep.d_optimal import d_optimal
from bitskip.sweep.suggest import suggest
from bitskip.trial.config import AXES, make_trial

SIGMA, BATCHES, SIZES = 0.015, 6, (18, 36, 54)
NAMES = ("additive", "pairs", "threshold", "worst dominates", "multiplicative", "special pair")


def fractional(space: Space, count: int) -> Array:
    return np.array(d_optimal([tuple(map(int, cell)) for cell in space.place], count))


def family_of(space: Space, losses: Array, cells: Sequence[int]) -> Family:
    """One stratum with the trials of these cells, losses [cells, seeds]."""
    built = tuple(
        Cell(
            levels_of(space.trials[cell].axes()),
            tuple(
                {"trial_id": f"{cell}-{s}", "seed": s, "loss": y, "status": "ok"} for s, y in enumerate(losses[cell])
            ),
        )
        for cell in sorted(cells)
    )
    scale = {axis: AXES[axis].read(make_trial()) for axis in AXES if axis != "seed"}
    return Family((Stratum("simulated", scale, built, baseline_of(built)),))


def suggested(space: Space, count: int) -> Array:
    """From nothing."""
    at = {trial.configuration_id: place for place, trial in enumerate(space.trials)}
    chosen = suggest(None, space.trials, count, by_cost=False)
    return np.array([at[dataclasses.replace(each.trial, seed=0).configuration_id] for each in chosen])


def guided(space: Space, count: int) -> Array:
    """Batch by batch around what has run; what a batch measured changes nothing, only that it ran."""
    keys = [tuple(map(int, cell)) for cell in space.place]
    chosen: list[int] = []
    while len(chosen) < count:
        chosen = d_optimal(keys, min(count, len(chosen) + math.ceil(count / BATCHES)), chosen)
    return np.array(chosen)


def error(space: Space, losses: Array, truth: Array, cells: Array) -> float:
    surface = fit_surface(family_of(space, losses, cells.tolist()), METRICS["ppl"])
    rest = np.setdiff1d(np.arange(len(truth)), cells)
    missed = truth[rest] - np.array(surface.means([levels_of(space.trials[cell].axes()) for cell in rest]))
    return 100 * float(np.mean(np.expm1(np.abs(missed))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=12)
    draws = parser.parse_args().draws
    for place, count in itertools.product(("wide", "long"), SIZES):
        space = SPACES[place]
        fixed = {
            "fractional": fractional(space, count),
            "suggest": suggested(space, count),
            "guided": guided(space, count),
        }
        few = fractional(space, count // 2)
        total: dict[str, list[float]] = {}
        for name in NAMES:
            found: dict[str, list[float]] = {}
            for number in range(draws):
                source = np.random.default_rng([number, *name.encode()])
                truth = TRUTHS[name](space, source)
                losses = truth[:, None] + source.normal(0, SIGMA, (len(truth), 2))
                single = losses[:, :1]
                for design, cells in fixed.items():
                    found.setdefault(design, []).append(error(space, single, truth, cells))
                drawn = source.choice(len(truth), count, replace=False)
                found.setdefault("random", []).append(error(space, single, truth, drawn))
                found.setdefault("two seeds", []).append(error(space, losses, truth, few))
            means = {design: float(np.mean(each)) for design, each in found.items()}
            print(
                f"{place:<6} {count:3d}  {name:<16} " + "  ".join(f"{k} {v:5.2f}" for k, v in means.items()), flush=True
            )
            for design, value in means.items():
                total.setdefault(design, []).append(value / means["random"])
        print(
            f"{place:<6} {count:3d}  against random   " + "  ".join(f"{k} {np.mean(v):5.2f}" for k, v in total.items())
        )


if __name__ == "__main__":
    main()
