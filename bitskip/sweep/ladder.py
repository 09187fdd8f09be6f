"""Ladders: the rungs, each a model size and a token budget, at which a sweep runs its points (docs/designs.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.sweep.axes import Cell, read_axes
from bitskip.sweep.designs import DESIGNS
from bitskip.sweep.grid import Grid
from bitskip.sweep.located_yaml import Path_, Source
from bitskip.trial.config import AXES, ModelConfig, TrialConfig, make_trial, model_label
from bitskip.trial.cost import estimate, non_embedding_parameters, tokens_per_parameter

SIZES = tuple(f"model.{size}" for size in ("layers", "width", "heads", "kv_heads", "ffn_width"))
"""What a preset of a ladder sets: initial scale and the like are the recipe's."""

BUDGETS = ("tokens", "tokens_per_parameter")
KEYS = ("models", *BUDGETS, "hold_out")
HOLD_OUT = "largest"


@dataclass(frozen=True)
class Rung:
    """One model size and token budget: the axes that it sets, and the sweep's base trained there."""

    cell: Cell
    trial: TrialConfig

    @property
    def model(self) -> str:
        """The preset's name, or the sizes."""
        return model_label(ModelConfig(**{AXES[name].field: v for name, v in self.cell.items() if name != "tokens"}))

    @property
    def parameters(self) -> int:
        """Without embedding and head."""
        return non_embedding_parameters(self.trial.model)

    @property
    def tokens_per_parameter(self) -> float:
        return tokens_per_parameter(self.trial)

    def holds(self, trial: TrialConfig) -> bool:
        """Whether a trial is of this rung."""
        return all(AXES[name].read(trial) == value for name, value in self.cell.items())


@dataclass(frozen=True)
class Ladder:
    """Rungs, the cheapest first. With `hold_out`, laws are fitted without the largest first, to be judged there."""

    rungs: tuple[Rung, ...]
    hold_out: str | None = None

    @property
    def cells(self) -> list[Cell]:
        return [rung.cell for rung in self.rungs]

    def first(self, count: int, trials: Iterable[TrialConfig]) -> list[TrialConfig]:
        """The trials of the `count` cheapest rungs."""
        return [trial for trial in trials if any(rung.holds(trial) for rung in self.rungs[:count])]


def read_ladder(source: Source, base: Cell, levels: Sequence[Sequence[Cell]]) -> Ladder | None:
    """The block `ladder` of a sweep file; `levels` are those of its space.

    Budgets in tokens a parameter are rounded up to whole batches. Raises UserError, at its line, for one that makes no
    sense, and where the space, a point or the design does not go with it.
    """
    if source.content.get("ladder") is None:
        return None
    source.check_keys(("ladder",), KEYS, "key of ladder")
    models = [_model(source, index, value) for index, value in enumerate(_listed(source, "models"))]
    given = [key for key in BUDGETS if source.mapping(("ladder",)).get(key) is not None]
    if len(given) != 1:
        which = f"both {' and '.join(given)}" if given else "no budgets"
        raise source.error(
            ("ladder",), f"ladder: it has {which}; write one of {' and '.join(BUDGETS)}, such as [5, 20]"
        )
    _check_alone(source, {*itertools.chain(*models), "tokens"})
    budgets, batch = _listed(source, given[0]), _batch(base, levels)
    rungs = []
    for (at, model), (index, budget) in itertools.product(enumerate(models), enumerate(budgets)):
        with source.locate(("ladder", "models", at)):
            trial = make_trial(**base | model)
        tokens = budget
        if given[0] == "tokens_per_parameter":
            if type(budget) not in (int, float) or not 0 < budget < math.inf:
                raise source.error(
                    ("ladder", given[0], index), f"{given[0]}: expected a number above 0, got {budget!r}"
                )
            tokens = math.ceil(budget * non_embedding_parameters(trial.model) / batch) * batch
        with source.locate(("ladder", given[0], index)):
            cell = model | {"tokens": AXES["tokens"].check(tokens)}
            rungs.append(Rung(cell, make_trial(**base | cell)))
        if any(rungs[-1].cell == other.cell for other in rungs[:-1]):
            what = f"{rungs[-1].model} has the budget of {tokens:,} tokens twice; leave out what stands there twice"
            raise source.error(("ladder", given[0], index), f"ladder: {what}")
    hold_out = source.mapping(("ladder",)).get("hold_out")
    if hold_out not in (None, HOLD_OUT):
        raise source.error(("ladder", "hold_out"), f"hold_out: expected {HOLD_OUT}, or no such line, got {hold_out!r}")
    return Ladder(tuple(sorted(rungs, key=lambda rung: estimate(rung.trial).flops)), hold_out)


def _listed(source: Source, key: str) -> list[Any]:
    values = source.mapping(("ladder",)).get(key)
    if not isinstance(values, list) or not values:
        example = {"models": "[pico, nano, mini]", "tokens": "[400_000, 1_600_000]"}.get(key, "[5, 20]")
        raise source.error(("ladder", key), f"{key}: expected a list, such as {example}, got {values!r}")
    return values


def _model(source: Source, index: int, value: Any) -> Cell:
    """The sizes of a preset or of a mapping, with what else the mapping names."""
    where: Path_ = ("ladder", "models", index)
    with source.locate(where):
        cell = read_axes(source, where, {"model": value})
        named = {f"model.{key}" for key in value} if isinstance(value, Mapping) else set()
        return {name: setting for name, setting in cell.items() if name in SIZES or name in named}


def _check_alone(source: Source, names: set[str]) -> None:
    """Raises UserError where a space or point sets what is the ladder's, or the design is an adaptive one."""
    places: list[Path_] = [("space", key) for key in source.mapping(("space",))]
    places += [("points", key, axis) for key in source.mapping(("points",)) for axis in source.mapping(("points", key))]
    for place in places:
        setting = source.mapping(place[:-1])[place[-1]]
        parts = {f"model.{part}" for part in setting} if isinstance(setting, Mapping) else names
        if place[-1] in names or (place[-1] == "model" and parts & {*names, "model.preset"}):
            raise source.error(place, f"{place[0]}: '{place[-1]}' is set by the ladder; leave it out of one of the two")
    design = source.content.get("design", "full")
    name = next(iter(design), None) if isinstance(design, Mapping) else design
    if isinstance(name, str) and name in DESIGNS and DESIGNS[name].next_batch is not None:
        cure = "take full, fractional, random or ofat, which run the same points at every rung"
        raise source.error(("design",), f"design: {name} chooses by the results of one scale, here is a ladder; {cure}")


def _batch(base: Cell, levels: Sequence[Sequence[Cell]]) -> int:
    """Tokens of which a budget has a whole number whichever batch the space gives a trial."""
    cells = [base, *itertools.chain.from_iterable(levels)]
    names = ("batch_size", "seq_len")
    sizes = [{cell[name] for cell in cells if name in cell} or {AXES[name].default} for name in names]
    return math.lcm(*map(math.prod, itertools.product(*sizes)))


def across_rungs(
    choose: Callable[[Grid, int, Sequence[int], Sequence[int]], list[int]],
    grid: Grid,
    count: int,
    named: Iterable[int],
    ran: Iterable[int],
) -> list[int]:
    """Positions in a grid, whose first axis is the ladder, of what a design chooses, each at every rung."""
    settings = [levels[1:] for levels in grid.levels]
    first = {each: at for at, each in reversed(list(enumerate(settings)))}
    distinct = dict.fromkeys(settings)
    place = {each: index for index, each in enumerate(distinct)}
    one = Grid(
        axes=grid.axes[1:],
        configurations=tuple(grid.configurations[first[each]] for each in distinct),
        levels=tuple(distinct),
        centre=grid.centre[1:],
        excluded=tuple((levels[1:], rule) for levels, rule in grid.excluded if levels[1:] not in distinct),
    )
    at_one = [sorted({place[settings[at]] for at in positions}) for positions in (named, ran)]
    chosen = {one.levels[at] for at in choose(one, count, *at_one)}
    return [at for at, each in enumerate(settings) if each in chosen]
