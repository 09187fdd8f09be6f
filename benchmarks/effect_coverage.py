"""Whether intervals and verdicts of effects hold where the truth is known. Its numbers stand in docs/effects.md.

python benchmarks/effect_coverage.py [SCENARIO]… [--grids N] [--seeds 2 3 5] [--requested|--pooled|--modelled|--each]

Truths are additive: every composition effect is nothing, and a verdict of one is false. Grids have 66 cells (3 bit
widths, rotation, 3 layer dropouts, 2 exit weights, 2 phases), or those of a reference grid with its own variance
components. For every kind of effect the share of 95 % intervals that hold the truth, the worst single effect's, and the
share of grids with a false composition verdict somewhere. With `--requested`, that share where seeds are added to the
cells of open verdicts until none is open; with `--pooled`, the intervals of one variance for all trials. With
`--modelled`, 24 or 36 of the 66 cells were run, chosen by the `fractional` design or by chance, and intervals are those
of modelled effects, also where pairs (sd 0.05 each) or pairs and triples (0.03) do something (`--truths`). With
`--each`, the coverage of every single effect of a complete grid: the same intervals without all else, for thousands of
grids (the worst of 48 effects that are covered 0.95 times each is 0.91 of 150 grids, 0.94 of 6,000).
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitskip import load_results, make_trial
from bitskip.analysis.contrasts import moebius, treated, treatment_combinations
from bitskip.analysis.design_matrix import indicators, pair_products
from bitskip.analysis.effects import ESTIMANDS, UNRESOLVED, Effect, stratum_effects
from bitskip.analysis.factorial import Cell, Stratum, baseline_of, strata
from bitskip.analysis.levels import FACTORS, INDEX, Levels, idle, level_label, levels_of
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.student_t import student_t_quantile
from bitskip.sweep.d_optimal import d_optimal
from bitskip.trial.config import AXES

Array = np.ndarray
Noise = Callable[[np.random.Generator, int], Array]
REFERENCE = Path(__file__).parents[1] / "results" / "reference"
SCALE = {axis: AXES[axis].read(make_trial()) for axis in AXES if axis != "seed"}
SD = 0.02
MOST_SEEDS = 8
TRUTHS: dict[str, tuple[float, ...]] = {"additive": (), "pairs": (0.05,), "triples": (0.05, 0.03)}
"""Standard deviations of the effects of pairs and of triples of levels."""


def grid() -> list[Levels]:
    trials = [
        make_trial(bits=b, hadamard=h, dropout=d[0], dropout_max=d[1], exit_weight=e, phase=p)
        for b in (16, 8, 4)
        for h in ("none", "bitnet-v2")
        for d in (("none", 0.1), ("quadratic", 0.2), ("quadratic", 0.5))
        for e in (0.0, 0.3)
        for p in ("2", "1+2")
    ]
    return list(dict.fromkeys(levels_of(trial.axes()) for trial in trials))


CELLS = grid()


def at(factor: str) -> Array:
    """Whether each cell of the grid has a technique on."""
    off = levels_of({})[INDEX[factor]]
    return np.array([levels[INDEX[factor]] != off for levels in CELLS])


def alike(source: np.random.Generator, seeds: int) -> Array:
    return source.normal(0, SD, (len(CELLS), seeds))


def ternary(source: np.random.Generator, seeds: int) -> Array:
    return alike(source, seeds) * np.where(at("bits"), 3.0, 1.0)[:, None]


def four_bits(source: np.random.Generator, seeds: int) -> Array:
    noisy = np.array([levels[INDEX["bits"]][0] == 4 for levels in CELLS])
    return alike(source, seeds) * np.where(noisy, 3.0, 1.0)[:, None]


def heavy(source: np.random.Generator, seeds: int) -> Array:
    return SD / np.sqrt(3) * source.standard_t(3, (len(CELLS), seeds))


def shifted(source: np.random.Generator, seeds: int) -> Array:
    return alike(source, seeds) + source.normal(0, 7 * SD, seeds)


def favoured(source: np.random.Generator, seeds: int) -> Array:
    return alike(source, seeds) + at("hadamard")[:, None] * source.normal(0, 4 * SD, seeds)


def forks(source: np.random.Generator, seeds: int) -> Array:
    """Cells whose first phase is one training run differ by a sixteenth of its noise: correlation 0.996."""
    prefixes = [levels[:2] if levels[INDEX["phase"]][0] == "1+2" and not idle(levels) else levels for levels in CELLS]
    known = list(dict.fromkeys(prefixes))
    shared = source.normal(0, SD, (len(known), seeds))[[known.index(prefix) for prefix in prefixes]]
    own = np.array([prefix is not levels for prefix, levels in zip(prefixes, CELLS, strict=True)])
    return shared + own[:, None] * alike(source, seeds) / 16


def missing(source: np.random.Generator, seeds: int) -> Array:
    """Half of the trials of 4 bits with rotation fail, and one in twenty of all others."""
    found = alike(source, seeds)
    both = np.array([levels[INDEX["bits"]][0] == 4 for levels in CELLS]) & at("hadamard")
    found[source.random(found.shape) < np.where(both, 0.5, 0.05)[:, None]] = np.nan
    return found


def unlucky(source: np.random.Generator, seeds: int) -> Array:
    """Quantized trials fail where their loss is among the highest tenth."""
    found = alike(source, seeds)
    found[at("bits")[:, None] & (found > 1.28 * SD)] = np.nan
    return found


SCENARIOS: dict[str, Noise] = {
    "alike": alike,
    "ternary 3x": ternary,
    "4 bits 3x": four_bits,
    "t with 3 df": heavy,
    "shift of 7 sd": shifted,
    "seed x rotation": favoured,
    "forks": forks,
    "missing by cell": missing,
    "missing by loss": unlucky,
}


def components(stratum: Stratum) -> Noise:
    """The noise of a measured grid: a mean square for seed x each technique, one for seed x each pair, and the rest."""
    cells = [cell for cell in stratum.cells if len(cell.values(METRICS["ppl"])) > 1]
    known = [cell.values(METRICS["ppl"]) for cell in cells]
    seeds = sorted(set.intersection(*(set(values) for values in known)))
    values = np.array([[own[seed] for seed in seeds] for own in known])
    values = values - values.mean(axis=1, keepdims=True)
    blocks = indicators([cell.levels for cell in cells])
    rest = np.eye(len(cells)) - 1 / len(cells)
    parts = []
    for block in (*blocks, *pair_products(blocks), np.eye(len(cells))):
        left, singular, _ = np.linalg.svd(rest @ block, full_matrices=False)
        basis = left[:, singular > 1e-8]
        rest = rest - basis @ basis.T
        if basis.size:
            parts.append((basis, np.sqrt(np.sum((basis.T @ values) ** 2) / basis.shape[1] / (len(seeds) - 1))))

    def draw(source: np.random.Generator, count: int) -> Array:
        return sum(basis @ source.normal(0, sd, (basis.shape[1], count)) for basis, sd in parts)

    return draw


def additive(source: np.random.Generator, cells: Sequence[Levels]) -> Array:
    """Every level moves log perplexity by up to 0.2; the phase, which does nothing alone, nothing."""
    moves: dict[tuple[str, object], float] = {("phase", levels[INDEX["phase"]]): 0.0 for levels in cells}
    return np.array(
        [
            4 + sum(moves.setdefault(key, source.uniform(-0.1, 0.2)) for key in zip(FACTORS, levels, strict=True))
            for levels in cells
        ]
    )


def stratum_of(cells: Sequence[Levels], losses: Array, seeds: Array | None = None, first: int | None = None) -> Stratum:
    """[cells, seeds] as a stratum; what is not a number has failed. `seeds` says how many each cell was tried with.

    The `first` seeds began together, each of the others an hour after the one before.
    """
    tried = np.full(len(cells), losses.shape[1]) if seeds is None else seeds

    def row(index: int, seed: int) -> dict[str, object]:
        loss = float(losses[index, seed])
        found = {"loss": loss, "status": "ok"} if np.isfinite(loss) else {"loss": None, "status": "diverged"}
        hours = max(0, seed + 1 - (first or losses.shape[1]))
        begun = datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=hours, seconds=index)
        return {"trial_id": f"{index}-{seed}", "seed": seed, "started_at": begun} | found

    built = tuple(
        Cell(levels, tuple(row(index, seed) for seed in range(tried[index]))) for index, levels in enumerate(cells)
    )
    return Stratum("simulated", SCALE, built, baseline_of(built))


def effects_of(
    stratum: Stratum, orders: Sequence[int] = (1, 2), variance: str = "own", estimands: Sequence[str] = ESTIMANDS
) -> list[Effect]:
    found = (stratum_effects(stratum, "ppl", METRICS["ppl"], order, estimands, variance=variance) for order in orders)
    return [effect for effects in found for effect in effects]


def false_verdicts(effects: Sequence[Effect]) -> int:
    return sum(len(e.techniques) > 1 and e.verdict in ("super-additive", "sub-additive") for e in effects)


@dataclass(frozen=True)
class Coverage:
    """Shares of intervals that hold the truth and median half-widths by kind, the worst single effect's share, and the
    share of grids with a false composition verdict."""

    kinds: Mapping[str, float]
    halves: Mapping[str, float]
    worst: float
    false: float

    def __str__(self) -> str:
        shown = [f"{kind} {share:.3f} (± {100 * self.halves[kind]:.1f} %)" for kind, share in self.kinds.items()]
        return f"{'  '.join(shown)}  worst {self.worst:.3f}  grids with a false verdict {self.false:.3f}"


def coverage(cells: Sequence[Levels], noise: Noise, seeds: int, grids: int, variance: str = "own") -> Coverage:
    inside: dict[tuple[str, tuple[str, ...]], list[bool]] = {}
    widths: dict[str, list[float]] = {}
    false = 0
    for draw in range(grids):
        source = np.random.default_rng([draw, seeds, len(cells)])
        truth = additive(source, cells)
        effects = effects_of(stratum_of(cells, truth[:, None] + noise(source, seeds)), variance=variance)
        exact = effects_of(stratum_of(cells, truth[:, None]), (1,))
        true = {(effect.techniques, effect.estimand): effect.value for effect in exact}
        false += false_verdicts(effects) > 0
        for effect in effects:
            if effect.low is None or effect.high is None:
                continue
            expected = 0.0 if len(effect.techniques) > 1 else true.get((effect.techniques, effect.estimand))
            if expected is not None:
                kind = f"{('single', 'pair')[len(effect.techniques) - 1]} {effect.estimand}"
                held = effect.low <= expected <= effect.high
                inside.setdefault((kind, effect.techniques), []).append(held)
                widths.setdefault(kind, []).append(effect.high - effect.low)
    kinds: dict[str, list[bool]] = {}
    for (kind, _), own in inside.items():
        kinds.setdefault(kind, []).extend(own)
    return Coverage(
        {kind: float(np.mean(own)) for kind, own in kinds.items()},
        {kind: float(np.median(own)) / 2 for kind, own in widths.items()},
        min(float(np.mean(own)) for own in inside.values() if len(own) >= grids / 2),
        false / grids,
    )


def each(cells: Sequence[Levels], noise: Noise, seeds: int, grids: int) -> str:
    """Lowest and highest coverage of the anchored and averaged effects of a grid in which nothing failed."""
    ran, rows = set(cells), []
    stratum = stratum_of(cells, np.zeros((len(cells), seeds)))
    for order in (1, 2):
        for treatments in treatment_combinations(stratum, order):
            off = [(factor, stratum.baseline[INDEX[factor]]) for factor, _ in treatments]
            settings = {treated(levels, off) for levels in cells}
            for contexts in ([stratum.baseline], settings):
                weights = [own for context in contexts if (own := moebius(context, treatments)) and ran >= own.keys()]
                if weights:
                    rows.append(np.mean([[own.get(levels, 0.0) for levels in cells] for own in weights], axis=0))
    contrasts, held = np.array(rows), np.zeros(len(rows))
    for draw in range(grids):
        values = contrasts @ noise(np.random.default_rng([draw, seeds, len(cells)]), seeds)
        half = student_t_quantile(0.975, seeds - 1) * values.std(axis=1, ddof=1) / np.sqrt(seeds)
        held += np.abs(values.mean(axis=1)) <= half
    return f"{len(rows)} effects, lowest {held.min() / grids:.3f}, highest {held.max() / grids:.3f}"


def requested(name: str, cells: Sequence[Levels], noise: Noise, seeds: int, grids: int, whole: bool) -> str:
    """A seed more for the cells of open verdicts that few would settle, or the `whole` grid, until none is open."""
    first = last = ever = 0
    for draw in range(grids):
        source = np.random.default_rng([draw, seeds, len(cells), 1])
        losses = additive(source, cells)[:, None] + noise(source, MOST_SEEDS)
        tried = np.full(len(cells), seeds)
        found = []
        for _ in range(2 * MOST_SEEDS):
            stratum = stratum_of(cells, losses, tried, seeds)
            effects = effects_of(stratum, (2,))
            found.append(false_verdicts(effects) > 0)
            asked = _asked(effects, stratum)
            more = np.array([levels in asked or (whole and bool(asked)) for levels in cells]) & (tried < MOST_SEEDS)
            if not more.any():
                break
            tried += more
        first, last, ever = first + found[0], last + found[-1], ever + any(found)
    return (
        f"{name:<18} from {seeds} seeds, more on request {'everywhere' if whole else 'where asked'}: "
        f"grids with a false verdict at first {first / grids:.3f}, at last {last / grids:.3f}, ever {ever / grids:.3f}"
    )


def _asked(effects: Sequence[Effect], stratum: Stratum) -> set[Levels]:
    """Cells of the three open verdicts that are nearest to being settled: those of the anchored contrast."""
    near = [e for e in effects if e.verdict == UNRESOLVED and e.more_seeds and e.more_seeds <= MOST_SEEDS]
    nearest = sorted(near, key=lambda effect: effect.more_seeds or 0)[:3]
    return {levels for effect in nearest for levels in effect_cells(stratum, effect)}


def effect_cells(stratum: Stratum, effect: Effect) -> Mapping[Levels, float]:
    """The cells that the anchored form of an effect compares, with their weights."""
    for treatments in treatment_combinations(stratum, len(effect.techniques)):
        if tuple(level_label(factor, level) for factor, level in treatments) == effect.techniques:
            return moebius(stratum.baseline, treatments)
    return {}


def fraction(count: int) -> Array:
    """Cells of the `fractional` design."""
    known = [sorted(set(column), key=repr) for column in zip(*CELLS, strict=True)]
    varied = [index for index, levels in enumerate(known) if len(levels) > 1]
    return np.array(sorted(d_optimal([tuple(known[i].index(c[i]) for i in varied) for c in CELLS], count)))


def composed(source: np.random.Generator, sds: Sequence[float]) -> Array:
    """Log perplexities with an effect of this sd for every pair, and triple, of levels."""
    losses, off = additive(source, CELLS), levels_of({})
    for order, sd in enumerate(sds, start=2):
        drawn: dict[tuple[object, ...], float] = {}
        for index, levels in enumerate(CELLS):
            on = [key for key, default in zip(zip(FACTORS, levels, strict=True), off, strict=True) if key[1] != default]
            for some in itertools.combinations(on, order):
                losses[index] += drawn.setdefault(some, source.normal(0, sd))
    return losses


def modelled(count: int, chosen: Array | None, noise: Noise, seeds: int, grids: int, sds: Sequence[float]) -> str:
    """Coverage of modelled effects where so many cells were run: these, or others by chance in every grid."""
    inside: dict[str, list[bool]] = {}
    singly: dict[tuple[str, ...], list[bool]] = {}
    false = 0
    for draw in range(grids):
        source = np.random.default_rng([draw, seeds, count, 2])
        truth = composed(source, sds)
        losses = truth[:, None] + noise(source, seeds)
        ran = np.sort(source.choice(len(CELLS), count, replace=False)) if chosen is None else chosen
        stratum = stratum_of([CELLS[at] for at in ran], losses[ran])
        effects = effects_of(stratum, estimands=("modelled",) if sds else ESTIMANDS)
        known = dict(zip(CELLS, truth, strict=True))
        false += false_verdicts(effects) > 0
        for effect in effects:
            cells = effect_cells(stratum, effect) if effect.estimand == "modelled" and effect.low is not None else {}
            if cells and all(levels in known for levels in cells):
                true = sum(weight * known[levels] for levels, weight in cells.items())
                held = effect.low <= true <= effect.high
                kind = f"{('single', 'pair')[len(effect.techniques) - 1]}, {effect.reference.removeprefix('a ')}"
                inside.setdefault(kind, []).append(held)
                singly.setdefault(effect.techniques, []).append(held)
    shares = "  ".join(f"{kind} {np.mean(own):.3f} (of {len(own)})" for kind, own in sorted(inside.items()))
    worst = min((float(np.mean(own)) for own in singly.values() if len(own) >= grids / 2), default=float("nan"))
    told = f"  grids with a false verdict {false / grids:.3f}" if not sds else ""
    return f"{shares}  worst {worst:.3f}{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*")
    parser.add_argument("--grids", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5])
    parser.add_argument("--requested", action="store_true")
    parser.add_argument("--pooled", action="store_true")
    parser.add_argument("--modelled", action="store_true")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--truths", nargs="+", choices=TRUTHS, default=list(TRUTHS), help="of modelled effects")
    options = parser.parse_args()
    cases: dict[str, tuple[Sequence[Levels], Noise]] = {name: (CELLS, noise) for name, noise in SCENARIOS.items()}
    for stratum in strata(load_results(REFERENCE))[:2]:
        finished = [cell.levels for cell in stratum.cells if len(cell.values(METRICS["ppl"])) > 1]
        cases["reference " + stratum.label.split(", ")[1].split("-")[0]] = (finished, components(stratum))
    for name, (cells, noise) in cases.items():
        if options.scenario and name not in options.scenario:
            continue
        for seeds in options.seeds:
            start = time.perf_counter()
            if options.modelled:
                if cells is not CELLS:
                    continue
                lines = [
                    f"{name:<18} {seeds} seeds, {count} cells {how}, {truth}: "
                    + modelled(count, chosen, noise, seeds, options.grids, sds)
                    for count in (24, 36)
                    for how, chosen in (("fractional", fraction(count)), ("by chance", None))
                    for truth, sds in TRUTHS.items()
                    if truth in options.truths
                ]
            elif options.each:
                lines = [f"{name:<18} {seeds} seeds: {each(cells, noise, seeds, options.grids)}"]
            elif options.requested:
                lines = [requested(name, cells, noise, seeds, options.grids, whole) for whole in (False, True)]
            else:
                found = coverage(cells, noise, seeds, options.grids, "pooled" if options.pooled else "own")
                lines = [f"{name:<18} {seeds} seeds: {found}"]
            print("\n".join(lines) + f"  ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
