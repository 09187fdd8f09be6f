"""The search of a setting for every arm and rung of a sweep: what to run, what was found, the rules (docs/designs.md).

An *arm* is what a value is searched for: a precision, a rotation and a phase. Of the configurations that share it, the
first of the space is trained, on seeds that the sweep does not use.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.levels import TECHNIQUES, scale_axes, size_axes
from bitskip.errors import UserError
from bitskip.store.schema import FINISHED, Status
from bitskip.sweep.located_yaml import Source
from bitskip.sweep.rules import SEARCH, SEARCH_SEEDS, with_value
from bitskip.sweep.suggest import sweep_documents
from bitskip.sweep.sweep_file import Sweep, expand, no_ladder, with_seeds
from bitskip.sweep.tune import STEP, Measured, Optimum, follow, optimum, predicted
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, PRESETS, SIZES, ModelConfig, TrialConfig, model_label
from bitskip.trial.cost import estimate, non_embedding_parameters

FEWEST = 3
"""Values of an arm at least."""


@dataclass(frozen=True)
class Loss:
    """What a stored trial tells a search: the validation loss, infinite where it diverged.

    `validation` is False where the text has no validation part and this is the test's. `sequences` are the losses of
    every held-out sequence, where they were asked for.
    """

    value: float
    validation: bool = True
    sequences: Array | None = None


@dataclass(frozen=True)
class Arm:
    """An arm at one rung: `trial` stands for its configurations, a rule singles them out by the axes in `names`."""

    trial: TrialConfig
    names: Mapping[str, Any]

    @property
    def label(self) -> str:
        told = {**self.names, **({"model": model_label(self.trial.model)} if "model" in self.names else {})}
        return ", ".join(f"{name} {plain(value)}" for name, value in told.items())


@dataclass(frozen=True)
class Found:
    """A search of one arm as far as it has come: `wanted` trials come next, without any there is an `optimum`.

    Where the text has no validation part, the losses are those `on_test`.
    """

    arm: Arm
    tried: Mapping[float, Measured]
    wanted: tuple[TrialConfig, ...]
    optimum: Optimum | None
    on_test: bool = False


@dataclass(frozen=True)
class Search:
    """A search over an axis of the recipe: `sweep` with its own value of that, `rungs` of arms, the cheapest first."""

    sweep: Sweep
    axis: str
    seeds: tuple[int, ...]
    rungs: tuple[tuple[Arm, ...], ...]

    @classmethod
    def of(cls, sweep: Sweep, axis: str, seeds: Sequence[int]) -> Search:
        """Raises UserError for seeds of the sweep's own, and for a space with scales other than size and budget."""
        if shared := sorted({*seeds} & {*sweep.seeds}):
            raise UserError(
                f"{sweep.path}: the search of {axis} uses seed {shared[0]}, which the sweep compares, and what is "
                "chosen on a seed looks better there than it is; take others for one of the two"
            )
        named = [replace(trial, seed=0) for trial in sweep.trials if sweep.point_of(trial)]
        configurations = list(dict.fromkeys([*sweep.grid.configurations, *named]))
        for name in scale_axes():
            if name not in (*size_axes(), *sweep.tuned) and len({each[name] for each in configurations}) > 1:
                cure = f"search at one value at a time: leave {name} out of space and points, or use --set"
                raise UserError(f"{sweep.path}: {axis} is searched by arm and rung, and {name} is neither; {cure}")
        if any(each[axis] == 0 for each in configurations):
            raise UserError(f"{sweep.path}: a search of {axis} cannot start from 0: give base another {axis}")
        return cls(sweep, axis, tuple(seeds), _rungs(configurations))

    def survey(self, losses: Mapping[str, Loss], max_rung: int | None = None) -> list[Found]:
        """What the losses by trial id tell about the arms, up to the first rung that wants trials, in their order."""
        found: list[Found] = []
        for rung in self._rungs(max_rung):
            here = [self._look(arm, found, losses) for arm in rung]
            found += here
            if any(each.wanted for each in here):
                break
        return found

    def _rungs(self, count: int | None) -> Sequence[Sequence[Arm]]:
        if count is None:
            return self.rungs
        if self.sweep.ladder is None:
            raise UserError(no_ladder(count, self.sweep))
        wanted = self.sweep.ladder.rungs[:count]
        return [rung for rung in self.rungs if any(each.holds(rung[0].trial) for each in wanted)]

    def _look(self, arm: Arm, below: Sequence[Found], losses: Mapping[str, Loss]) -> Found:
        alike = [each for each in below if _arm_of(each.arm.trial) == _arm_of(arm.trial)]
        known = [
            (*_size(each.arm.trial), each.optimum.exact) for each in alike if each.optimum and not each.optimum.open
        ]
        own = float(arm.trial[self.axis])
        start = predicted(known, *_size(arm.trial), own)
        while not self._allowed(arm, start):
            start *= STEP if start < own else 1 / STEP

        def measured(value: float) -> Measured | None:
            rows = [losses.get(trial.trial_id) for trial in self._trials(arm, value)]
            there = [row for row in rows if row is not None]
            if len(there) < len(rows):
                return None
            sequences = [row.sequences for row in there if row.sequences is not None]
            mean = np.mean(sequences, axis=0) if len(sequences) == len(there) else None
            return Measured({seed: row.value for seed, row in zip(self.seeds, there, strict=True)}, mean)

        tried, asked = follow(start, measured, lambda value: self._allowed(arm, value))
        trials = [trial for value in asked for trial in self._trials(arm, value) if trial.trial_id not in losses]
        rows = [losses[trial.trial_id] for value in tried for trial in self._trials(arm, value)]
        best = None if asked else self._settled(optimum(tried), tried)
        return Found(arm, tried, tuple(trials), best, not all(row.validation for row in rows))

    def _settled(self, found: Optimum, tried: Mapping[float, Measured]) -> Optimum:
        """A batch size is a whole number of the grid: the one nearest to the lowest point, which is the best one."""
        if AXES[self.axis].kind is not int:
            return found
        return replace(found, exact=min(tried, key=lambda value: abs(math.log(value / found.exact))), whole=True)

    def _trials(self, arm: Arm, value: float) -> tuple[TrialConfig, ...]:
        setting = round(value) if AXES[self.axis].kind is int else value
        return with_seeds([with_value(arm.trial, self.axis, setting)], self.seeds)

    def _allowed(self, arm: Arm, value: float) -> bool:
        if AXES[self.axis].kind is not int:
            return value > 0
        training = arm.trial.training
        whole = value >= 1 and value == round(value) and round(value) % (training.micro_batch or 1) == 0
        return whole and (value <= training.batch_size or value * training.seq_len <= training.tokens)

    def trials_at_least(self, found: Sequence[Found], max_rung: int | None = None) -> int:
        """How many trials the search still runs at least."""
        ahead = sum(map(len, self._rungs(max_rung))) - len(found)
        return sum(len(each.wanted) for each in found) + FEWEST * len(self.seeds) * ahead

    def text(self, found: Sequence[Found]) -> str:
        """A file with the rules, each with what it rests on."""
        lines = [
            f"# Written by a search of {self.axis} for {self.sweep.path}: put `tuned` into a sweep file.",
            f"# By {'test' if any(each.on_test for each in found) else 'validation'} loss of seeds "
            f"{', '.join(map(str, self.seeds))}, which no comparison should use.",
            "tuned:",
            f"  {self.axis}:",
        ]
        by_names = {repr(each.arm.names): each for each in found}
        for rule in self.rules(found):
            names = {name: value for name, value in rule.items() if name != "use"}
            inside = ", ".join(f"{name}: {_yaml(value)}" for name, value in rule.items())
            lines.append(f"    - {{{inside}}} # {standing(by_names[repr(names)])}")
        return "\n".join(lines) + "\n"

    def complete(self, found: Sequence[Found], max_rung: int | None = None) -> bool:
        return not self.trials_at_least(found, max_rung)

    @property
    def name(self) -> str:
        return f"{self.sweep.name}_tuning"

    def tuning(self, found: Sequence[Found]) -> Sweep:
        """The sweep of all trials that the search has asked for so far, each value of an arm a named point."""
        points, trials = {}, []
        for each in found:
            asked = {trial[self.axis]: trial for trial in each.wanted}
            for value in sorted({*map(self._setting, each.tried), *asked}):
                point = with_value(each.arm.trial, self.axis, value)
                trials.append(point)
                points[point.configuration_id] = f"{each.arm.label}, {self.axis} {plain(value)}"
        (document,) = sweep_documents(with_seeds(trials, self.seeds), self.name, names=points)
        kept = ("plugins", "resources", "share_prefixes")
        document |= {key: self.sweep.resolved[key] for key in kept if key in self.sweep.resolved}
        document["description"] = f"Search of {self.axis} for {self.sweep.name}, by arm and rung"
        if others := [axis for axis in self.sweep.tuned if axis != self.axis]:
            document["tuned"] = {axis: [] for axis in others}
        return expand(Source(self.sweep.path, document))

    def _setting(self, value: float) -> Any:
        return round(value) if AXES[self.axis].kind is int else value

    def rules(self, found: Sequence[Found]) -> list[dict[str, Any]]:
        """Rules of `tuned` for the arms whose search is over, in the order in which the first that matches is right.

        A cell is also matched as it is written: of two arms, that with more axes at rest comes first, which is what
        such a cell runs as.
        """
        known = [(each.arm, each.optimum) for each in found if each.optimum]
        known.sort(key=lambda each: sum(v != AXES[n].neutral for n, v in each[0].names.items() if n in AXES))
        return [{**arm.names, "use": self._setting(best.value)} for arm, best in known]

    @property
    def _spelt(self) -> Any:
        return SEARCH if self.seeds == SEARCH_SEEDS else {SEARCH: list(self.seeds)}

    def stored(self, results: Path | None) -> Sweep:
        """The sweep with the values that the search in these results has found.

        A sweep's own folder does not hold its search, which lies beside it.
        """
        places = [] if results is None else [results]
        if results is not None and results.name == self.sweep.name:
            places.append(results.parent / self.name)
        return self.settled(self.survey(stored_losses(*places)))

    def settled(self, found: Sequence[Found]) -> Sweep:
        """The sweep with the values that were found; where some are not, it says so and still says `search`."""
        content = copy.deepcopy(dict(self.sweep.resolved))
        content["tuned"] = {**content["tuned"], self.axis: self.rules(found)}
        sweep = replace(expand(Source(self.sweep.path, content)), search=self)
        if self.complete(found):
            return sweep
        arms, over = sum(map(len, self.rungs)), sum(each.optimum is not None for each in found)
        note = (
            f"{self.axis} is known for {over} of {arms} arms at {len(self.rungs)} rungs, searched for the others: at "
            f"least {self.trials_at_least(found)} trials come before those below, which stand here with that of base"
        )
        notes = [
            each
            for each in sweep.notes
            if not each.startswith((f"{self.axis} tuned by", f"the rule of tuned.{self.axis} "))
        ]
        resolved = {**sweep.resolved, "tuned": {**content["tuned"], self.axis: self._spelt}}
        return replace(sweep, resolved=resolved, notes=(note, *notes), known=False)


def _arm_of(trial: TrialConfig) -> tuple[Any, ...]:
    return tuple(trial[name] for name in _arm_axes())


def _arm_axes() -> tuple[str, ...]:
    """Precision and rotation, the first two factors, which rates are tuned for, and the phase."""
    precision, rotation, *_ = TECHNIQUES.values()
    return (*precision, *rotation, "phase")


def _size(trial: TrialConfig) -> tuple[int, int]:
    return non_embedding_parameters(trial.model), trial.training.tokens


def _rungs(configurations: Sequence[TrialConfig]) -> tuple[tuple[Arm, ...], ...]:
    first: dict[tuple[Any, ...], TrialConfig] = {}
    for each in configurations:
        first.setdefault((each.model, each.training.tokens, _arm_of(each)), each)
    names = _telling(list(first.values()))
    by_rung: dict[tuple[Any, ...], list[Arm]] = {}
    for (model, tokens, _), trial in first.items():
        by_rung.setdefault((model, tokens), []).append(Arm(trial, {name: _named(trial, name) for name in names}))
    return tuple(map(tuple, sorted(by_rung.values(), key=lambda rung: estimate(rung[0].trial).flops)))


def _telling(trials: Sequence[TrialConfig]) -> list[str]:
    """Of the axes of arms and rungs, the first that tell these apart as well as all do."""
    chosen: list[str] = []
    for name in (*_arm_axes(), "model", "tokens"):
        parts = [
            len({repr([_named(trial, each) for each in names]) for trial in trials})
            for names in (chosen, [*chosen, name])
        ]
        chosen += [name] * (parts[1] > parts[0])
    return chosen or [_arm_axes()[0]]  # a rule names an axis, also the only one


def _named(trial: TrialConfig, name: str) -> Any:
    """An axis as a rule writes it: a model by its preset where it is one, else by what it sets."""
    if name != "model":
        return trial[name]
    label = model_label(trial.model)
    told = {k: v for k, v in vars(trial.model).items() if k in SIZES or v != getattr(ModelConfig, k)}
    return label if label in PRESETS else told


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_yaml(each)}" for name, each in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def standing(found: Found) -> str:
    """How an arm's optimum is known, in words."""
    tried, best = sorted(found.tried), found.optimum
    if best is None:
        return f"not known yet, {len(tried)} values run"
    told = f"of {len(tried)} values from {plain(tried[0])} to {plain(tried[-1])}"
    if best.open:
        return f"open: the {'lowest' if best.exact == tried[0] else 'highest'} {told} is the best"
    if best.error is None:
        return f"{told}, error not known"
    # One seed says nothing of what another would choose: what is left is the error of the measured text.
    alone = " by the text alone" if all(len(each.losses) == 1 for each in found.tried.values()) else ""
    return f"{told}, within a factor of {STEP**best.error:.2f}{alone}"


def stored_losses(*places: Path, sequences: bool = False) -> dict[str, Loss]:
    """What the results at or below the places tell a search, by trial id; nothing where there are none yet."""
    from bitskip.analysis.factorial import sequence_losses
    from bitskip.store.tables import ledger_rows, load_results

    found: dict[str, Loss] = {}
    for place in places:
        rows = [row for row in ledger_rows(place, "loss", "validation_loss") if row["status"] in FINISHED]
        by_sequence = sequence_losses(load_results(place).exits) if sequences and rows else {}
        for row in rows:
            chosen = row["loss"] if row["validation_loss"] is None else row["validation_loss"]
            failed = chosen is None or row["status"] == Status.DIVERGED
            validation, own = failed or row["validation_loss"] is not None, by_sequence.get(row["trial_id"])
            found[row["trial_id"]] = Loss(math.inf if failed else chosen, validation, own)
    return found
