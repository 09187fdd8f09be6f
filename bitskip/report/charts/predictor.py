"""How good the predictor is: predicted against measured, and how few runs would have done."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

from bitskip.analysis.factorial import Cell, Family, Stratum
from bitskip.analysis.levels import INDEX
from bitskip.analysis.metrics import METRICS
from bitskip.errors import UserError
from bitskip.predict.response_surface import fit_surface
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, mean_and_half
from bitskip.report.format import effect_name, metric_name
from bitskip.report.summary import Sheet

PREDICTOR = Topic("predictor", "The predictor", order=70)
LEARNING_CURVE_LIMIT = 120
"""Configurations up to which the predictor is fitted again to parts of them: it takes a fraction of a second each."""

SHARES_OF_CELLS, DRAWS = (0.25, 0.5, 0.75), 5


@PREDICTOR.chart("calibration", "Predicted against measured")
def calibration(sheet: Sheet) -> Content | None:
    """Every configuration left out once, mean over its seeds.{record}"""
    surface = sheet.surface
    if surface is None:
        return None
    named = {cell.levels: sheet.name(cell) for cell in sheet.stratum.cells}
    metric, name = METRICS[sheet.section.ranked], metric_name(sheet.section.ranked)
    rows = [
        {
            "configuration": named[levels],
            "measured": metric.show(float(value)),
            "predicted": metric.show(float(guess)),
            "bits": levels[INDEX["bits"]][0],
        }
        for levels, value, guess in zip(surface.levels, surface.values, surface.expected, strict=True)
    ]

    def draw(axes: Any) -> None:
        looks = {
            bits: (
                f"{bits} bit",
                style.COLOUR_OF_BITS[bits],
                {16: "o", 8: "s", 4: "^"}.get(bits, "D"),
            )
            for bits in sorted({row["bits"] for row in rows}, reverse=True)
        }
        tip = "{configuration}: predicted {predicted:.4g}, measured {measured:.4g}".format_map
        style.scatter(axes, rows, ("predicted", "measured"), tip, lambda row: row["bits"], looks, s=22)
        both = [row[name] for row in rows for name in ("predicted", "measured")]
        axes.plot([min(both), max(both)], [min(both), max(both)], color=style.ink(), linewidth=0.8)
        log = "xy" if metric.logarithmic and not metric.odds else ""
        style.label(axes, f"{name} predicted from all other configurations", "measured", log=log)
        axes.legend()

    model, record = sheet.section.model, ""
    if model is not None and model.loco_r2 is not None:
        noise = "" if model.r2_ceiling is None else f" (noise allows {model.r2_ceiling:.3f})"
        held = "" if model.coverage is None else f"; the 90 % intervals hold {100 * model.coverage:.0f} % of trials"
        record = f" R² {model.loco_r2:.3f}{noise}{held}."
    return Content(rows, draw, 3.8, facts={"record": record})


@PREDICTOR.chart("predictor-learning", "How few runs would have done")
def predictor_learning(sheet: Sheet) -> Content | None:
    """Mean error on the configurations left aside when the predictor sees a random part of the {cells}; mean and 95 %
    interval over {draws} draws.
    """
    metric = METRICS[sheet.section.ranked]
    cells = [cell for cell in sheet.stratum.cells if metric.logarithmic and cell.values(metric)]
    if not 12 <= len(cells) <= LEARNING_CURVE_LIMIT:
        return None
    rows: Rows = []
    for share in SHARES_OF_CELLS:
        draws = (_error_elsewhere(sheet.stratum, cells, share, number) for number in range(DRAWS))
        errors = [error for error in draws if error is not None]
        if errors:
            mean, half = mean_and_half(errors)
            rows.append({"share": share, "error": mean, "half_width": half, "draws": len(errors), "cells": len(cells)})

    def draw(axes: Any) -> None:
        share, error, half = ([100 * (row[key] or 0.0) for row in rows] for key in ("share", "error", "half_width"))
        axes.errorbar(share, error, yerr=half, color=style.BLUE, marker="o", capsize=3)
        style.label(
            axes,
            "share of configurations that were run, %",
            f"mean error elsewhere, % of {effect_name(sheet.section.ranked)}",
        )
        axes.set_ylim(bottom=0)

    return Content(rows, draw, 2.8, facts={"cells": len(cells), "draws": DRAWS})


def _error_elsewhere(stratum: Stratum, cells: list[Cell], share: float, seed: int) -> float | None:
    """Mean relative error on the other cells of a predictor that saw a random share; None if that does not do."""
    chosen = set(random.Random(seed).sample(range(len(cells)), max(4, round(share * len(cells)))))
    seen = tuple(cell for at, cell in enumerate(cells) if at in chosen)
    held = [cell for at, cell in enumerate(cells) if at not in chosen]
    try:
        metric = METRICS[stratum.metric]
        surface = fit_surface(Family((Stratum(stratum.label, stratum.scale, seen, stratum.baseline),)), metric)
    except UserError:
        return None
    truth = [statistics.fmean(cell.values(metric).values()) for cell in held]
    guesses = surface.means([cell.levels for cell in held])
    return statistics.fmean(abs(math.expm1(g - t)) for g, t in zip(guesses, truth, strict=True))
