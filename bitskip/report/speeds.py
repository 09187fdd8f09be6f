"""Speeds of a scale's configurations in engines, from what `bitskip bench` has measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import cell_label
from bitskip.analysis.metrics import Row
from bitskip.report.numbers import MeasuredSpeed
from bitskip.store.schema import Status
from bitskip.techniques.rotation import Rotation
from bitskip.trial.config import TrialConfig

ALIKE = ("engine", "engine_version", "weight_type", "emulated", "threads", "device", "host")
"""What measurements have in common that are one speed."""

MEDIANS = (
    "prefill_tokens_per_second", "prefill_spread", "decode_tokens_per_second", "decode_spread", "agreement",
    "largest_gap",
)  # fmt: skip


def measured_speeds(stratum: Stratum, speeds: Mapping[str, Sequence[Row]]) -> Iterator[MeasuredSpeed]:
    """A row for each configuration and each engine, version, type and machine, the fastest decoding first."""
    found = []
    for cell in stratum.cells:
        alike: dict[tuple[Any, ...], list[Row]] = {}
        finished = [row for row in cell.rows if row["status"] == Status.OK and row["ppl"]]
        for row in (each for trial in finished for each in speeds.get(trial["trial_id"], ())):
            alike.setdefault(tuple(row[name] for name in ALIKE), []).append(row)
        label = cell_label(cell.levels, stratum.baseline)
        found += [
            MeasuredSpeed(
                configuration=label,
                ppl=statistics.geometric_mean(trial["ppl"] for trial in finished),
                model_bytes=rows[0]["model_bytes"],
                measurements=len(rows),
                **dict(zip(ALIKE, key, strict=True)),
                **{name: statistics.median(row[name] for row in rows) for name in MEDIANS},
            )
            for key, rows in alike.items()
        ]
    yield from sorted(found, key=lambda each: -each.decode_tokens_per_second)


def emulated(trial: TrialConfig) -> bool:
    """Whether bitskip's own decoder computes the trial's rounded numbers as floating-point ones."""
    return any(each.post_training and not each.off for each in trial.techniques if not isinstance(each, Rotation))
