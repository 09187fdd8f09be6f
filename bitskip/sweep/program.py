"""What trains the trials of a sweep in bitskip's place: a command, or a function of Python (docs/import.md)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.store.foreign_metric import Measure, declare_measure
from bitskip.store.stored_design import PROGRAMS
from bitskip.sweep.located_yaml import Source
from bitskip.techniques.base import plain
from bitskip.techniques.free_factors import tidy
from bitskip.techniques.registry import free_factors
from bitskip.trial.config import AXES, TrialConfig
from bitskip.trial.parts import NOT_KNOWN

GIVEN = ("seed", "trial_id", "checkpoint", "result")
"""What a command may ask for beside axes: its seed and id, a folder that outlives an interruption, a file to write."""

PLACEHOLDER = re.compile(r"\{([\w.]*)\}")
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Program:
    """A `command` in words with `{axis}` in them, or a `trainer`, `package.module:function`.

    It gives back a JSON object, or a mapping, in which the name of `measure` is a key.
    """

    measure: Measure = Measure("loss")
    command: tuple[str, ...] = ()
    trainer: str = ""

    def asks_for(self) -> set[str]:
        """The placeholders of the command."""
        return {name for word in self.command for name in PLACEHOLDER.findall(word)}

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The command of a trial; a value is never split, whatever stands in it."""
        return [PLACEHOLDER.sub(lambda found: plain(values[found[1]]), word) for word in self.command]


def settings_of(trial: TrialConfig) -> dict[str, Any]:
    """A value for every axis and the seed, whole numbers of factors without a decimal point."""
    return {name: tidy(value) if name in free_factors() else value for name, value in trial.axes().items()}


def read_program(source: Source) -> Program | None:
    """The program of a sweep file, if it names one. Raises UserError, at its line, for one that cannot be."""
    named = [key for key in PROGRAMS if source.content.get(key) is not None]
    if not named:
        return None
    with source.locate((named[0],)):
        if len(named) > 1:
            raise UserError("a sweep has a `command:` or a `trainer:`, not both")
        (key,), given = named, source.content[named[0]]
        facts = given if isinstance(given, Mapping) else {"run": given}
        if not isinstance(facts.get("run"), str) or facts.keys() - {"run", "metric", "unit", "higher_is_better"}:
            raise UserError(f"{key}: write it, or {{run: …, metric: val_loss, unit: nats, higher_is_better: false}}")
        unit, higher = facts.get("unit", "nats"), facts.get("higher_is_better", False)
        measure = Measure.read(facts.get("metric", "loss"), unit, higher, f"{key}: unit")
        declare_measure(measure)
        if key == "trainer":
            if not FUNCTION.fullmatch(facts["run"]):
                raise UserError(f"trainer: '{facts['run']}' is no function; write package.module:function")
            return Program(measure, trainer=facts["run"])
        try:
            program = Program(measure, command=tuple(shlex.split(facts["run"])))
        except ValueError as error:
            raise UserError(f"command: {error}, as a shell would say") from None
        _check_placeholders(program, free_factors())
        return program


def _check_placeholders(program: Program, factors: Collection[str]) -> None:
    known = (*AXES, *GIVEN)
    asked = program.asks_for()
    for name in sorted(asked):
        if name not in known:
            raise UserError(f"command: {{{name}}} is no axis{nearest(name, known)}; declare it under `factors:`")
    if unused := [name for name in factors if name not in asked]:
        raise UserError(f"command: {{{unused[0]}}} is nowhere in it, so that all its levels would be one training")


def base_of(program: Program | None, name: str) -> dict[str, Any]:
    """Axes of trials that a program trains, where the file says nothing: no model, budget or text of bitskip's."""
    if program is None:
        return {}
    return {"model.parameters": NOT_KNOWN, "tokens": NOT_KNOWN, "data.corpus": name, "data.split": "three"}
