"""What an axis of the design space is: a dataclass field that carries its type, bounds, choices and meaning."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitskip.errors import UserError, nearest


def axis(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that carries its own bounds: low <= value <= high, value < below."""
    bounds = {"doc": doc, "choices": choices, "low": low, "high": high, "below": below}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass(frozen=True)
class Axis:
    """One factor of the design space, read off the dataclass field that declares it."""

    name: str
    kind: type
    group: str
    default: Any
    doc: str
    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    below: float | None = None

    @functools.cached_property
    def field(self) -> str:
        """What the axis is called in the dataclass of its group."""
        return self.name.rpartition(".")[2]

    def read(self, trial: Any) -> Any:
        owner = getattr(trial, self.group) if self.group else trial
        return getattr(owner, self.field)

    def check(self, value: Any) -> Any:
        """The value in this axis's type; raises UserError with the cause and the cure."""
        coerced = _COERCE[self.kind](self, value)
        if self.choices is not None and coerced not in self.choices:
            raise UserError(
                f"{self.name}: unknown value '{value}'{nearest(value, self.choices)} (one of {', '.join(self.choices)})"
            )
        too_low = self.low is not None and coerced < self.low
        too_high = (self.high is not None and coerced > self.high) or (self.below is not None and coerced >= self.below)
        if too_low or too_high:
            raise UserError(f"{self.name}: {value} is out of range ({self.bounds()})")
        return coerced

    def bounds(self) -> str:
        parts = [
            f"{word} {bound:g}"
            for word, bound in (("at least", self.low), ("at most", self.high), ("below", self.below))
            if bound is not None
        ]
        return ", ".join(parts)


def _wrong_type(entry: Axis, value: Any, wanted: str) -> UserError:
    return UserError(f"{entry.name}: expected {wanted}, got {value!r}")


def _to_int(entry: Axis, value: Any) -> int:
    if isinstance(value, str):
        try:
            value = float(value.replace("_", ""))
        except ValueError:
            raise _wrong_type(entry, value, "a whole number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise _wrong_type(entry, value, "a whole number")
    if abs(value) >= 2**63:  # what a Parquet column of whole numbers can hold
        raise UserError(f"{entry.name}: {value:g} is too large")
    return int(value)


def _to_float(entry: Axis, value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value.replace("_", ""))
        except ValueError:
            raise _wrong_type(entry, value, "a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong_type(entry, value, "a finite number")
    return float(value)


def _to_bool(entry: Axis, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _wrong_type(entry, value, "true or false")
    return value


def _to_str(entry: Axis, value: Any) -> str:
    if entry.name == "hadamard" and isinstance(value, bool):
        return "bitnet-v2" if value else "none"
    if entry.name == "hadamard" and str(value).lower() in ("true", "false"):
        return "bitnet-v2" if str(value).lower() == "true" else "none"
    if entry.name == "phase" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None and "none" in (entry.choices or ()):
        return "none"
    if not isinstance(value, str):
        raise _wrong_type(entry, value, "a name")
    return str(value)


def _to_names(entry: Axis, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise _wrong_type(entry, value, "a list of paths")
    return tuple(str(item) for item in items)


_COERCE: dict[type, Callable[[Axis, Any], Any]] = {
    int: _to_int,
    float: _to_float,
    bool: _to_bool,
    str: _to_str,
    tuple: _to_names,
}
