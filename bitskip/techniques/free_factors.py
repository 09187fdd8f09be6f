"""Factors that bitskip knows by name only: of results from elsewhere, and of trainers that are not its own.

A sweep file declares them under `factors:` with their baseline. Each becomes a technique that acts in no model and has
one axis, so that effects, predictions and suggestions treat it as any other.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bitskip.errors import UserError
from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique, plain

Value = bool | float | str


@dataclass(frozen=True)
class Factor:
    """A factor, the level that it is off at, and the unit of its numbers."""

    name: str
    baseline: Value
    unit: str = ""

    @classmethod
    def read(cls, name: Any, declared: Any) -> Factor:
        """From an entry of `factors:`, a baseline or a mapping with `baseline` and `unit`. Raises UserError."""
        facts = declared if isinstance(declared, Mapping) else {"baseline": declared}
        baseline, unit = facts.get("baseline"), facts.get("unit", "")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or keyword.iskeyword(name):
            raise UserError(f"factors: '{name}' is no name of a factor; use letters, digits and _")
        if not isinstance(baseline, bool | int | float | str) or not isinstance(unit, str) or facts.keys() - FACTS:
            raise UserError(
                f"factors: {name} needs its baseline, a number, a name, true or false, as in `{name}: 0` or "
                f"`{name}: {{baseline: 0, unit: ms}}`"
            )
        return cls(name, float(baseline) if type(baseline) is int else baseline, unit)

    def declared(self) -> Any:
        """The entry of `factors:`."""
        baseline = tidy(self.baseline)
        return {"baseline": baseline, "unit": self.unit} if self.unit else baseline


def tidy(value: Value) -> Value:
    """A whole number without its decimal point, as a file or a command has it."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


FACTS = {field.name for field in dataclasses.fields(Factor)} - {"name"}


@dataclass(frozen=True)
class FreeFactor(Technique):
    """The technique of a factor: its level, and nothing that it does."""

    factor: ClassVar[Factor]

    def __reduce__(self) -> tuple[Any, ...]:
        """Its class is made where it is declared: another process declares it by unpickling one."""
        return _restored, (self.factor, getattr(self, self.factor.name))


def technique_of(factor: Factor) -> type[FreeFactor]:
    """A technique with one axis, off at the factor's baseline."""
    unit = f", in {factor.unit}" if factor.unit else ""
    doc = f"level of a factor from elsewhere{unit}; baseline {plain(factor.baseline)}"
    field = (factor.name, type(factor.baseline), axis(factor.baseline, doc, since="factor"))
    own = {"__module__": __name__, "factor": factor}
    return dataclasses.make_dataclass(f"Factor_{factor.name}", [field], bases=(FreeFactor,), namespace=own, frozen=True)


def _restored(factor: Factor, level: Value) -> FreeFactor:
    from bitskip.techniques.registry import declare_factors

    [technique] = declare_factors([factor])
    return technique(**{factor.name: level})
