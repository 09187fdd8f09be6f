"""The curve of a trial that a program trains: objects with a `step`, printed on the way or given back in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bitskip.errors import UserError
from bitskip.store.foreign_metric import Measure
from bitskip.store.schema import CurvePoint, columns_of

MOST_POINTS = 1000
"""Points of a curve that are kept: of more every second one goes, again and again."""

NUMBERS = {each.name: each.kind for each in columns_of(CurvePoint) if each.kind in (int, float)}
UNKNOWN = {**dict.fromkeys(NUMBERS), "phase": "1"}


class ScriptCurve:
    """Points by their steps, thinned; what is told of a step twice counts as it was told last.

    Numbers with the name of a column of `curves` are stored there, the measure as `val_loss` in nats per token, or as
    `measured` where it is no loss.
    """

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.points: dict[int, dict[str, Any]] = {}

    def add(self, found: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take an object in; its point, or None where it has no step."""
        step = _number(found.get("step"))
        if step is None or not 0 <= step < 2**53:
            return None
        numbers = {name: number for name, value in found.items() if (number := _number(value)) is not None}
        news = {name: NUMBERS[name](value) for name, value in numbers.items() if name in NUMBERS}
        if self.measure.name in numbers:
            news |= self._measured(numbers[self.measure.name])
        point = self.points[int(step)] = {**UNKNOWN, **self.points.get(int(step), {}), **news}
        if len(self.points) > MOST_POINTS:
            self.points = {step: self.points[step] for step in sorted(self.points)[::2]}
        return point

    def take(self, points: Any) -> None:
        """Take in a list of objects. Raises UserError for what is none."""
        if not isinstance(points, Sequence) or not all(isinstance(each, Mapping) and "step" in each for each in points):
            raise UserError("its `curve` is no list of objects with a `step`")
        for each in points:
            self.add(each)

    def _measured(self, value: float) -> dict[str, Any]:
        try:
            found = self.measure.measured(value)
        except UserError:  # at the end it is told; on the way, an accuracy may begin at 0
            return {}
        return {"val_loss": found["loss"]} if self.measure.is_loss else {"measured": found["measured"]}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table `curves`."""
        return [self.points[step] for step in sorted(self.points)]


def _number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
