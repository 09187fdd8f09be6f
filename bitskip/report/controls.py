"""What a comparison is held against: a shallow model trained alone, and full precision of as many bytes or FLOPs."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bitskip.analysis.effects import compare
from bitskip.analysis.factorial import SEQUENCES, Cell, Stratum
from bitskip.analysis.levels import INDEX, NEUTRAL, Levels, cell_label, with_level
from bitskip.analysis.metrics import METRICS, Row
from bitskip.report.numbers import AloneExit, EqualCost, FullPrecision
from bitskip.store.schema import Status
from bitskip.techniques import registry
from bitskip.techniques.phases import Phases
from bitskip.trial.config import PLACES, RECIPE_AXES, ModelConfig, model_label, stored_trial
from bitskip.trial.cost import estimate

PPL = METRICS["ppl"]
QUANTIZING = ("bits", "weight_bits", "kv_bits", "hadamard")
"""Factors that are off in full precision; the others are as in what is compared with it."""


def alone_exits(stratum: Stratum, others: Sequence[Stratum], exits: Mapping[str, Sequence[Row]]) -> Iterator[AloneExit]:
    """Every trained exit E beside the model of E blocks of the same recipe that was trained alone, where there is one.

    Alone means without early-exit training; ratios are of perplexities, over the seeds that both have.
    """
    depth = stratum.scale["model.layers"]
    shallow = {
        int(other.scale["model.layers"]): {_techniques(cell.levels): cell for cell in other.cells if cell.values(PPL)}
        for other in others
        if _apart(other.scale, ("model.layers",)) == _apart(stratum.scale, ("model.layers",))
    }
    for cell in stratum.cells:
        plain = _alone(cell.levels)
        if plain == cell.levels:
            continue
        for layer in sorted(shallow):
            beside = shallow[layer].get(_techniques(plain))
            at_exit = _at_exit(cell, exits, layer)
            if layer >= depth or beside is None or not at_exit.values(PPL):
                continue
            found = compare(PPL, at_exit, beside)
            ends = (found.interval() if found else None) or (None, None)
            ratio, low, high = (None if v is None else math.exp(v) for v in (found and found.value, *ends))
            label, ppl = cell_label(cell.levels, stratum.baseline), _ppl(at_exit)
            yield AloneExit(label, layer, depth, ppl, _ppl(beside), ratio, low, high, found.seeds if found else 0)


def _techniques(levels: Levels) -> Levels:
    """Without the sizes."""
    return levels[: INDEX["model"]]


def _alone(levels: Levels) -> Levels:
    """The same without what early exits are trained with."""
    for kind in registry.techniques():
        if kind.trained_in_phase_2 or kind is Phases:
            for factor in kind.factors():
                levels = with_level(levels, factor, NEUTRAL[factor])
    return levels


def _apart(scale: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    """What a scale is beside some axes, with text told by its content."""
    placed = {place for digest, place in PLACES.items() if scale[digest]}
    return {name: value for name, value in scale.items() if name not in placed and name not in left_out}


def _at_exit(cell: Cell, exits: Mapping[str, Sequence[Row]], layer: int) -> Cell:
    """The cell with the measures of an exit in place of the full model's."""
    found = []
    for row in cell.rows:
        here = next((each for each in exits.get(row["trial_id"], ()) if each["exit_layer"] == layer), None)
        if here is not None:
            found.append({**row, "loss": here["loss"], "ppl": here["ppl"], SEQUENCES: None})
    return dataclasses.replace(cell, rows=tuple(found))


def _ppl(cell: Cell) -> float:
    return statistics.fmean(map(math.exp, cell.values(PPL).values()))


def equal_costs(stratum: Stratum, others: Sequence[Stratum]) -> Iterator[EqualCost]:
    """Every quantized configuration beside full precision of as many parameters, bytes and training FLOPs.

    Candidates are of the same text, differ in size, tokens and recipe, and have the same techniques beside those that
    quantize; without two sizes among them there is nothing to choose from.
    """
    free = (*RECIPE_AXES, "tokens", *(name for name in stratum.scale if name.startswith("model.")))
    alike = [other for other in others if _apart(other.scale, free) == _apart(stratum.scale, free)]
    full = [(other, cell) for other in alike for cell in other.cells if _full(cell.levels) == cell.levels]
    found = [(_techniques(cell.levels), _full_precision(other, cell)) for other, cell in full if _weighed(cell)]
    for cell in stratum.cells:
        plain = _full(cell.levels)
        beside = [each for techniques, each in found if techniques == _techniques(plain)]
        if plain == cell.levels or not _weighed(cell) or len({each.weight_bytes for each in beside}) < 2:
            continue
        own = _full_precision(stratum, cell)
        same = (each for each in beside if (each.model, each.tokens) == (own.model, own.tokens))
        yield EqualCost(
            cell_label(cell.levels, stratum.baseline),
            own.ppl,
            own.weight_bytes,
            own.flops,
            next(same, None),
            min(beside, key=_nearest(own, "weight_bytes", "flops")),
            min(beside, key=_nearest(own, "flops", "weight_bytes")),
        )


def _weighed(cell: Cell) -> bool:
    """Whether it has a perplexity and a size: trials of another trainer may lack either."""
    return bool(cell.values(PPL)) and all(row.get("weight_bytes") for row in cell.rows if row["status"] == Status.OK)


def _full(levels: Levels) -> Levels:
    for factor in QUANTIZING:
        levels = with_level(levels, factor, NEUTRAL[factor])
    return levels


def _nearest(own: FullPrecision, *names: str) -> Callable[[FullPrecision], tuple[float, ...]]:
    """How far another lies in these costs, as ratios; the first decides."""
    return lambda other: tuple(round(abs(math.log(getattr(other, n) / getattr(own, n))), 9) for n in names)


def _full_precision(stratum: Stratum, cell: Cell) -> FullPrecision:
    row = next(row for row in cell.rows if row["status"] == Status.OK and row.get("weight_bytes") is not None)
    sizes = {name: stratum.scale[f"model.{name}"] for name in vars(ModelConfig())}
    trial = stored_trial(row)
    model, tokens = model_label(ModelConfig(**sizes)), trial.training.tokens
    return FullPrecision(model, tokens, _ppl(cell), int(row["weight_bytes"]), estimate(trial).flops)
