"""Core-hours to an interval: composition effects of the committed grids and ladder, ours against a shell loop's.

Run: python benchmarks/core_hours.py    (half a minute; its table stands in docs/effects.md)

Ours is what ran: canonical trials once, with shared trunks and prefixes, every cell on the same seeds; an effect's
half-width is half of its 95 % interval by its own values by seed. The shell loop runs every point of the file from the
start and each cell on seeds of its own: the variance of an effect is the sum of w² s² / n over its cells, w its weight
and s² the variance of the cell's trials over seeds, with Satterthwaite's degrees of freedom. The error of the held-out
text is the same for both and left out. A field is the root mean square over the composition effects of a scale, because
the error of a single one has few degrees of freedom. The last two columns divide the hours of ours by those that the
shell loop needs for the same standard error, and for the same half-width.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitskip import load_results, load_sweep
from bitskip.analysis.contrasts import Treatment, moebius, treated, treatment_combinations
from bitskip.analysis.effects import stratum_effects
from bitskip.analysis.factorial import Stratum, strata
from bitskip.analysis.levels import INDEX, Levels, level_label
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.student_t import student_t_quantile

ROOT = Path(__file__).parent.parent / "results"
SWEEPS = ("ladder/ladder_bits", "reference/grid", "reference/grid_wikitext")
PPL = METRICS["ppl"]
LARGEST = 1e4
"""Seeds of the shell loop, at most."""


@dataclass(frozen=True)
class Line:
    """Of a scale: hours as run and of the shell loop at as many seeds, half-widths, and the hours for ours."""

    scale: str
    seeds: int
    hours: float
    loop_hours: float
    half: float
    loop_half: float
    equal_error: float
    equal_half: float

    @property
    def text(self) -> str:
        widths = (f"{100 * math.expm1(width):.1f} %" for width in (self.half, self.loop_half))
        hours = (f"{hours:.3g}" for hours in (self.hours, self.loop_hours))
        ratios = (f"{self.hours / hours:.2f}" for hours in (self.equal_error, self.equal_half))
        return f"| {self.scale} | {self.seeds} | {' | '.join((*hours, *widths, *ratios))} |"


def line(stratum: Stratum, points: float) -> Line | None:
    """`points` are those of the file for each distinct trial. None where no composition effect has an interval."""
    found = stratum_effects(stratum, "ppl", PPL, 2)
    effects = {e.techniques: e for e in found if e.estimand == "averaged" and e.se and e.df}
    variances = {
        cell.levels: statistics.variance(values)
        for cell in stratum.cells
        if len(values := list(cell.values(PPL).values())) > 1
    }
    parts = {
        labels: [weight**2 * variances[levels] for levels, weight in weights(stratum, treatments, variances).items()]
        for treatments in treatment_combinations(stratum, 2)
        if (labels := tuple(level_label(*each) for each in treatments)) in effects
    }
    if not parts:
        return None
    rows = [row for cell in stratum.cells for row in cell.rows]
    alone = sum((row["train_seconds"] or 0.0) + (row["eval_seconds"] or 0.0) for row in rows) / 3600
    shared = sum(row.get("shared_seconds") or 0.0 for row in rows) / 3600
    seeds = max(effect.seeds for effect in effects.values())

    def error(n: float) -> float:
        return root_mean_square(math.sqrt(sum(own) / n) for own in parts.values())

    def half(n: float) -> float:
        return root_mean_square(reach(own, n) * math.sqrt(sum(own) / n) for own in parts.values())

    own = [math.sqrt(max(effect.se**2 - (effect.text_se or 0.0) ** 2, 0.0)) for effect in effects.values()]
    ours = root_mean_square(
        student_t_quantile(0.975, effect.df) * se for effect, se in zip(effects.values(), own, strict=True)
    )
    a_seed = alone * points / seeds
    return Line(
        stratum.label,
        seeds,
        alone - shared,
        a_seed * seeds,
        ours,
        half(seeds),
        a_seed * needed(error, root_mean_square(own)),
        a_seed * needed(half, ours),
    )


def weights(stratum: Stratum, treatments: Sequence[Treatment], known: Collection[Levels]) -> dict[Levels, float]:
    """Of an effect's cells: the mean over the settings of the others at which all of them are known."""
    off = [(factor, stratum.baseline[INDEX[factor]]) for factor, _ in treatments]
    settings = dict.fromkeys(treated(levels, off) for levels in known)
    found = [each for at in settings if (each := moebius(at, treatments)) and each.keys() <= set(known)]
    total: Counter[Levels] = Counter()
    for each in found:
        total.update({levels: weight / len(found) for levels, weight in each.items()})
    return dict(total)


def reach(own: Sequence[float], n: float) -> float:
    return student_t_quantile(0.975, (n - 1) * sum(own) ** 2 / sum(part**2 for part in own))


def root_mean_square(values: Iterable[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))


def needed(width: Callable[[float], float], wanted: float) -> float:
    """Seeds, 2 at least, at which a width that falls with them is as wanted."""
    low, high = 2.0, LARGEST
    if width(low) <= wanted:
        return low
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if width(middle) > wanted else (low, middle)
    return high


def lines() -> Iterator[Line]:
    for name in SWEEPS:
        # Points are counted with a text that is always here.
        sweep = load_sweep(ROOT / name / "sweep.yaml", overrides=["base.data=stories"])
        points = sweep.cells / len(sweep.trials)
        yield from filter(None, (line(stratum, points) for stratum in strata(load_results(ROOT / name))))


if __name__ == "__main__":
    heads = (
        "scale",
        "seeds",
        "core-hours",
        "of the loop",
        "half-width",
        "of the loop",
        "same error",
        "same half-width",
    )
    print(f"| {' | '.join(heads)} |")
    print(f"| {' | '.join('---' for _ in heads)} |")
    found = list(lines())
    for each in found:
        print(each.text)
    ours = sum(each.hours for each in found)
    for what, needs in (
        ("standard error", [each.equal_error for each in found]),
        ("half-width", [each.equal_half for each in found]),
    ):
        ratios = statistics.median(each.hours / hours for each, hours in zip(found, needs, strict=True))
        print(
            f"same {what}: {ours:.2f} core-hours against {sum(needs):.2f} over all scales, ratio "
            f"{ours / sum(needs):.2f}; median of the scales {ratios:.2f}"
        )
