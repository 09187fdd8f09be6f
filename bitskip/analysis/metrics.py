"""Metrics: how a row is read on the scale where effects add up, and shown in its own unit (docs/measures.md).

A metric is an entry here and, unless it is computed from others, a column in `store.schema`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.by_seed import BLOCKS
from bitskip.errors import UserError, nearest

Row = Mapping[str, Any]

SEQUENCES = "sequence_losses"
"""Column of exits, and key of a trial's row in analyses: nats per token of every held-out sequence."""

DOMAINS, GOLD, CORRECT = "domain_bits", "gold_bits", "items_correct"
"""Keys of a trial's row in analyses: of every evaluated sequence its share in the mean of its domain's bits per byte,
of every item of a task the gold answer's bits per byte, and whether it is the most likely answer per byte."""


@dataclass(frozen=True)
class Metric:
    """How a trial's or an exit's row is read on the scale where effects add up, and shown in its own unit.

    `margin` is the equivalence margin on the additive scale: effects smaller than it do not matter. `logarithmic` says
    that the additive scale is the natural logarithm of the shown one, `label` is its name in sentences. One that is not
    `reported` is for choosing a recipe, and has no column beside other results. Lower is better unless it
    says that `higher_is_better`. `blocks` reads the pieces of held-out text whose mean it is, on the additive scale,
    the same ones for all trials of a text, in `most_blocks` consecutive parts or each by itself.
    """

    read: Callable[[Row], float | None]
    unit: str
    margin: float
    logarithmic: bool = False
    label: str = ""
    reported: bool = True
    higher_is_better: bool = False
    blocks: Callable[[Row], Any] = lambda row: None
    most_blocks: int | None = BLOCKS

    def show(self, value: float) -> float:
        return math.exp(value) if self.logarithmic else value


def _log_perplexity(row: Row) -> float | None:
    if row.get("loss") is not None:
        return float(row["loss"])
    return math.log(row["ppl"]) if row.get("ppl") else None


def _speed_gain(row: Row) -> float | None:
    gain: float | None = row.get("speed_gain", row.get("best_exit_speed_gain"))
    return gain


def _sequence_losses(row: Row) -> Any:
    return row.get(SEQUENCES)


def _sequence_bits(row: Row) -> Any:
    """Bits per byte of the sequences: their losses, over the bytes that a token of the whole stands for."""
    losses, loss, bpb = row.get(SEQUENCES), row.get("loss"), row.get("bpb")
    return None if losses is None or not loss or bpb is None else losses * (bpb / loss)


def _mean_of(name: str) -> Callable[[Row], float | None]:
    """The mean of an array of the row."""
    return lambda row: None if row.get(name) is None else float(row[name].mean())


METRICS: dict[str, Metric] = {
    "ppl": Metric(
        _log_perplexity, "nats", math.log(1.02), logarithmic=True, label="perplexity", blocks=_sequence_losses
    ),
    "validation_ppl": Metric(
        lambda row: row.get("validation_loss"),
        "nats",
        math.log(1.02),
        logarithmic=True,
        label="validation perplexity",
        reported=False,
        blocks=_sequence_losses,
    ),
    "bpb": Metric(lambda row: row.get("bpb"), "bits per byte", 0.01, label="bits per byte", blocks=_sequence_bits),
    "speed_gain": Metric(_speed_gain, "share of the full model's speed", 0.02, higher_is_better=True),
    "domain_bpb": Metric(
        _mean_of(DOMAINS), "bits per byte", 0.01, label="bits per byte of domains", blocks=lambda row: row.get(DOMAINS)
    ),
    "gold_bpb": Metric(
        _mean_of(GOLD),
        "bits per byte",
        0.01,
        label="bits per byte of gold answers",
        blocks=lambda row: row.get(GOLD),
        most_blocks=None,
    ),
    "task_accuracy": Metric(
        _mean_of(CORRECT),
        "share of items",
        0.01,
        label="accuracy of tasks",
        higher_is_better=True,
        blocks=lambda row: row.get(CORRECT),
        most_blocks=None,
    ),
}
"""Metric by name; a new one is a new entry. The speed gain of a whole trial is that of its best exit."""


def metric_named(name: str) -> Metric:
    """The metric, or UserError with the known ones."""
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"unknown metric '{name}'{nearest(name, METRICS)} (one of {known})")
    return METRICS[name]
