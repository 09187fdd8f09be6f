"""The next rung worth its hours: what it would tell of the effects farther on, by the laws, beside what it costs.

A rung's worth is what its measurement is expected to tell of every effect one rung beyond the ladder: with the laws'
covariance C of candidate and target, and the noise s² of a rung, -1/2 ln(1 - C(c, t)² / (C(t, t) (C(c, c) + s²))) nats
(Lindley, Ann. Math. Stat. 27, 1956, for normal errors). Where no law fits, their errors are widened by the root of chi²
per degree of freedom (Birge), as they are along the ladder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import level_label
from bitskip.analysis.student_t import student_t_quantile, student_t_tail
from bitskip.errors import UserError
from bitskip.scaling.along import chi_square
from bitskip.scaling.contrast_laws import FARTHEST, LEVEL, Scaling, fitted, missing
from bitskip.scaling.ladder import Effects, scale_of
from bitskip.scaling.laws import mix
from bitskip.store.schema import Status
from bitskip.trial.config import PRESETS, ModelConfig, model_label
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER, non_embedding_parameters

SAME = 0.1
"""Budgets in tokens a parameter that differ by less, as a logarithm, are one: they are rounded to whole batches."""

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

    `sizes` are those of its model. None for hours where the rows do not say how long trials took.
    """

    model: str
    sizes: Mapping[str, int]
    parameters: int
    tokens: int
    trials: int
    hours: float | None
    nats: float
    open: tuple[OpenEffect, ...]

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


def next_rungs(scaling: Scaling) -> list[NextRung]:
    """Rungs that a ladder lacks, between its own and one beyond in size or budget, the most worth an hour first.

    The largest model gets the next budget, the next preset every budget that is long enough for a finding. Nothing for
    a ladder of one size, or where no effect can be followed.
    """
    effects = list(_followed(scaling))
    measured = {_sizes_of(stratum): scale_of(stratum)[0] for stratum in scaling.ladder}
    if not effects or len(set(measured.values())) < 2:
        return []
    candidates, target = _candidates(scaling, measured)
    asked = np.log([list(each.scale) for each in (*candidates, target)])
    largest = max((stratum for stratum in scaling.ladder if stratum.finished), key=_fullness)
    seeds = max(len(cell.rows) for cell in largest.cells)
    seconds = _seconds(scaling.ladder)
    told = [_told(labels, own, asked) for labels, own in effects]
    found = []
    for at, place in enumerate(candidates):
        parameters, tokens = place.scale
        trials = seeds * len(largest.cells)
        found.append(
            NextRung(
                model_label(place.sizes),
                {name: getattr(place.sizes, name) for name in ("layers", "width", "heads", "kv_heads", "ffn_width")},
                parameters,
                tokens,
                trials,
                None if seconds is None else trials * _trial_seconds(seconds, parameters, tokens) / 3600,
                math.fsum(nats[at] for nats, _ in told),
                tuple(own for _, effect in told if (own := effect[at]) is not None),
            )
        )
    return sorted(found, key=lambda rung: -rung.worth)


def _followed(scaling: Scaling) -> Iterator[tuple[tuple[str, ...], Effects]]:
    """Main and composition effects that have an error at three rungs or more."""
    for treatments in (*scaling.measured(1), *scaling.measured(2)):
        try:
            effects = scaling.effects(treatments)
        except UserError:
            continue
        if len(effects.rungs) > 2:
            yield tuple(level_label(*each) for each in treatments), effects


def _fullness(stratum: Stratum) -> tuple[int, int, int]:
    """Configurations, then trials, then parameters."""
    return len(stratum.cells), stratum.finished, scale_of(stratum)[0]


def _sizes_of(stratum: Stratum) -> ModelConfig:
    return ModelConfig(**{name: stratum.scale[f"model.{name}"] for name in vars(ModelConfig())})


def _candidates(scaling: Scaling, measured: Mapping[ModelConfig, int]) -> tuple[list[_Place], _Place]:
    """Places that have not been run, and the target: one beyond in size at the longest budget, else in budget alone."""
    scales = scaling.scales
    budgets = _distinct(tokens / parameters for parameters, tokens in scales)
    longest = budgets[-1] * (budgets[-1] / budgets[-2] if len(budgets) > 1 else GROWTH)
    largest = max(measured, key=lambda sizes: measured[sizes])
    batch = max(int(s.scale["seq_len"]) * int(b) for s in scaling.ladder if isinstance(b := s.scale["batch_size"], int))
    above = sorted(
        (parameters, replace(largest, **{name: getattr(preset, name) for name in _SIZES}))
        for preset in PRESETS.values()
        if measured[largest] < (parameters := non_embedding_parameters(preset)) <= FARTHEST * measured[largest]
    )[:1] if False else _next_preset(largest, measured[largest])

    def place(sizes: ModelConfig, budget: float) -> _Place:
        return _Place(sizes, math.ceil(budget * non_embedding_parameters(sizes) / batch) * batch)

    wanted = [place(sizes, budget) for sizes in measured for budget in budgets] + [place(largest, longest)]
    wanted += [place(sizes, b) for sizes in above for b in budgets if b >= FEWEST_TOKENS_PER_PARAMETER * (1 - SAME)]
    target = place(above[0], budgets[-1]) if above else place(largest, longest)
    return [each for each in wanted if not any(_alike(each.scale, scale) for scale in scales)], target
