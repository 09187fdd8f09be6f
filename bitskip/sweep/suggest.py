"""The next trials worth running: those that determine single effects and pairs best (docs/prediction.md).

Configurations come before seeds: for prediction one seed of twice the configurations beats two seeds of each, and seeds
added where a verdict is near make false verdicts. They are chosen by the exchange of the `fractional` design, around
what has run. New configurations take the seed that most cells share, so that differences stay paired. Seeds come once
every configuration was run, one for each of those that have fewest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.factorial import FEWEST_RATES, TUNED, Family, Stratum, families, strata
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
    without_techniques,
)
from bitskip.analysis.regime import NOT_SEARCHED, Regime, regime_of, regimes
from bitskip.errors import UserError
from bitskip.store.schema import FINISHED
from bitskip.sweep.d_optimal import d_optimal
from bitskip.techniques.free_factors import tidy
from bitskip.techniques.registry import free_factors
from bitskip.trial.canonical_form import asked_split
from bitskip.trial.config import AXES, PLACES, RECIPE_AXES, TrialConfig, make_trial
from bitskip.trial.cost import estimate

if TYPE_CHECKING:
    from bitskip.store.tables import Results


@dataclass(frozen=True)
class Suggestion:
    """A trial, why it is worth running, its estimated seconds on one core, and the regime that it is in."""

    trial: TrialConfig
    reason: str
    seconds: float
    regime: Regime


def suggest(results: Results | None, space: Iterable[TrialConfig], n: int, *, by_cost: bool = True) -> list[Suggestion]:
    """n trials from the configurations of a space (whatever their seeds) that the results lack.

    Without results, a design from nothing. A configuration that has failed before counts as run. `by_cost` divides what
    a trial teaches by its estimated seconds, so that small models come first.
    """
    configurations = list({trial.configuration_id: dataclasses.replace(trial, seed=0) for trial in space}.values())
    found = strata(results) if results is not None else []
    chosen: list[Suggestion] = []
    for own, members in _by_family(configurations, families(found)):
        chosen += _plan(members, own, n, by_cost, known_regimes(found))
    # Several families are rare: each has its own order, the first come first.
    return chosen[:n]


def known_regimes(found: Sequence[Stratum]) -> Callable[[TrialConfig], Regime]:
    """The regime of any trial: its rate's place in a search is that of the scale which it is of."""
    places = [(stratum.scale, regime.rate) for stratum, regime in zip(found, regimes(found), strict=True)]

    def of(trial: TrialConfig) -> Regime:
        axes = trial.axes()
        same = (rate for scale, rate in places if all(value in (axes[name], TUNED) for name, value in scale.items()))
        return regime_of(trial, next(same, NOT_SEARCHED))

    return of


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


def without_searches(trials: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Points of a design: not what ran at FEWEST_RATES recipes or more, all else alike, to choose one of them."""
    alike: dict[object, list[TrialConfig]] = {}
    for trial in trials:
        fixed = tuple(item for item in trial.axes().items() if item[0] not in RECIPE_AXES)
        alike.setdefault(fixed, []).append(trial)
    return [trial for same in alike.values() if len(same) < FEWEST_RATES for trial in same]


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
    trials: Sequence[TrialConfig],
    name: str = "suggested",
    tuned: Mapping[str, Sequence[str]] | None = None,
    names: Mapping[str, str] | None = None,
    program: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Sweep files, as plain data, that run exactly these trials: one for each list of seeds that configurations share.

    What all trials have in common stands under `base`, the rest under `points`. `tuned` maps configuration ids to the
    axes that are tuned there: trials that differ in these go to different files.
    `names` maps some to the names of their points, `program` is the entry of what trains them in bitskip's place.
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
    factors = {key: kind.factor.declared() for key, kind in free_factors().items()}
    for number, ((shared, axes), members) in enumerate(groups.items(), start=1):
        settings = [_settings(trial) for trial in members]
        base = {key: value for key, value in settings[0].items() if all(own.get(key) == value for own in settings)}
        points = {
            (names or {}).get(trial.configuration_id, f"s{index}"): {k: v for k, v in own.items() if k not in base}
            for index, (trial, own) in enumerate(zip(members, settings, strict=True), start=1)
        }
        document: dict[str, Any] = {"name": name if number == 1 else f"{name}-{number}"}
        document |= {"factors": factors} if factors else {}
        document |= {**(program or {}), "base": base, "points": points}
        document |= {"tuned": {axis: [] for axis in axes}} if axes else {}
        documents.append(document | {"seeds": list(shared)})
    return documents


def _settings(trial: TrialConfig) -> dict[str, Any]:
    """Every axis that is not at its default; those whose default depends on another axis always."""
    chosen, free = {}, free_factors()
    for name, entry in AXES.items():
        value = entry.read(trial)
        if name not in ("seed", *PLACES) and (value != entry.default or name in ("bits", "weights", "phase")):
            chosen[name] = list(value) if isinstance(value, tuple) else tidy(value) if name in free else value
    return chosen | asked_split(trial.data)


def _plan(
    trials: Sequence[TrialConfig], family: Family | None, n: int, by_cost: bool, regime: Callable[[TrialConfig], Regime]
) -> list[Suggestion]:
    """n trials of one family: configurations first, then seeds for the configurations that have fewest."""
    space = {levels_of(trial.axes()): trial for trial in trials}
    costs = {levels: estimate(trial).seconds for levels, trial in space.items()}
    seeds: dict[Levels, set[int]] = {}
    for cell in family.cells if family else ():
        if run := {row["seed"] for row in cell.rows if row["status"] in FINISHED}:
            seeds[cell.levels] = run
    shared = Counter(seed for run in seeds.values() for seed in run)
    seed = min(shared, key=lambda each: (-shared[each], each)) if shared else 0
    cells = list(dict.fromkeys([*space, *seeds]))
    ran = [at for at, levels in enumerate(cells) if levels in seeds]
    # Effects are differences to the baseline: it is in every design from nothing.
    kept = ran or [at for at, levels in enumerate(cells) if levels == without_techniques(levels)][:1]
    usual = statistics.median(costs.values())
    effort = [costs.get(levels, usual) for levels in cells] if by_cost else None
    fresh = [cells[at] for at in d_optimal(cells, len(ran) + n, kept, effort) if at not in set(ran)]
    fresh = [levels for levels in fresh if levels in space][:n]
    met = {pair for levels in seeds for pair in _pairs(levels)}
    chosen = []
    while fresh:
        levels = max(fresh, key=lambda each: (len(_pairs(each) - met), repr(each)))
        fresh.remove(levels)
        reason = _reason(sorted(_pairs(levels) - met, key=repr))
        trial = dataclasses.replace(space[levels], seed=seed)
        chosen.append(Suggestion(trial, reason, costs[levels], regime(trial)))
        met |= _pairs(levels)
        seeds.setdefault(levels, set()).add(seed)
    while len(chosen) < n:
        levels = min(space, key=lambda each: (len(seeds[each]), repr(each)))
        other = next(each for each in itertools.count() if each not in seeds[levels])
        seeds[levels].add(other)
        reason = "every configuration was run: one with fewest seeds"
        trial = dataclasses.replace(space[levels], seed=other)
        chosen.append(Suggestion(trial, reason, costs[levels], regime(trial)))
    return chosen


def _pairs(levels: Levels) -> set[tuple[Treatment, ...]]:
    """Pairs of levels that are both on."""
    together = zip(FACTORS, levels, NEUTRAL.values(), strict=True)
    return set(itertools.combinations([(name, level) for name, level, off in together if level != off], 2))


def _reason(uncovered: Sequence[tuple[Treatment, ...]]) -> str:
    if not uncovered:
        return "determines single effects and pairs best"
    names = " and ".join(level_label(*treatment) for treatment in uncovered[0])
    more = f" and {len(uncovered) - 1} other pairs" if len(uncovered) > 1 else ""
    return f"{names}{more} were never run together"
