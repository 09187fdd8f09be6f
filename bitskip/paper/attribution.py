"""Which defect of the published code makes which number: each added alone, each removed alone (docs/report.md, Causes).

A model is a set of techniques; its *correct* run has no defect, its *published* run has all that the results hold. The
order of `as-published`, which quantizes before it rotates, counts as a defect of `bitnet-v2`. Perplexities are compared
as logarithms, paired by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bitskip.analysis.factorial import Cell, Stratum
from bitskip.analysis.levels import INDEX, NEUTRAL, TECHNIQUES, Levels, cell_label, levels_of, with_level
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.regime import regimes
from bitskip.analysis.student_t import mean_estimate
from bitskip.store.schema import NO_LOSS
from bitskip.trial.config import AXES, POINTS, make_trial

ORDER = "quantizes before it rotates"
DEFECTS: tuple[str, ...] = tuple(name for name, entry in AXES.items() if entry.group == "artefacts")


@dataclass(frozen=True)
class Run:
    """Perplexity of one configuration: geometric mean over `seeds` finished trials, `sd` of its logarithm.

    `failed` trials diverged or stalled and are in neither.
    """

    ppl: float | None
    sd: float | None
    seeds: int
    failed: int
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """Ratio of perplexities with its 95 % interval (Student's t over the shared seeds; None with a single one)."""

    ratio: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Cause:
    """One defect: `added` to the correct model, and the published model with it over the one without (`removed`)."""

    defect: str
    alone: Run | None
    added: Change | None
    without: Run | None
    removed: Change | None


@dataclass(frozen=True)
class Attribution:
    """A model at one scale. `total` is published over correct, which may be `below_counting`: then nothing is found.

    `regime` is the mark of the scale (`analysis.regime`).
    """

    model: str
    scale: str
    correct: Run | None
    published: Run | None
    total: Change | None
    causes: tuple[Cause, ...]
    below_counting: bool = False
    regime: str = ""


def attributions(strata: Sequence[Stratum]) -> list[Attribution]:
    """Of every model that was run with two sets of defects or more, at every scale; `strata` include artefacts."""
    found = []
    for stratum, regime in zip(strata, regimes(strata), strict=True):
        models: dict[Levels, dict[frozenset[str], Cell]] = {}
        for cell in stratum.cells:
            model, defects = _told_apart(cell.levels)
            models.setdefault(model, {})[defects] = cell
        found += [_attribution(model, cells, stratum, regime.mark) for model, cells in models.items() if any(cells)]
    return [each for each in found if each.causes]


def _told_apart(levels: Levels) -> tuple[Levels, frozenset[str]]:
    """A cell's model without defects, and its defects."""
    defects = {name for name in DEFECTS if levels[INDEX[name]] != NEUTRAL[name]}
    for name in defects:
        levels = with_level(levels, name, NEUTRAL[name])
    if levels[INDEX["hadamard"]][0] == "as-published":
        defects.add(ORDER)
        levels = with_level(levels, "hadamard", ("bitnet-v2", *levels[INDEX["hadamard"]][1:]))
    return levels, frozenset(defects)


def _attribution(model: Levels, cells: Mapping[frozenset[str], Cell], stratum: Stratum, mark: str) -> Attribution:
    everything = frozenset().union(*cells)
    correct, published = cells.get(frozenset()), cells.get(everything)
    causes = []
    for defect in (*DEFECTS, ORDER):
        alone, without = cells.get(frozenset({defect})), cells.get(everything - {defect})
        if defect in everything and (alone or without):
            added, removed = _change(alone, correct), _change(published, without)
            causes.append(Cause(_defect_label(defect), _run(alone), added, _run(without), removed))
    shown = tuple(sorted(causes, key=_size, reverse=True))
    total = _change(published, correct) if everything else None
    below = correct is not None and correct.below_counting
    runs = (_run(correct), _run(published))
    return Attribution(_name(model, stratum), stratum.label, *runs, total, shown, below, mark)


def _size(cause: Cause) -> float:
    return max(abs(math.log(change.ratio)) if change else 0.0 for change in (cause.added, cause.removed))


def _name(model: Levels, stratum: Stratum) -> str:
    techniques = len(TECHNIQUES)
    for name, axes in POINTS.items():
        if levels_of(make_trial(**axes).axes())[:techniques] == model[:techniques]:
            return name
    return cell_label(model, stratum.baseline)


def _defect_label(defect: str) -> str:
    """As it is written in a sweep file."""
    if defect == ORDER:
        return ORDER
    entry = AXES[defect]
    flag = isinstance(entry.default, bool)
    value = not entry.default if flag else next(each for each in entry.choices or (0,) if each != entry.default)
    return f"{defect}: {str(value).lower() if flag else value}"


def _values(cell: Cell) -> dict[int, float]:
    return cell.values(METRICS["ppl"])


def _run(cell: Cell | None) -> Run | None:
    if cell is None:
        return None
    values = _values(cell).values()
    mean = math.exp(statistics.fmean(values)) if values else None
    sd = statistics.stdev(values) if len(values) > 1 else None
    ids = tuple(row["trial_id"] for row in cell.rows)
    return Run(mean, sd, len(values), cell.count(*NO_LOSS), ids)


def _change(cell: Cell | None, reference: Cell | None) -> Change | None:
    if cell is None or reference is None or cell is reference:
        return None
    first, second = _values(cell), _values(reference)
    return change([first[seed] - second[seed] for seed in first.keys() & second.keys()])


def change(differences: Collection[float]) -> Change | None:
    """Mean of paired differences of log perplexity, as a ratio; None without any."""
    if not differences:
        return None
    found = mean_estimate(differences)
    low, high = map(math.exp, found.interval() or ()) if found.se is not None else (None, None)
    return Change(math.exp(found.value), low, high, found.seeds)
