"""Metrics: how a row is read on the scale where effects add up, and shown in its own unit (docs/measures.md).

A metric is an entry here and, unless it is computed from others, a column in `store.schema`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.errors import UserError, nearest

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """How a trial's or an exit's row is read on the scale where effects add up, and shown in its own unit.

    `margin` is the equivalence margin on the additive scale: effects smaller than it do not matter. `logarithmic` says
    that the additive scale is the natural logarithm of the shown one, `label` is its name in sentences. One that is not
    `reported` is for choosing a recipe, and has no column beside other results. Lower is better unless it
    says that `higher_is_better`.
    """

    read: Callable[[Row], float | None]
    unit: str
    margin: float
    logarithmic: bool = False
    label: str = ""
    reported: bool = True
    higher_is_better: bool = False

    def show(self, value: float) -> float:
        return math.exp(value) if self.logarithmic else value


def _log_perplexity(row: Row) -> float | None:
    if row.get("loss") is not None:
        return float(row["loss"])
    return math.log(row["ppl"]) if row.get("ppl") else None


def _speed_gain(row: Row) -> float | None:
    gain: float | None = row.get("speed_gain", row.get("best_exit_speed_gain"))
    return gain


METRICS: dict[str, Metric] = {
    "ppl": Metric(_log_perplexity, "nats", math.log(1.02), logarithmic=True, label="perplexity"),
    "validation_ppl": Metric(
        lambda row: row.get("validation_loss"),
        "nats",
        math.log(1.02),
        logarithmic=True,
        label="validation perplexity",
        reported=False,
    ),
    "bpb": Metric(lambda row: row.get("bpb"), "bits per byte", 0.01, label="bits per byte"),
    "speed_gain": Metric(_speed_gain, "share of the full model's speed", 0.02, higher_is_better=True),
}
"""Metric by name; a new one is a new entry. The speed gain of a whole trial is that of its best exit."""


def metric_named(name: str) -> Metric:
    """The metric, or UserError with the known ones."""
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"unknown metric '{name}'{nearest(name, METRICS)} (one of {known})")
    return METRICS[name]
