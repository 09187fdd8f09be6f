"""Searches of the learning rate: loss by rate, with the parabola that tells its optimum."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np

from bitskip.analysis.levels import cell_label
from bitskip.analysis.rates import Parabola, parabola, searches
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic
from bitskip.report.summary import EVERYTHING_OFF, Analysis

RATES = Topic("rates", "Learning rates", order=6, across=True)
MOST, COLUMNS = 12, 3


@RATES.chart("rate-parabolas", "Loss by learning rate")
def rate_parabolas(analysis: Analysis) -> Content | None:
    """A panel for each scale with three rates or more, a colour for each configuration: losses on the seeds of the
    search, and the parabola in log2 of the rate through the best rate and its neighbours. Ring: its optimum. No line:
    the best rate is the first or last that was run, and the optimum is open.
    """
    found = searches([sheet.stratum for sheet in analysis.sheets])
    found.sort(key=lambda search: _place(search.strata[search.rates[0]].scale))
    rows: Rows = []
    curves: dict[tuple[str, str], Parabola] = {}
    for search in found[:MOST]:
        first = search.strata[search.rates[0]]
        scale = ", ".join(part for part in first.label.split(", ") if not part.startswith("lr "))
        for levels, by_rate in search.arms().items():
            label = cell_label(levels, first.baseline)
            name = EVERYTHING_OFF if label == "baseline" else label
            curve = parabola(search.by_rate(levels))
            if curve is not None:
                curves[scale, name] = curve
            rows += [
                {
                    "scale": scale,
                    "configuration": name,
                    "lr": rate,
                    "loss": statistics.fmean(losses),
                    "seeds": len(losses),
                    "optimum": None if curve is None else curve.optimum,
                }
                for rate, losses in by_rate.items()
            ]
    scales = list(dict.fromkeys(row["scale"] for row in rows))
    names = list(dict.fromkeys(row["configuration"] for row in rows))
    columns = min(COLUMNS, len(scales))

    def draw(panels: Any) -> None:
        flat = list(panels.flat)
        for axes, scale in zip(flat, scales, strict=False):
            for at, name in enumerate(names):
                own = [row for row in rows if (row["scale"], row["configuration"]) == (scale, name)]
                if own:
                    _draw(axes, own, style.look(name, at, style.MANY[at % len(style.MANY)]), curves.get((scale, name)))
            model, *_, tokens = scale.split(", ")
            axes.set_title(f"{model}, {tokens}", fontsize=8)
            style.label(axes, "learning rate", "loss, nats a token", log="x")
            run = sorted({row["lr"] for row in rows if row["scale"] == scale})
            axes.set_xticks(run, [f"{rate:g}" for rate in run], rotation=45)
            axes.minorticks_off()
        for axes in flat[len(scales) :]:
            axes.set_axis_off()
        style.legend(flat[0], fontsize=6)

    height = 2.4 * math.ceil(len(scales) / max(columns, 1))
    panels = {"nrows": math.ceil(len(scales) / max(columns, 1)), "ncols": columns, "squeeze": False}
    return Content(rows, draw, height, panels)


def _place(scale: Any) -> tuple[Any, ...]:
    return scale["model.width"], scale["model.layers"], scale["tokens"]


def _draw(axes: Any, rows: Rows, look: dict[str, Any], curve: Parabola | None) -> None:
    colour, name = look["color"], rows[0]["configuration"]
    rates, losses = ([row[column] for row in rows] for column in ("lr", "loss"))
    points = axes.scatter(rates, losses, color=colour, marker=look["marker"], s=12, label=name)
    style.tips(points, map("{configuration}, rate {lr:g}: loss {loss:.4g}".format_map, rows))
    if curve is not None:
        rates = np.geomspace(curve.rates[0], curve.rates[-1], 30).tolist()
        (fitted,) = axes.plot(rates, list(map(curve.at, rates)), color=colour, linestyle=look["linestyle"], linewidth=1)
        style.tips(fitted, [name])
        ring = axes.scatter([curve.optimum], [curve.at(curve.optimum)], s=40, facecolors="none", edgecolors=colour)
        style.tips(ring, [f"{name}: best rate {curve.optimum:.3g}"])
