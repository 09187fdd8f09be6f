"""Leaving by confidence and drafting with exits, from what trials have measured of themselves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from bitskip.analysis.factorial import Cell, Stratum
from bitskip.analysis.levels import cell_label
from bitskip.analysis.metrics import Row
from bitskip.report.numbers import Acceptance, ConfidencePoint, EarlyDecoding
from bitskip.store.schema import Status
from bitskip.training.exits import THRESHOLDS


def early_decoding(stratum: Stratum, exits: Mapping[str, Sequence[Row]]) -> Iterator[EarlyDecoding]:
    """The configurations that have measured either, by the full model's perplexity."""
    found = (_of_cell(cell, cell_label(cell.levels, stratum.baseline), exits) for cell in stratum.cells)
    yield from sorted((each for each in found if each), key=lambda each: (each.ppl, each.configuration))


def _of_cell(cell: Cell, label: str, exits: Mapping[str, Sequence[Row]]) -> EarlyDecoding | None:
    rows = [row for row in cell.rows if row["status"] == Status.OK and row["loss"] is not None]
    by_exit: dict[tuple[int, int], list[float]] = {}
    losses: dict[int, list[float]] = {}
    for row in rows:
        for at in exits.get(row["trial_id"], ()):
            if at["loss"] is not None:
                losses.setdefault(at["exit_layer"], []).append(at["loss"])
            if at["acceptance_rate"] is not None:
                key = at["exit_layer"], row["eval_draft_tokens"]
                by_exit.setdefault(key, []).append(at["acceptance_rate"])
    confident = [row for row in rows if row["confidence_loss"]]
    if not (confident or by_exit):
        return None
    depth, loss = rows[0]["model_layers"], statistics.fmean(row["loss"] for row in rows)
    points = []
    for place, threshold in enumerate(THRESHOLDS if confident else ()):
        mean_depth = statistics.fmean(row["confidence_depth"][place] for row in confident)
        mean_loss = statistics.fmean(row["confidence_loss"][place] for row in confident)
        points.append(ConfidencePoint(threshold, mean_depth, math.exp(mean_loss)))
    full = [ConfidencePoint(1.0, float(depth), math.exp(loss))] if points else []
    drafts = [Acceptance(*key, statistics.fmean(rates)) for key, rates in sorted(by_exit.items())]
    by_layer = {layer: math.exp(statistics.fmean(found)) for layer, found in sorted(losses.items())}
    return EarlyDecoding(label, depth, math.exp(loss), (*points, *full), by_layer, tuple(drafts), len(rows))
