"""What another trainer has measured: a loss as bitskip's own, anything else with its unit and its direction.

A loss of predicted tokens is stored in `loss`, nats per token. Any other measure (an accuracy, tokens a second) is
stored as it is in `measured`, its name in `metric`; the design beside the results says what it is, and each process
that reads them declares it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.store.schema import Status

LOSSES: dict[str, Callable[[float], float]] = {
    "nats": lambda value: value,
    "bits": lambda value: value * math.log(2),
    "perplexity": math.log,
}
"""From a loss's own unit, per token, to nats per token: where effects add up."""

BOUNDS: dict[str, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "percent": (0.0, 100.0),
    "positive": (0.0, math.inf),
    "number": (-math.inf, math.inf),
}
"""Units of what is no loss of tokens, and the open interval that its numbers are in."""

UNITS = (*LOSSES, *BOUNDS)

OWN_NAMES = ("ppl", "validation_ppl", "bpb", "speed_gain")
"""Metrics of bitskip's own (`analysis.metrics`)."""


@dataclass(frozen=True)
class Measure:
    """What a trainer measures: its name, its unit, and whether more of it is better."""

    name: str
    unit: str = "nats"
    higher_is_better: bool = False

    @property
    def is_loss(self) -> bool:
        return self.unit in LOSSES

    @classmethod
    def read(cls, name: Any, unit: Any, higher_is_better: Any, where: str) -> Measure:
        """Raises UserError, which begins with where it stands, for a unit that there is not, or a loss to be raised."""
        if unit not in UNITS:
            raise UserError(f"{where}: '{unit}' is not one of {', '.join(UNITS)}{nearest(str(unit), UNITS)}")
        if not isinstance(higher_is_better, bool):
            raise UserError(f"{where}: higher_is_better is true or false, not {higher_is_better!r}")
        if higher_is_better and unit in LOSSES:
            raise UserError(f"{where}: {unit} are of a loss, and higher is better; say one of {', '.join(BOUNDS)}")
        if unit not in LOSSES and name in OWN_NAMES:
            raise UserError(f"{where}: {name} is a metric of bitskip's own; give yours another name")
        return cls(str(name), unit, higher_is_better)

    def declared(self) -> dict[str, Any]:
        """The entry `metric` of a design."""
        return asdict(self)

    def measured(self, value: Any) -> dict[str, Any]:
        """The columns of a row with this value, or the status and reason of a training that diverged.

        Raises UserError for what is no number, and for one that its unit does not have.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{self.name} is no number but {value!r}")
        if not math.isfinite(value):
            return {"loss": None, "status": Status.DIVERGED, "reason": f"{self.name} is {value}"}
        if not self.is_loss:
            return {"loss": None, "status": Status.OK, "metric": self.name, "measured": self._inside(float(value))}
        if self.unit == "perplexity" and value <= 0:
            raise UserError(f"{self.name} is {value}, and a perplexity is above 0")
        loss = LOSSES[self.unit](float(value))
        return {"loss": loss, "status": Status.OK, "ppl": math.exp(loss) if loss < 700 else None}

    def _inside(self, value: float) -> float:
        low, high = BOUNDS[self.unit]
        if not low < value < high:
            told = f"above {low:g}" + (f" and below {high:g}" if high < math.inf else "")
            raise UserError(
                f"{self.name} is {value:g}, and as {self.unit} it is {told}: effects add up on its logarithm"
                f"{' odds' if high < math.inf else ''}; as `number` it may be anything"
            )
        return value


MEASURES: dict[str, Measure] = {}
"""What designs have declared in this process, by name; losses are not among them."""


def declare_measure(measure: Measure) -> None:
    """Make a measure known to all that reads results. Raises UserError for one that is known as another."""
    known = MEASURES.setdefault(measure.name, measure) if not measure.is_loss else measure
    if known != measure:
        raise UserError(
            f"metric {measure.name} is declared twice, as {_words(known)} and as {_words(measure)}; keep such results "
            "apart, or give them two names"
        )


def _words(measure: Measure) -> str:
    return f"{measure.unit}, {'higher' if measure.higher_is_better else 'lower'} is better"


def measure_of(design: Mapping[str, Any], programs: tuple[str, ...]) -> Measure | None:
    """What the rows of a design hold beside losses, from its `metric` or that of its program; None for losses."""
    entry = design.get("metric")
    if isinstance(entry, Mapping) and "name" in entry:
        facts: Mapping[str, Any] = entry
    else:
        found = next((each for key in programs if isinstance(each := design.get(key), Mapping)), {})
        facts = {**found, "name": found.get("metric", "loss")}
    told = Measure.read(facts["name"], facts.get("unit", "nats"), facts.get("higher_is_better", False), "metric")
    return None if told.is_loss else told
