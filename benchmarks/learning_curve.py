"""How fast the predictor learns a finished grid: error on the cells that a design leaves out, by design and size.

python benchmarks/learning_curve.py RESULTS [draws]

Replays a complete grid: `suggest` from nothing, random subsets (mean over draws), and one factor at a time.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from bitskip import load_results, make_trial
from bitskip.analysis.factorial import Family, strata
from bitskip.analysis.levels import Levels, axes_of
from bitskip.analysis.metrics import METRICS
from bitskip.predict.cross_validation import r_squared
from bitskip.predict.response_surface import fit_surface
from bitskip.sweep.suggest import suggest

FRACTIONS = (0.2, 0.25, 0.3, 0.4, 0.5, 0.75)


def main() -> None:
    (stratum, *_) = strata(load_results(sys.argv[1]))
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    cells = [cell for cell in stratum.cells if cell.values(METRICS["ppl"])]
    whole = fit_surface(Family((replace(stratum, cells=tuple(cells)),)), METRICS["ppl"])
    measured = dict(zip(whole.levels, whole.values, strict=True))
    place = {cell.levels: position for position, cell in enumerate(cells)}
    # At one recipe: what was tuned by configuration is no part of the design.
    recipe = stratum.settings(stratum.baseline)
    space = [make_trial(**{**recipe, **axes_of(levels)}) for levels in place]
    by_id = {trial.configuration_id: levels for trial, levels in zip(space, place, strict=True)}

    def held_out(chosen: list[Levels]) -> tuple[float, float]:
        """(mean error in % of perplexity, R^2) on the cells left out."""
        part = replace(stratum, cells=tuple(cells[place[levels]] for levels in chosen))
        surface = fit_surface(Family((part,)), METRICS["ppl"])
        rest = [levels for levels in measured if levels not in set(chosen)]
        values = np.array([measured[levels] for levels in rest])
        errors = values - np.array(surface.means(rest))
        return 100 * float(np.mean(np.expm1(np.abs(errors)))), r_squared(values, errors) or float("nan")

    off = sum(levels == stratum.baseline for levels in place)
    single = [own for own in place if sum(a != b for a, b in zip(own, stratum.baseline, strict=True)) <= 1]
    print(
        f"{stratum.label}: {len(cells)} cells, {off} baseline; seed noise floor {whole.scores.noise_percent or 0:.1f} %"
    )
    error, r2 = held_out(single)
    print(f"one factor at a time, {len(single):3d} cells: error {error:.2f} %, R2 {r2:.3f}")
    source = np.random.default_rng(0)
    for fraction in FRACTIONS:
        count = round(fraction * len(cells))
        chosen = [by_id[each.trial.configuration_id] for each in suggest(None, space, count)]
        error, r2 = held_out(chosen)
        picks = [source.choice(len(cells), count, replace=False) for _ in range(draws)]
        found = np.array([held_out([cells[i].levels for i in sorted(pick)]) for pick in picks])
        print(
            f"{fraction:4.0%}, {count:3d} cells: suggested {error:.2f} %, R2 {r2:.3f}; "
            f"random {found[:, 0].mean():.2f} % ({found[:, 0].min():.2f} to {found[:, 0].max():.2f}), "
            f"R2 {np.median(found[:, 1]):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
