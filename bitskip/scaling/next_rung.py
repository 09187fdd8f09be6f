"""The next rung worth its hours: what it would tell of the effects farther on, by the laws, beside what it costs.

A rung's worth is what its measurement is expected to tell of every effect one rung beyond the ladder: with the laws'
covariance C of candidate and target, and the noise s² of a rung, -1/2 ln(1 - C(c, t)² / (C(t, t) (C(c, c) + s²))) nats
(Lindley, Ann. Math. Stat. 27, 1956, for normal errors). Where no law fits, their errors are widened by the root of chi²
per degree of freedom (Birge), as they are along the ladder.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum, strata
from bitskip.analysis.levels import level_label
from bitskip.analysis.student_t import student_t_quantile, student_t_tail
from bitskip.errors import UserError
from bitskip.scaling.along import chi_square, scalings
from bitskip.scaling.contrast_laws import FARTHEST, FEWEST_VALUES, LEVEL, Scaling, fitted, interval, missing
from bitskip.scaling.ladder import Effects, scale_of
from bitskip.scaling.laws import SMALLEST, mix
from bitskip.trial.config import PRESETS, ModelConfig, model_label
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER, non_embedding_parameters

if TYPE_CHECKING:
    from bitskip.store.tables import Results

SIZES = ("layers", "width", "heads", "kv_heads", "ffn_width")
"""What a preset of a ladder sets."""

SAME = 1.1
"""Budgets in tokens a parameter that differ by a smaller factor are one: they are rounded to whole batches."""

GROWTH = 4.0
"""By how much a budget grows beyond the longest one where only one was run."""


@dataclass(frozen=True)
class OpenEffect:
    """An effect whose side of zero the laws do not know at a rung: foretold with its 90 % interval, in nats per token.

    `half` is half the interval that it would have once measured there, `decided` the probability that its side is
    known then.
    """

    techniques: tuple[str, ...]
    mean: float
    low: float
    high: float
    half: float
    decided: float


@dataclass(frozen=True)
class NextRung:
    """A rung that has not been run: `hours` on one core, one trial after another, and the `nats` it would tell.

    `sizes` are those of its model, `sweep` is what ran most of the fullest rung. None for hours where the rows do not
    say how long trials took.
    """

    model: str
    sizes: Mapping[str, int]
    parameters: int
    tokens: int
    trials: int
    hours: float | None
    nats: float
    open: tuple[OpenEffect, ...]
    sweep: str

    @property
    def tokens_per_parameter(self) -> float:
        return self.tokens / self.parameters

    @property
    def worth(self) -> float:
        """Nats an hour."""
        return self.nats / self.hours if self.hours else self.nats


@dataclass(frozen=True)
class _Place:
    """A model and a budget."""

    sizes: ModelConfig
    tokens: int

    @property
    def scale(self) -> tuple[int, int]:
        return non_embedding_parameters(self.sizes), self.tokens

    @property
    def tokens_per_parameter(self) -> float:
        return self.tokens / non_embedding_parameters(self.sizes)


def next_rungs(scaling: Scaling) -> list[NextRung]:
    """Rungs that a ladder lacks, between its own and one beyond in size or budget, the most worth an hour first.

    The largest model gets the next budget, the next preset every budget that is long enough for a finding. Nothing for
    a ladder of one size, or where no effect can be followed.
    """
    effects = list(_followed(scaling))
    models = {scale_of(stratum)[0]: _sizes_of(stratum) for stratum in scaling.ladder}
    if not effects or len(models) < 2:
        return []
    candidates, target = _candidates(scaling, models)
    asked = np.log([list(each.scale) for each in (*candidates, target)])
    fullest = max(scaling.ladder, key=lambda stratum: (len(stratum.cells), stratum.finished, scale_of(stratum)))
    trials = len(fullest.cells) * max(len(cell.rows) for cell in fullest.cells)
    sweep = Counter(str(row.get("sweep")) for cell in fullest.cells for row in cell.rows).most_common(1)[0][0]
    seconds, told = _speeds(scaling.ladder), [_told(labels, own, asked) for labels, own in effects]
    found = []
    for at, place in enumerate(candidates):
        found.append(
            NextRung(
                model_label(place.sizes),
                {name: getattr(place.sizes, name) for name in SIZES},
                *place.scale,
                trials,
                seconds and trials * seconds(*place.scale) / 3600,
                math.fsum(nats[at] for nats, _ in told),
                tuple(effect for _, by_place in told if (effect := by_place[at])),
                sweep,
            )
        )
    return sorted(found, key=lambda rung: -rung.worth)


def next_rungs_of(results: Results) -> list[NextRung]:
    """Those of the ladder with most rungs, as `next_rungs`; nothing where no ladder was run."""
    ladders = scalings(strata(results), "ppl")
    return next_rungs(ladders[0]) if ladders else []


def _followed(scaling: Scaling) -> Iterator[tuple[tuple[str, ...], Effects]]:
    """Main and composition effects that have an error, at as many rungs as a law needs."""
    for treatments in (*scaling.measured(1), *scaling.measured(2)):
        with contextlib.suppress(UserError):
            effects = scaling.effects(treatments)
            if len(effects.rungs) >= FEWEST_VALUES:
                yield tuple(level_label(*each) for each in treatments), effects


def _sizes_of(stratum: Stratum) -> ModelConfig:
    return ModelConfig(**{name: stratum.scale[f"model.{name}"] for name in vars(ModelConfig())})


def _candidates(scaling: Scaling, models: Mapping[int, ModelConfig]) -> tuple[list[_Place], _Place]:
    """Places that have not been run, and the target: one beyond in size at the longest budget, else in budget alone."""
    kinds = [_distinct(tokens / parameters for parameters, tokens in scaling.scales)]
    kinds += [_distinct(tokens for _, tokens in scaling.scales)]
    budgets = min(kinds, key=len)  # a ladder's budgets are alike in tokens a parameter, or in tokens
    longest = budgets[-1] * (budgets[-1] / budgets[-2] if len(budgets) > 1 else GROWTH)
    largest = models[max(models)]
    batches = {int(stratum.scale["batch_size"]) for stratum in scaling.ladder if "batch_size" not in stratum.tuned}
    batch = math.lcm(int(scaling.ladder[0].scale["seq_len"]), *batches)

    def place(sizes: ModelConfig, budget: float) -> _Place:
        tokens = budget * (non_embedding_parameters(sizes) if budgets is kinds[0] else 1)
        return _Place(sizes, math.ceil(tokens / batch) * batch)

    wanted = [place(sizes, budget) for sizes in models.values() for budget in budgets] + [place(largest, longest)]
    target = wanted[-1]
    above = [preset for preset in PRESETS.values() if 1 < non_embedding_parameters(preset) / max(models) <= FARTHEST]
    if above:
        smallest = min(above, key=non_embedding_parameters)
        larger = replace(largest, **{name: getattr(smallest, name) for name in SIZES})
        beyond = [place(larger, budget) for budget in budgets]
        wanted += [each for each in beyond if each.tokens_per_parameter > FEWEST_TOKENS_PER_PARAMETER / SAME]
        target = beyond[-1]
    return [each for each in wanted if not any(_alike(each.scale, scale) for scale in scaling.scales)], target


def _distinct(values: Iterable[float]) -> list[float]:
    found: list[float] = []
    for value in sorted(values):
        if not found or value > found[-1] * SAME:
            found.append(value)
    return found


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] == other[0] and max(one[1], other[1]) < SAME * min(one[1], other[1])


def _told(labels: tuple[str, ...], effects: Effects, asked: Array) -> tuple[list[float], list[OpenEffect | None]]:
    """Nats about the last place that a measurement at each of the others tells, and the effect where it is open."""
    misfit = chi_square(effects, effects.values - mix(fitted(effects, effects.places), floor=0.0).mean)
    widened = replace(effects, covariance=effects.covariance * max(1.0, misfit))
    reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
    noise = float(effects.covariance[-1, -1])
    nats, found = [], []
    lacking = bool(missing(effects.rungs, *np.exp(asked[-1])))
    mixture = mix(fitted(widened, asked), even=lacking)
    target = float(mixture.covariance[-1, -1])
    for at in range(len(asked) - 1):
        mean, variance = float(mixture.mean[at]), float(mixture.covariance[at, at])
        shared = float(mixture.covariance[at, -1]) ** 2 / (target * (variance + noise))
        nats.append(-0.5 * math.log1p(-min(shared, 1 - SMALLEST)))
        low, high = interval(mean, variance, reach)
        half, spread = reach * math.sqrt(noise), math.sqrt(variance + noise)
        decided = sum(student_t_tail((half - side * mean) / spread, effects.df) for side in (1, -1))
        found.append(OpenEffect(labels, mean, low, high, half, decided) if low < 0 < high else None)
    return nats, found


def _speeds(ladder: Sequence[Stratum]) -> Callable[[int, int], float] | None:
    """Seconds of a trial by (parameters, tokens), as its own steps and evaluation took; log-linear in parameters.

    Of a size, the longest budget counts: what a short one took is not its steps alone.
    """
    longest: dict[int, tuple[int, float, float]] = {}
    for stratum in sorted(ladder, key=scale_of):
        rows = [row for cell in stratum.cells for row in cell.rows if row.get("train_seconds")]
        if rows:
            parameters, tokens = scale_of(stratum)
            training, evaluation = (
                statistics.fmean(row.get(name) or 0.0 for row in rows) for name in ("train_seconds", "eval_seconds")
            )
            longest[parameters] = tokens, training / tokens, max(evaluation, SMALLEST)
    if len(longest) < 2:
        return None
    sizes = np.log(list(longest))
    a_token, measuring = (np.polyfit(sizes, np.log([each[i] for each in longest.values()]), 1) for i in (1, 2))

    def seconds(parameters: int, tokens: int) -> float:
        size = math.log(parameters)
        return float(tokens * math.exp(np.polyval(a_token, size)) + math.exp(np.polyval(measuring, size)))

    return seconds
