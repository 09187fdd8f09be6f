"""What an axis of the design space is: a dataclass field that carries its type, bounds, choices and meaning."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from bitskip.errors import UserError, nearest
from bitskip.ops.conventions import UNQUANTIZED_BITS

_AS_DEFAULT = object()


def bit_widths(*widths: int) -> Callable[[int], str | None]:
    """`allowed` of an axis of bits: one of the widths, or not quantized."""

    def complaint(bits: int) -> str | None:
        if bits in (*widths, UNQUANTIZED_BITS):
            return None
        return f"{bits} is not one of {', '.join(map(str, widths))} or {UNQUANTIZED_BITS} (not quantized)"

    return complaint


MOST_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def axis(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
    allowed: Callable[[Any], str | None] | None = None,
    spelling: Callable[[Any], Any] | None = None,
    since: str | None = None,
    neutral: Any = _AS_DEFAULT,
    of_identity: bool = True,
) -> Any:
    """A dataclass field that is an axis and carries its own bounds: low <= value <= high, value < below.

    `allowed` says what is wrong with a value, or None; `spelling` translates other ways to write one. `since` is the
    version that brought the axis: trials from before it have its `neutral` value, which is the default unless a better
    default came later (docs/architecture.md, identity). One that is not `of_identity` says what is refused and nothing
    of how a trial is trained.
    """
    bounds = {"doc": doc, "choices": choices, "low": low, "high": high, "below": below, "allowed": allowed}
    identity = {"since": since, "of_identity": of_identity}
    neutral = default if neutral is _AS_DEFAULT else neutral
    return dataclasses.field(
        default=default,
        metadata=bounds | identity | {"spelling": spelling, "neutral": neutral},
    )


@dataclass(frozen=True)
class Axis:
    """One factor of the design space, read off the dataclass field that declares it.

    `group` is the part of a trial that holds it; `technique` is the class that declares it, if one does.
    """

    name: str
    kind: type
    group: str
    default: Any
    doc: str
    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    below: float | None = None
    allowed: Callable[[Any], str | None] | None = None
    spelling: Callable[[Any], Any] | None = None
    since: str | None = None
    neutral: Any = None
    of_identity: bool = True
    technique: Any = None

    @functools.cached_property
    def field(self) -> str:
        """What the axis is called in the dataclass of its group."""
        return self.name.rpartition(".")[2]

    def read(self, trial: Any) -> Any:
        """The value that a trial has."""
        if self.technique is not None:
            return getattr(trial.of(self.technique), self.field)
        return getattr(getattr(trial, self.group) if self.group else trial, self.field)

    def hashed(self, value: Any) -> bool:
        """Whether the value is part of a trial's identity: an axis that came later is not while it is neutral."""
        return self.of_identity and (self.since is None or value != self.neutral)

    def check(self, value: Any) -> Any:
        """The value in this axis's type; raises UserError with the cause and the cure."""
        coerced = _COERCE[self.kind](self, value if self.spelling is None else self.spelling(value))
        if self.choices is not None and coerced not in self.choices:
            raise UserError(
                f"{self.name}: unknown value '{value}'{nearest(value, self.choices)} (one of {', '.join(self.choices)})"
            )
        too_low = self.low is not None and coerced < self.low
        too_high = (self.high is not None and coerced > self.high) or (self.below is not None and coerced >= self.below)
        if too_low or too_high:
            raise UserError(f"{self.name}: {value} is out of range ({self.bounds()})")
        complaint = self.allowed(coerced) if self.allowed else None
        if complaint:
            raise UserError(f"{self.name}: {complaint}")
        return coerced

    def bounds(self) -> str:
        parts = [
            f"{word} {bound:.7g}"
            for word, bound in (("at least", self.low), ("at most", self.high), ("below", self.below))
            if bound is not None
        ]
        return ", ".join(parts)


def _wrong_type(entry: Axis, value: Any, wanted: str) -> UserError:
    shown = repr(value)
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]} …"
    return UserError(f"{entry.name}: expected {wanted}, got {shown}")


def _from_text(entry: Axis, value: Any, wanted: str) -> Any:
    """A number written as text, as the command line and YAML's 2e-3 give it; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value.replace("_", ""))
    except ValueError:
        raise _wrong_type(entry, value, wanted) from None


def _to_int(entry: Axis, value: Any) -> int:
    value = _from_text(entry, value, "a whole number")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise _wrong_type(entry, value, "a whole number")
    if abs(value) >= 2**63:  # what a Parquet column of whole numbers can hold
        raise UserError(f"{entry.name}: {_short(value)} is too large (at most {2**63 - 1})")
    return int(value)


def _to_float(entry: Axis, value: Any) -> float:
    value = _from_text(entry, value, "a number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(entry, value, "a finite number")
    try:
        found = float(value)
    except OverflowError:
        raise UserError(f"{entry.name}: {_short(value)} is too large") from None
    if not math.isfinite(found):
        raise _wrong_type(entry, value, "a finite number")
    return found


def _short(value: float) -> str:
    """A number in a message, which may have thousands of digits."""
    return str(value) if abs(value) < 1e30 or isinstance(value, float) else f"1e{int(math.log10(abs(value)))}"


def _to_bool(entry: Axis, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _wrong_type(entry, value, "true or false")
    return value


def _to_str(entry: Axis, value: Any) -> str:
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


def axes_in(
    owner: type, group: str, prefix: str = "", technique: type | None = None, since: str | None = None
) -> tuple[Axis, ...]:
    """The axes that a dataclass declares with `axis`, in order; `since` is that of axes that name none."""
    hints = get_type_hints(owner)
    found = []
    for declared in dataclasses.fields(owner):
        if technique is not None and not declared.metadata:
            raise UserError(f"{owner.__name__}: the field '{declared.name}' is no axis; use bitskip.axis(…)")
        if declared.metadata:
            kind = tuple if hints[declared.name] == tuple[str, ...] else hints[declared.name]
            if kind not in _COERCE:
                raise UserError(
                    f"{owner.__name__}: the axis '{declared.name}' is declared as {hints[declared.name]}; "
                    "an axis is an int, float, bool, str or tuple[str, ...]"
                )
            facts = dict(declared.metadata)
            facts["since"] = facts["since"] or since
            found.append(Axis(prefix + declared.name, kind, group, declared.default, technique=technique, **facts))
    return tuple(found)
