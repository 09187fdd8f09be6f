"""The regime of a scale: how large, how long and at which rates its models were trained (docs/effects.md, Regime).

Trained on few tokens a parameter, a model is limited by how fast it learns and not by what it can hold: what speeds
early optimization looks good there, and the order of techniques can turn with more tokens. Ouyang et al. (arXiv
2411.17691) and Kumar et al. (arXiv 2411.04330) find low-bit models good while undertrained and worse with tokens.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import TECHNIQUES, Levels, size_axes
from bitskip.analysis.rates import RATE, Search, searches
from bitskip.trial.config import RECIPE_AXES, ModelConfig, TrainingConfig, TrialConfig
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER, non_embedding_parameters
from bitskip.trial.parts import NOT_KNOWN
from bitskip.trial.schedule import step_count

UNTRAINED = "not trained"
UNDERTRAINED = "undertrained"
RATE_OPEN = "rate open"
RATE_NOT_SEARCHED = "rate not searched"
SCALE_NOT_KNOWN = "scale not known"
NOT_SEARCHED, AT_OPTIMUM, OFF_OPTIMUM, AT_EDGE = "not searched", "at its optimum", "off its optimum", "at an edge"
NOT_SEARCHED_HERE = "not searched here"

_MARKS = {AT_EDGE: RATE_OPEN, NOT_SEARCHED_HERE: RATE_NOT_SEARCHED}
_WORST_FIRST = (AT_EDGE, NOT_SEARCHED_HERE, OFF_OPTIMUM, AT_OPTIMUM)


@dataclass(frozen=True)
class Regime:
    """`parameters` are those without embedding and head; None is what each configuration has its own of.

    `rate` says where the learning rate lies in its search, three rates or more with the same seeds and all else equal:
    at an edge if the first or the last rate was the best one of some configuration, so that its optimum is not known;
    not searched here if the search of some configuration is at other sizes or budgets alone, or if rates were tuned
    and no search of this scale is there. `mark` is what no statement about the scale leaves out: undertrained, rate
    open, rate not searched, or empty; not trained where techniques were applied to a model as it is. Of models from
    `elsewhere` the recipe is not known, and of some not the scale either, which their mark then says.
    """

    parameters: int
    tokens: int
    tokens_per_parameter: float
    steps: int | None
    batch_size: int | None
    seq_len: int
    lr: float | None
    rate: str
    mark: str
    elsewhere: bool = False

    @property
    def known(self) -> bool:
        """Whether size and budget are."""
        return not (self.elsewhere and NOT_KNOWN in (self.parameters, self.tokens))


def regimes(found: Sequence[Stratum]) -> list[Regime]:
    """Of each of the strata; a search may lie in the others."""
    known, searched = {}, set()
    for search in searches(found):
        scale = next(iter(search.strata.values())).scale
        known[_but_rate(scale)] = search
        searched |= {(_of_any_size(scale), _techniques(levels)) for levels in search.arms()}
    return [_regime(stratum, known.get(_but_rate(stratum.scale)), searched) for stratum in found]


def regime_of(trial: TrialConfig, rate: str = NOT_SEARCHED) -> Regime:
    """Of a trial that may not have run; `rate` is where its learning rate lies in a search."""
    training, parameters = trial.training, non_embedding_parameters(trial.model)
    if trial.model.parameters:
        return _elsewhere(parameters, training.tokens)
    return Regime(
        parameters,
        training.tokens,
        training.tokens / parameters,
        step_count(training),
        training.batch_size,
        training.seq_len,
        training.lr,
        rate,
        mark_of(training.tokens / parameters, rate, training.training),
    )


def mark_of(tokens_per_parameter: float, rate: str, training: str = "scratch") -> str:
    """What no statement leaves out about models that were trained so; `training` is the axis."""
    undertrained = [UNDERTRAINED] * (training == "scratch" and tokens_per_parameter < FEWEST_TOKENS_PER_PARAMETER)
    if training == "none":
        return UNTRAINED
    return ", ".join([*undertrained, *filter(None, [_MARKS.get(rate)])])


def _elsewhere(parameters: int, tokens: int) -> Regime:
    """Of models whose recipe is not known."""
    known = NOT_KNOWN not in (parameters, tokens)
    ratio = tokens / parameters
    mark = mark_of(ratio, NOT_SEARCHED) if known else SCALE_NOT_KNOWN
    return Regime(parameters, tokens, ratio, None, None, 0, None, NOT_SEARCHED, mark, elsewhere=True)


def _but_rate(scale: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple((name, value) for name, value in scale.items() if name != RATE)


def _of_any_size(scale: Mapping[str, Any]) -> tuple[object, ...]:
    """What the rungs of a ladder share: its recipe goes with the size."""
    own = {*size_axes(), *RECIPE_AXES}
    return tuple((name, value) for name, value in scale.items() if name not in own)


def _techniques(levels: Levels) -> Levels:
    return levels[: len(TECHNIQUES)]


def _regime(stratum: Stratum, search: Search | None, searched: Set[tuple[object, ...]]) -> Regime:
    scale = stratum.scale
    sizes = {name.partition(".")[2]: value for name, value in scale.items() if name.startswith("model.")}
    parameters, tokens = non_embedding_parameters(ModelConfig(**sizes)), int(scale["tokens"])
    if sizes["parameters"]:
        return _elsewhere(parameters, tokens)
    batch = None if "batch_size" in stratum.tuned else int(scale["batch_size"])
    training = TrainingConfig(
        training=scale["training"], tokens=tokens, batch_size=batch or 1, seq_len=scale["seq_len"]
    )
    rate = _place_of_rates(stratum, search, searched)
    return Regime(
        parameters,
        tokens,
        tokens / parameters,
        step_count(training) if batch else None,
        batch,
        training.seq_len,
        None if RATE in stratum.tuned else float(scale[RATE]),
        rate,
        mark_of(tokens / parameters, rate, training.training),
    )


def _place_of_rates(stratum: Stratum, search: Search | None, searched: Set[tuple[object, ...]]) -> str:
    """The worst place that a configuration's rate has in its search; `searched` are those of all rungs."""
    arms = search.arms() if search else {}
    ladder, places = _of_any_size(stratum.scale), set()
    for cell in stratum.cells:
        if search and (losses := arms.get(cell.levels)):
            best = min(losses, key=lambda rate: statistics.fmean(losses[rate]))
            own = float(cell.recipe.get(RATE, stratum.scale[RATE]))
            places.add(AT_EDGE if best in _edges(search, cell.levels) else _inside(own, best, losses))
        elif (ladder, _techniques(cell.levels)) in searched or (RATE in stratum.tuned and not search):
            places.add(NOT_SEARCHED_HERE)
    return next((place for place in _WORST_FIRST if place in places), NOT_SEARCHED)


def _edges(search: Search, levels: Levels) -> tuple[float, float]:
    """The first and the last rate that was run, also where it failed: what diverges beyond a rate bounds its search."""
    ran = [rate for rate, stratum in search.strata.items() if stratum.cell(levels)]
    return min(ran), max(ran)


def _inside(own: float, best: float, rates: Iterable[float]) -> str:
    """Where a rate lies when the best one is none of the edges.

    The optimum of a parabola lies between rates, and nearer to the best of them, in factors, than to any other.
    """
    nearest = min(rates, key=lambda rate: max(rate, own) / max(min(rate, own), sys.float_info.min))
    return AT_OPTIMUM if nearest == best else OFF_OPTIMUM
