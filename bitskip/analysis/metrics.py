"""Metrics: how a row is read on the scale where effects add up, and shown in its own unit (docs/measures.md).

A metric is an entry here and, unless it is computed from others, a column in `store.schema`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.by_seed import BLOCKS
from bitskip.errors import UserError, nearest
from bitskip.store.foreign_metric import MEASURES, Measure

Row = Mapping[str, Any]

SEQUENCES = "sequence_losses"
"""Column of exits, and key of a trial's row in analyses: nats per token of every held-out sequence."""

DOMAINS, GOLD, CORRECT = "domain_bits", "gold_bits", "items_correct"
"""Keys of a trial's row in analyses: of every evaluated sequence its share in the mean of its domain's bits per byte,
of every item of a task the gold answer's bits per byte, and whether it is the most likely answer per byte."""


@dataclass(frozen=True)
class Metric:
    """How a trial's or an exit's row is read on the scale where effects add up, and shown in its own unit.

    `margin` is the equivalence margin on the additive scale: effects smaller than it do not matter. `odds` says that
    the additive scale is the logarithm of the odds of what is shown, `logarithmic` that it is a logarithm, of the
    odds or of what is shown itself: a difference is then the logarithm of a ratio. `label` is its name in sentences.
    One that is not `reported` is for choosing a recipe, and has no column beside other results. Lower is better unless
    it says that `higher_is_better`. One that is `foreign` is what another trainer measured. `blocks` reads the pieces
    of held-out text whose mean it is, on the additive scale, the same ones for all trials of a text, in `most_blocks`
    consecutive parts or each by itself.
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
    odds: bool = False
    foreign: bool = False

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss of predicted tokens, which is what laws of the loss are about."""
        return self.logarithmic and self.unit == "nats"

    @property
    def better(self) -> int:
        """The sign of a change for the better."""
        return 1 if self.higher_is_better else -1

    def show(self, value: float) -> float:
        if self.odds:
            return (100.0 if self.unit == "percent" else 1.0) / (1 + math.exp(-value))
        return math.exp(value) if self.logarithmic else value

    def compared(self, difference: float) -> float:
        """A difference on the additive scale as the ratio that it is the logarithm of, or as it is."""
        return math.exp(difference) if self.logarithmic else difference


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


OWN: dict[str, Metric] = {
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
"""bitskip's own metrics by name; a new one is a new entry. The speed gain of a whole trial is that of its best exit."""

MARGIN_OF_ODDS = 0.04
"""Of log odds: one percentage point of a share of one half."""


@functools.cache
def _foreign(measure: Measure) -> Metric:
    """A share is read as its log odds, which stay between 0 and 1 whatever is added; what is positive as its logarithm.

    Of any other number nobody knows how much of a difference matters: nothing is ever called equal.
    """
    odds, percent = measure.unit in ("share", "percent"), measure.unit == "percent"

    def read(row: Row) -> float | None:
        value = row.get("measured") if row.get("metric") == measure.name else None
        if value is None:
            return None
        if odds:
            share = value / 100 if percent else value
            return math.log(share / (1 - share))
        return math.log(value) if measure.unit == "positive" else float(value)

    return Metric(
        read,
        measure.unit,
        MARGIN_OF_ODDS if odds else math.log(1.02) if measure.unit == "positive" else 0.0,
        logarithmic=odds or measure.unit == "positive",
        label=measure.name,
        higher_is_better=measure.higher_is_better,
        odds=odds,
        foreign=True,
    )


class _Metrics(Mapping[str, Metric]):
    """bitskip's own, and those that designs beside results have declared."""

    def __getitem__(self, name: str) -> Metric:
        return OWN[name] if name in OWN else _foreign(MEASURES[name])

    def __iter__(self) -> Iterator[str]:
        return iter((*OWN, *MEASURES))

    def __len__(self) -> int:
        return len(OWN) + len(MEASURES)


METRICS: Mapping[str, Metric] = _Metrics()
"""Metric by name."""


def usual_metric(rows: Iterable[Row]) -> str:
    """The metric of trials where none is named: what was measured in place of a loss, else perplexity."""
    return next((str(row["metric"]) for row in rows if row.get("metric")), "ppl")


def metric_named(name: str) -> Metric:
    """The metric, or UserError with the known ones."""
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"unknown metric '{name}'{nearest(name, METRICS)} (one of {known})")
    return METRICS[name]
