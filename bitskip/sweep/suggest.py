"""The next trials worth running: what teaches the model most per unit of cost (docs/effects.md, Next experiments).

In this order, until n trials are chosen:

1. with a quarter of the trials, corners of the headline pairs: their composition effects are measured, not modelled;
2. configurations that bring two levels together which never were: no model sees an interaction it has not observed;
3. configurations by Bayesian D-optimality (DuMouchel and Jones 1994, Technometrics 36: 37) up to a share of the space:
   the largest gain ln(1 + posterior variance / noise) of the graded prior, per estimated cost;
4. one more seed in every cell of an effect whose verdict hangs and would be settled by few seeds, nearest first;
5. configurations as in 3, and where none is left, seeds for the cells that have fewest.

For prediction, another configuration always beats another seed; seeds are for verdicts. New configurations take the
seed that most cells share, so that differences stay paired.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.effects import UNRESOLVED, Effect, effect_cells, headline_cells, stratum_effects
from bitskip.analysis.factorial import TUNED, Cell, Family, Stratum, baseline_of, families, strata
from bitskip.analysis.levels import (
    FACTORS,
    NEUTRAL,
    Levels,
    axes_of,
    inert,
    level_label,
    levels_of,
    scale_axes,
    size_axes,
)
from bitskip.analysis.metrics import metric_named
from bitskip.errors import UserError
from bitskip.predict.features import encode
from bitskip.predict.kernel_ridge import graded_covariance
from bitskip.store.schema import FINISHED, Status
from bitskip.trial.canonical_form import asked_split
from bitskip.trial.config import AXES, PLACES, TrialConfig, make_trial
from bitskip.trial.cost import estimate

if TYPE_CHECKING:
    from bitskip.store.tables import Results

INTERACTION_SHARE = 0.2
"""Prior variance of pairs over that of single effects: interactions are expected to be smaller."""

NOISE = 0.05
"""Of one trial, over the prior variance of single effects."""

CORNERS = 4
"""One in so many of the trials anchors headline pairs. All corners at once would cost a design of 16 runs dearly."""

ENOUGH_CONFIGURATIONS = 0.3
"""Share of the space after which open verdicts come before further configurations."""

FEW_SEEDS = 8
"""A verdict that needs more is not worth the trials."""


@dataclass(frozen=True)
class Suggestion:
    """A trial, why it is worth running, and its estimated seconds on one core."""

    trial: TrialConfig
    reason: str
    seconds: float


def suggest(
    results: Results | None, space: Iterable[TrialConfig], n: int, *, by_cost: bool = True, metric: str = "ppl"
) -> list[Suggestion]:
    """n trials from the configurations of a space (whatever their seeds) that the results lack.

    Without results, a design from nothing. A configuration that has failed before counts as run. `by_cost` divides what
    a trial teaches by its estimated seconds, so that small models come first; open verdicts are those on the `metric`.
    """
    metric_named(metric)
    configurations = list({trial.configuration_id: dataclasses.replace(trial, seed=0) for trial in space}.values())
    found = strata(results) if results is not None else []
    chosen: list[Suggestion] = []
    for own, members in _by_family(configurations, families(found)):
        chosen += _Planner(members, own, by_cost, metric).plan(n)
    # Several families are rare: each has its own order, the first come first.
    return chosen[:n]


def _by_family(
    configurations: Sequence[TrialConfig], known: Sequence[Family]
) -> list[tuple[Family | None, list[TrialConfig]]]:
    """Configurations with the first family whose scale they have, and those without one by what they share."""
    shared = [name for name in scale_axes() if name not in (*size_axes(), "data.files")]
    grouped: dict[object, tuple[Family | None, list[TrialConfig]]] = {}
    for trial in configurations:
        axes = trial.axes()
        own = next((family for family in known if all(family.scale[n] in (axes[n], TUNED) for n in shared)), None)
        key = id(own) if own else tuple(axes[name] for name in shared)
        grouped.setdefault(key, (own, []))[1].append(trial)
    return list(grouped.values())


def measured_space(results: Results) -> dict[TrialConfig, tuple[str, ...]]:
    """The full crossing of what was measured at the scale with most trials, less what cannot be built.

    With every trial go the axes that were tuned at that scale.
    """
    found: dict[TrialConfig, tuple[str, ...]] = {}
    for stratum in strata(results)[:1]:
        levels = [sorted({cell.levels[index] for cell in stratum.cells}, key=repr) for index in range(len(FACTORS))]
        for combination in itertools.product(*levels):
            with contextlib.suppress(UserError):
                chosen = inert(combination)
                found[make_trial(**{**stratum.settings(chosen), **axes_of(chosen)})] = stratum.tuned
    return found


def sweep_documents(
    trials: Sequence[TrialConfig], name: str = "suggested", tuned: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, Any]]:
    """Sweep files, as plain data, that run exactly these trials: one for each list of seeds that configurations share.

    What all trials have in common stands under `base`, the rest under `points`. `tuned` maps configuration ids to the
    axes that are tuned there: trials that differ in these go to different files.
    """
    seeds: dict[str, list[int]] = {}
    configurations: dict[str, TrialConfig] = {}
    for trial in trials:
        configurations.setdefault(trial.configuration_id, trial)
        seeds.setdefault(trial.configuration_id, []).append(trial.seed)
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[TrialConfig]] = {}
    for configuration_id, trial in configurations.items():
        axes = tuple((tuned or {}).get(configuration_id, ()))
        groups.setdefault((tuple(sorted(seeds[configuration_id])), axes), []).append(trial)
    documents = []
    for number, ((shared, axes), members) in enumerate(groups.items(), start=1):
        settings = [_settings(trial) for trial in members]
        base = {key: value for key, value in settings[0].items() if all(own.get(key) == value for own in settings)}
        points = {
            f"s{index}": {key: value for key, value in own.items() if key not in base}
            for index, own in enumerate(settings, start=1)
        }
        document = {"name": name if number == 1 else f"{name}-{number}", "base": base, "points": points}
        document |= {"tuned": {axis: [] for axis in axes}} if axes else {}
        documents.append(document | {"seeds": list(shared)})
    return documents


def _settings(trial: TrialConfig) -> dict[str, Any]:
    """Every axis that is not at its default; those whose default depends on another axis always."""
    chosen = {}
    for name, entry in AXES.items():
        value = entry.read(trial)
        if name not in ("seed", *PLACES) and (value != entry.default or name in ("bits", "weights", "phase")):
            chosen[name] = list(value) if isinstance(value, tuple) else value
    return chosen | asked_split(trial.data)


class _Planner:
    """Greedy choice among the configurations of one family. `seeds` are those run or chosen, by configuration."""

    def __init__(
        self, configurations: Sequence[TrialConfig], family: Family | None, by_cost: bool, metric: str
    ) -> None:
        self.metric = metric
        self.family = family
        self.by_cost = by_cost
        self.trials = {levels_of(trial.axes()): trial for trial in configurations}
        self.costs = {levels: estimate(trial).seconds for levels, trial in self.trials.items()}
        self.seeds: dict[Levels, set[int]] = {}
        self.known: set[Levels] = set()
        for cell in family.cells if family else ():
            seeds = {row["seed"] for row in cell.rows if row["status"] in FINISHED}
            if seeds:
                self.seeds[cell.levels] = seeds
            if cell.count(Status.OK):
                self.known.add(cell.levels)
        shared = Counter(seed for seeds in self.seeds.values() for seed in seeds)
        self.seed = min(shared, key=lambda seed: (-shared[seed], seed)) if shared else 0
        order = list(dict.fromkeys([*self.trials, *self.known]))
        self.place = {levels: position for position, levels in enumerate(order)}
        encoding = encode(order, configurations[0].model.layers)
        self.covariance = np.ones((len(order), len(order)))
        if encoding.factors:
            codes = encoding.codes(order)
            self.covariance = graded_covariance(INTERACTION_SHARE, codes, codes)
        for levels in sorted(self.known, key=repr):
            self._observe(levels)

    def plan(self, n: int) -> list[Suggestion]:
        chosen: list[Suggestion] = []

        def take(stage: Iterator[Suggestion], most: int = n) -> None:
            chosen.extend(itertools.islice(stage, max(0, min(most, n - len(chosen)))))

        take(self._corners(), n // CORNERS)
        take(self._configurations(uncovered=True))
        enough = math.ceil(ENOUGH_CONFIGURATIONS * len(self.trials))
        take(self._configurations(), enough - sum(each in self.seeds for each in self.trials))
        chosen += self._for_verdicts(n - len(chosen))
        take(self._configurations())
        take(self._fewest())
        return chosen

    def _observe(self, levels: Levels) -> None:
        """Condition on a configuration that is, or will be, measured."""
        place = self.place[levels]
        column = self.covariance[:, place].copy()
        self.covariance -= np.outer(column, column) / (column[place] + NOISE)

    def _take(self, levels: Levels, seed: int, reason: str) -> Suggestion:
        self.seeds.setdefault(levels, set()).add(seed)
        return Suggestion(dataclasses.replace(self.trials[levels], seed=seed), reason, self.costs[levels])

    def _run(self, levels: Levels, reason: str) -> Suggestion:
        self.known.add(levels)
        self._observe(levels)
        return self._take(levels, self.seed, reason)

    def _corners(self) -> Iterator[Suggestion]:
        cells = tuple(Cell(levels, ()) for levels in sorted({*self.trials, *self.known}, key=repr))
        for levels in headline_cells(Stratum("", {}, cells, baseline_of(cells))):
            if levels in self.trials and levels not in self.seeds:
                yield self._run(levels, "a corner of a headline pair")

    def _configurations(self, *, uncovered: bool = False) -> Iterator[Suggestion]:
        """New configurations, those worth most first; with `uncovered`, only such as bring new pairs together."""
        while True:
            fresh = {levels: self._uncovered(levels) for levels in self.trials if levels not in self.seeds}
            fresh = {levels: pairs for levels, pairs in fresh.items() if pairs or not uncovered}
            if not fresh:
                return
            best = max(fresh, key=lambda levels: (self._worth(levels, len(fresh[levels])), repr(levels)))
            reason = "largest gain in information for its cost"
            if fresh[best]:
                more = f" and {len(fresh[best]) - 1} other pairs" if len(fresh[best]) > 1 else ""
                reason = f"{' and '.join(fresh[best][0])}{more} were never run together"
            yield self._run(best, reason)

    def _worth(self, levels: Levels, uncovered: int) -> float:
        variance = float(self.covariance[self.place[levels], self.place[levels]])
        gain = uncovered + math.log1p(max(variance, 0.0) / NOISE)
        return gain / self.costs[levels] if self.by_cost else gain

    def _uncovered(self, levels: Levels) -> list[tuple[str, str]]:
        """Pairs of levels, both off, that no known cell has together."""
        names = list(FACTORS)
        moved = [index for index, (level, off) in enumerate(zip(levels, NEUTRAL.values(), strict=True)) if level != off]
        return [
            (level_label(names[i], levels[i]), level_label(names[j], levels[j]))
            for i, j in itertools.combinations(moved, 2)
            if not any((own[i], own[j]) == (levels[i], levels[j]) for own in self.known)
        ]

    def _for_verdicts(self, n: int) -> list[Suggestion]:
        """One more seed for all cells of open verdicts, those nearest to being settled first."""
        chosen: list[Suggestion] = []
        for stratum in self.family.strata if self.family else ():
            for effect in _open_verdicts(stratum, self.metric):
                cells = effect_cells(stratum, effect)
                seed = next(seed for seed in itertools.count() if not all(seed in self.seeds[each] for each in cells))
                lacking = [levels for levels in cells if seed not in self.seeds[levels]]
                if len(chosen) + len(lacking) <= n and all(levels in self.trials for levels in lacking):
                    reason = f"the verdict on {' x '.join(effect.techniques)} hangs on seeds"
                    chosen += [self._take(levels, seed, reason) for levels in lacking]
        return chosen

    def _fewest(self) -> Iterator[Suggestion]:
        while True:
            levels = min(self.trials, key=lambda each: (len(self.seeds[each]), repr(each)))
            seed = next(seed for seed in itertools.count() if seed not in self.seeds[levels])
            yield self._take(levels, seed, "every configuration was run: one with fewest seeds")


def _open_verdicts(stratum: Stratum, metric: str) -> list[Effect]:
    """Anchored composition effects that few seeds would settle, headlines first, then the nearest."""
    effects = stratum_effects(stratum, metric, metric_named(metric), 2, ("anchored",))
    near = [e for e in effects if e.verdict == UNRESOLVED and e.more_seeds is not None and e.more_seeds <= FEW_SEEDS]
    return sorted(near, key=lambda effect: (effect.family != "headline", effect.more_seeds or 0))
