"""How well the risk to fail is predicted where the truth is known.


The grid has 108 cells: 3 bit widths, rotation, 3 layer dropouts, 3 exit weights, 2 model sizes. A truth is drawn anew
for every repetition; seeds are noisier with rotation and at 4 bits. Cells that a design leaves out are held out.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable

import numpy as np

from bitskip import make_trial
from bitskip.analysis.factorial import Cell, Family, Stratum, baseline_of
from bitskip.analysis.levels import Levels, levels_of
from bitskip.analysis.metrics import METRICS
from bitskip.predict.cross_validation import r_squared
from bitskip.predict.failure_model import fit_failures
from bitskip.predict.response_surface import fit_surface
from bitskip.sweep.suggest import suggest
from bitskip.trial.config import AXES, TrialConfig

Array = np.ndarray
SIZES = [("nano", 0), ("micro", 1)]
SHAPE = (3, 2, 3, 3, 2)
TRIALS: list[TrialConfig] = [
    make_trial(bits=b, hadamard=h, dropout="quadratic" if d else "none", dropout_max=d or 0.1, exit_weight=e, model=m)
    for b in (16, 8, 4)
    for h in ("none", "bitnet-v2")
    for d in (0.0, 0.2, 0.5)
    for e in (0.0, 0.1, 0.3)
    for m in ("nano", "micro")
]
LEVELS: list[Levels] = [levels_of(trial.axes()) for trial in TRIALS]
PLACE = np.array(list(itertools.product(*map(range, SHAPE))))
QUANTIZED_AND_SIZE = [(place[0] > 0, place[4]) for place in PLACE.tolist()]


def at(effect: Array, axis: int) -> Array:
    return np.asarray(effect)[PLACE[:, axis]]


def singles(source: np.random.Generator) -> list[Array]:
    """Effects of each factor's levels on log perplexity: small at first, then growing; the larger model is better."""
    u = source.uniform
    return [
        np.array([0, u(0.005, 0.03), u(0.08, 0.2)]),
        np.array([0, u(-0.03, 0.15)]),
        np.array([0, u(0.01, 0.03), u(0.05, 0.12)]),
        np.array([0, u(0.01, 0.03), u(0.03, 0.1)]),
        np.array([0, -u(0.12, 0.3)]),
    ]


def centred(tensor: Array, axes: tuple[int, ...]) -> Array:
    """The pure interaction of some axes in a tensor over these axes: all margins zero."""
    for axis in range(len(axes)):
        tensor = tensor - tensor.mean(axis=axis, keepdims=True)
    return tensor


def interaction(source: np.random.Generator, axes: tuple[int, ...]) -> Array:
    """A random pure interaction of unit standard deviation."""
    tensor = centred(source.normal(size=[SHAPE[axis] for axis in axes]), axes)
    values = tensor[tuple(PLACE[:, axis] for axis in axes)]
    return values / values.std()


def heredity(source: np.random.Generator, strength: float = 1.0) -> Array:
    """Pairs in proportion to their parents, a special rotation at 4 bits, little of higher order."""
    main = singles(source)
    y = 1.5 + sum(at(effect, axis) for axis, effect in enumerate(main))
    for i, j in itertools.combinations(range(5), 2):
        largest = [np.abs(main[axis]).max() + 1e-9 for axis in (i, j)]
        size = 0.6 * strength * min(largest) * source.normal()
        y = y + size * at(main[i] / largest[0], i) * at(main[j] / largest[1], j)
    y = y + source.normal(0, 0.08 * strength) * ((PLACE[:, 0] == 2) & (PLACE[:, 1] == 1))
    for axes in itertools.combinations(range(5), 3):
        y = y + 0.004 * strength * interaction(source, axes)
    return y


def mechanism(source: np.random.Generator) -> Array:
    """A floor plus a product of excess factors: multiplicative where the model is additive."""
    u = source.uniform
    damage = [
        np.array([0, u(0.01, 0.06), u(0.15, 0.5)]),
        np.array([0, u(0.02, 0.1)]),
        np.array([0, u(0.02, 0.06), u(0.1, 0.3)]),
        np.array([0, u(0.02, 0.06), u(0.08, 0.25)]),
    ]
    excess = at(np.array([u(0.5, 0.8), u(0.3, 0.5)]), 4)
    for axis, each in enumerate(damage):
        excess = excess * (1 + at(each, axis))
    rotated = at(np.array([0, u(0, 0.25), u(-0.15, 0.5)]), 0) * PLACE[:, 1]
    return 1.0 + excess * (1 + rotated) + source.normal(0, 0.005, len(PLACE))


def no_heredity(source: np.random.Generator) -> Array:
    """Pairs of random size, 12 % of the variance, whatever their parents; triples 2 %."""
    y = additive(source)
    scale = y.std()
    for order, share in ((2, 0.12), (3, 0.02)):
        mixed = sum(interaction(source, axes) for axes in itertools.combinations(range(5), order))
        y = y + mixed / mixed.std() * scale * math.sqrt(share / 0.86)
    return y


def additive(source: np.random.Generator) -> Array:
    return 1.5 + sum(at(effect, axis) for axis, effect in enumerate(singles(source)))


TRUTHS: dict[str, Callable[[np.random.Generator], Array]] = {
    "heredity": heredity,
    "strong": lambda source: heredity(source, 2.0),
    "mechanism": mechanism,
    "no heredity": no_heredity,
    "additive": additive,
}


def deviations(sigma: float) -> Array:
    """Seed sd by cell, `sigma` on average."""
    sd = 1 + 0.5 * PLACE[:, 1] + 0.5 * (PLACE[:, 0] == 2)
    return sigma * sd / sd.mean()


def observe(truth: Array, source: np.random.Generator, sigma: float, seeds: int, shift: float = 0.0) -> Array:
    """[cells, seeds]: truth, a shift that a seed gives all cells of a size, and noise."""
    shifts = source.normal(0, shift, (2, seeds))[PLACE[:, 4]]
    return truth[:, None] + shifts + deviations(sigma)[:, None] * source.normal(size=(len(truth), seeds))


def family_of(losses: Array, cells: Array, failed: Array | None = None) -> Family:
    """A family, one stratum a size, with these cells' trials."""
    found = []
    for name, size in SIZES:
        built = tuple(
            Cell(
                LEVELS[index],
                tuple(
                    {"trial_id": f"{index}-{seed}", "seed": seed, "loss": loss, "status": "ok"}
                    if failed is None or not failed[index, seed]
                    else {"trial_id": f"{index}-{seed}", "seed": seed, "loss": None, "status": "diverged"}
                    for seed, loss in enumerate(losses[index])
                ),
            )
            for index in sorted(cells)
            if PLACE[index, 4] == size
        )
        if built:
            scale = {axis: AXES[axis].read(make_trial(model=name)) for axis in AXES if axis != "seed"}
            found.append(Stratum(name, scale, built, baseline_of(built)))
    return Family(tuple(found))


def d_optimal(count: int) -> Array:
    """What `bitskip suggest` picks from nothing."""
    chosen = [levels_of(each.trial.axes()) for each in suggest(None, TRIALS, count, by_cost=False)]
    return np.array([LEVELS.index(levels) for levels in chosen])


def show(title: str, rows: list[dict[str, float]], *, means: tuple[str, ...] = ("coverage",)) -> None:
    """Medians over draws, means of what is named."""
    parts = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=float)
        parts.append(f"{name} {np.nanmean(values) if name in means else np.nanmedian(values):.3f}")
    print(f"{title:<34} {'  '.join(parts)}", flush=True)


def study_failures(draws: int) -> None:
    """4 bits with rotation fail the more the more is dropped; trained on 27 cells."""
    risk = np.zeros(108)
    together = (PLACE[:, 0] == 2) & (PLACE[:, 1] == 1)
    for level, probability in enumerate((0.15, 0.5, 0.9)):
        risk[together & (PLACE[:, 2] == level)] = probability
    risk[(PLACE[:, 0] == 1) & (PLACE[:, 1] == 1) & (PLACE[:, 3] == 2)] = 0.25
    designs = {count: d_optimal(count) for count in (27, 54)}
    for count, cells in designs.items():
        rows = []
        for draw, name in itertools.product(range(draws), ("heredity", "strong", "mechanism")):
            source = np.random.default_rng([draw, 4])
            truth = TRUTHS[name](source)
            observed = observe(truth, source, 0.02, 3)
            failed = source.random(observed.shape) < risk[:, None]
            family = family_of(observed, cells, failed)
            rest = np.setdiff1d(np.arange(108), cells)
            model = fit_failures(family.cells, 6)
            predicted = np.array([model.risk(LEVELS[index]).probability for index in rest])
            base = failed[cells].mean()
            dangerous = risk[rest] >= 0.5
            ahead = (predicted[dangerous][:, None] > predicted[~dangerous][None, :]).mean()
            surface = fit_surface(family, METRICS["ppl"])
            known = [index for index in rest if not failed[index].all()]
            residuals = truth[known] - np.array(surface.means([LEVELS[index] for index in known]))
            rows.append(
                {
                    "AUC": float(ahead),
                    "Brier": float(np.mean((predicted - risk[rest]) ** 2)),
                    "base rate": float(np.mean((base - risk[rest]) ** 2)),
                    "R2 of the rest": r_squared(truth[known], residuals) or math.nan,
                }
            )
        show(f"failures, {count} cells", rows)


STUDIES = {
    "failures": (study_failures, 6),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*STUDIES, []], default=[])
    parser.add_argument("--draws", type=int)
    options = parser.parse_args()
    for name in options.what or STUDIES:
        study, draws = STUDIES[name]
        start = time.perf_counter()
        study(options.draws or draws)
        print(f"{name}: {options.draws or draws} draws, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
