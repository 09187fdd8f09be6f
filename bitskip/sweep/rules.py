"""Rules of a sweep file that single out cells: `exclude` drops them, `tuned` gives them an axis of the recipe.

A rule sees a cell as written and in canonical form: `{phase: 1, dropout: quadratic}` matches the cells that say so
although phase 1 has no dropout, and `{phase: 1}` matches whatever runs as phase 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bitskip.errors import nearest
from bitskip.sweep.axes import Cell, read_axes
from bitskip.sweep.located_yaml import Path_, Source
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, RECIPE_AXES, TrialConfig, canonical


@dataclass(frozen=True)
class Rule:
    """What a cell must have to match, and the value to `use` for one that does.

    `wanted` holds, for each axis of the rule, its alternatives; `model: nano` is one that names several axes.
    """

    text: str
    wanted: Sequence[Sequence[Cell]]
    use: Any = None

    def matches(self, trial: TrialConfig, written: Mapping[str, Any]) -> bool:
        runs = {name: AXES[name].read(trial) for choices in self.wanted for choice in choices for name in choice}
        return self._fits(runs) or self._fits({**runs, **written})

    def matches_as_written(self, written: Mapping[str, Any]) -> bool:
        """For a cell that can be no trial: what is written is all that is known of it."""
        return self._fits(written)

    def _fits(self, cell: Mapping[str, Any]) -> bool:
        return all(any(choice.items() <= cell.items() for choice in choices) for choices in self.wanted)


def read_exclusions(source: Source) -> list[Rule]:
    """The rules under `exclude`, which drop cells of the grid; a named point always runs."""
    rules = source.content.get("exclude") or []
    if not isinstance(rules, list):
        raise source.error(("exclude",), "exclude: expected a list of mappings, such as [{bits: 16, hadamard: true}]")
    found = []
    for index, rule in enumerate(rules):
        if not isinstance(rule, Mapping) or not rule:
            raise source.error(("exclude", index), f"exclude: expected a mapping of axes, got {rule!r}")
        found.append(_rule(source, ("exclude", index), rule))
    return found


SEARCH = "search"
"""What stands in the place of the rules of an axis whose values are to be found (bitskip.sweep.search)."""

SEARCHED = ("lr", "batch_size")
"""Axes that can be searched: a factor of two is a step there."""

SEARCH_SEEDS = (100,)
"""Of a search that names none."""


def take_search(source: Source) -> tuple[str, tuple[int, ...]] | None:
    """The axis whose rules are to be found, which has none then, and the seeds that find them: `search`, or
    `{search: [100, 101]}`. Raises UserError, at its line, for what cannot be searched.
    """
    found = None
    for axis, rules in source.mapping(("tuned",)).items():
        seeds = list(SEARCH_SEEDS) if rules == SEARCH else rules.get(SEARCH) if isinstance(rules, Mapping) else None
        if seeds is None:
            continue
        where: Path_ = ("tuned", axis)
        if axis not in SEARCHED:
            raise source.error(where, f"tuned: '{axis}' cannot be searched (one of {', '.join(SEARCHED)})")
        if found:
            raise source.error(
                where, f"tuned: {found[0]} and {axis}: search one, and the other with its rules in place"
            )
        if not isinstance(seeds, list) or not seeds or len({*map(repr, seeds)}) < len(seeds):
            raise source.error(
                where, f"tuned: {SEARCH}: expected a list of distinct seeds, such as [100], got {seeds!r}"
            )
        with source.locate(where):
            found = axis, tuple(AXES["seed"].check(seed) for seed in seeds)
        source.content["tuned"] = {**source.content["tuned"], axis: []}
    return found


Tuning = Mapping[str, Sequence[Rule]]
"""For every axis under `tuned`, its rules; of several that match, the first serves."""


def read_tuning(source: Source) -> Tuning:
    """The rules under `tuned`. Raises UserError, at its line, for one that makes no sense."""
    found: dict[str, list[Rule]] = {}
    for axis, rules in source.mapping(("tuned",)).items():
        where: Path_ = ("tuned", axis)
        if axis not in RECIPE_AXES:
            hint = nearest(str(axis), RECIPE_AXES)
            known = ", ".join(RECIPE_AXES)
            raise source.error(where, f"tuned: '{axis}' is no axis of the recipe{hint} (one of {known})")
        if axis in source.mapping(("space",)):
            raise source.error(where, f"tuned: '{axis}' is crossed in space, too; leave it out of one of them")
        if not isinstance(rules, list):
            searched = f", or {SEARCH}" if axis in SEARCHED else ""
            example = f"{axis}: [{{bits: 16, use: 4e-3}}]"
            raise source.error(where, f"tuned: expected a list of rules, such as {example}{searched}, got {rules!r}")
        found[axis] = []
        for index, rule in enumerate(rules):
            if not isinstance(rule, Mapping) or "use" not in rule or len(rule) < 2:
                wanted = "axes of a cell and the value to use, such as {bits: 16, use: 4e-3}"
                raise source.error((*where, index), f"tuned: expected {wanted}, got {rule!r}")
            with source.locate((*where, index, "use")):
                value = AXES[axis].check(rule["use"])
            axes = {key: wanted for key, wanted in rule.items() if key != "use"}
            found[axis].append(replace(_rule(source, (*where, index), axes), use=value))
    return found


def _rule(source: Source, where: Path_, rule: Mapping[str, Any]) -> Rule:
    wanted = [
        [read_axes(source, where, {key: choice}) for choice in (value if isinstance(value, list) else [value])]
        for key, value in rule.items()
    ]
    return Rule("{" + ", ".join(f"{key}: {value}" for key, value in rule.items()) + "}", wanted)


def tuned(tuning: Tuning, trial: TrialConfig, settings: Mapping[str, Any]) -> TrialConfig:
    """The trial with what the rules that match it say."""
    for axis, rules in tuning.items():
        value = next((rule.use for rule in rules if rule.matches(trial, settings)), None)
        if value is not None:
            trial = with_value(trial, axis, value)
    return trial


def with_value(trial: TrialConfig, axis: str, value: Any) -> TrialConfig:
    """The trial with another value of an axis of the recipe."""
    return canonical(replace(trial, training=replace(trial.training, **{AXES[axis].field: value})))


def tuning_notes(tuning: Tuning, configurations: Iterable[TrialConfig]) -> list[str]:
    """How many configurations have which value of each tuned axis, and the rules that match none."""
    notes, distinct = [], list(dict.fromkeys(configurations)) if tuning else []
    for axis, rules in tuning.items():
        counts = Counter(AXES[axis].read(trial) for trial in distinct)
        shares = ", ".join(f"{plain(value)} in {count}" for value, count in sorted(counts.items()))
        notes.append(f"{axis} tuned by configuration: {shares} of them")
        idle = [rule for rule in rules if not any(rule.matches(trial, {}) for trial in distinct)]
        notes += [f"the rule of tuned.{axis} that uses {plain(rule.use)} matches nothing" for rule in idle]
    return notes
