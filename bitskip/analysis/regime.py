"""The regime of a scale: how large, how long and at which rates its models were trained (docs/effects.md, Regime).

Trained on few tokens a parameter, a model is limited by how fast it learns and not by what it can hold: what speeds
early optimization looks good there, and the order of techniques can turn with more tokens. Ouyang et al. (arXiv
2411.17691) and Kumar et al. (arXiv 2411.04330) find low-bit models good while undertrained and worse with tokens.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import Stratum
from bitskip.analysis.rates import RATE, Search, searches
from bitskip.trial.config import ModelConfig, TrainingConfig
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER, non_embedding_parameters
from bitskip.trial.schedule import step_count

UNDERTRAINED = "undertrained"
RATE_OPEN = "rate open"
NOT_SEARCHED, AT_OPTIMUM, OFF_OPTIMUM, AT_EDGE = "not searched", "at its optimum", "off its optimum", "at an edge"


@dataclass(frozen=True)
class Regime:
    """`parameters` are those without embedding and head; `lr` is None where each configuration has its own.

    `rate` says where the learning rate lies in its search, three rates or more with the same seeds and all else equal:
    at an edge if the first or the last rate was the best one of some configuration, so that its optimum is not known.
    `mark` is what no statement about the scale leaves out: undertrained, rate open, both, or empty.
    """

    parameters: int
    tokens: int
    tokens_per_parameter: float
    steps: int
    batch_size: int
    seq_len: int
    lr: float | None
    rate: str
    mark: str


def regimes(found: Sequence[Stratum]) -> list[Regime]:
    """Of each of the strata; a search may lie in the others."""
    known = {_but_rate(next(iter(search.strata.values())).scale): search for search in searches(found)}
    return [_regime(stratum, known.get(_but_rate(stratum.scale))) for stratum in found]


def _but_rate(scale: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple((name, value) for name, value in scale.items() if name != RATE)


def _regime(stratum: Stratum, search: Search | None) -> Regime:
    scale = stratum.scale
    sizes = {name.partition(".")[2]: value for name, value in scale.items() if name.startswith("model.")}
    parameters, tokens = non_embedding_parameters(ModelConfig(**sizes)), int(scale["tokens"])
    recipe = {name: scale[name] for name in ("training", "tokens", "batch_size", "seq_len")}
    training = TrainingConfig(**recipe)
    rate = _place_of_rates(stratum, search)
    few = training.training == "scratch" and tokens / parameters < FEWEST_TOKENS_PER_PARAMETER
    marks = [UNDERTRAINED] * few + [RATE_OPEN] * (rate == AT_EDGE)
    return Regime(
        parameters,
        tokens,
        tokens / parameters,
        step_count(training),
        training.batch_size,
        training.seq_len,
        None if RATE in stratum.tuned else float(scale[RATE]),
        rate,
        ", ".join(marks),
    )


def _place_of_rates(stratum: Stratum, search: Search | None) -> str:
    """The worst place that a configuration's rate has in its search."""
    arms = search.arms() if search else {}
    places = set()
    for cell in stratum.cells:
        if losses := arms.get(cell.levels):
            best = min(losses, key=lambda rate: statistics.fmean(losses[rate]))
            own = float(cell.recipe.get(RATE, stratum.scale[RATE]))
            places.add(AT_EDGE if best in (min(losses), max(losses)) else AT_OPTIMUM if own == best else OFF_OPTIMUM)
    return next((place for place in (AT_EDGE, OFF_OPTIMUM, AT_OPTIMUM) if place in places), NOT_SEARCHED)
